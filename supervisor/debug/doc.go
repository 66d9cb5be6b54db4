// Package debug shows a running tree of sessions over HTTP, and lets an operator act on it: documents for
// programs, a page for people, and the client that the command line uses.
//
// What it shows comes through [Backend], so that the package knows neither sessions nor the audit log.
//
//	h := debug.Handler(backend, debug.Options{})               // reads only, from this machine only
//	mux.Handle("/ops/", http.StripPrefix("/ops", h))           // the page is at /ops/debug/understudy/
//
//	start := debug.Serve(system, "root/debug", func() (net.Listener, error) {
//		return debug.ListenUnix("/var/lib/app/understudy.sock")
//	}, debug.Handler(backend, debug.Options{Socket: true, Actions: true}), logger)
//	spec := supervisor.ChildSpec{ID: "debug", Start: start}    // a child of a supervisor
//
//	root, err := debug.Dial("/var/lib/app/understudy.sock").Tree(ctx)
//	err = debug.RenderTree(os.Stdout, root, debug.RenderOptions{})
//
// # Who may do what
//
// Whoever can connect to the unix socket may do everything: the file system decides that (mode 0600). Over
// TCP a connection from the machine itself may read. To act, or to read from elsewhere, takes
// [Options.Token] in an Authorization field. The sessions' own tools are on the machine too, so where they
// must not see each other's work set [Options.RequireTokenForReads], or do without TCP. Requests for host
// names that the endpoint does not have, and those that a browser makes for a page of another site, are
// refused. A GET changes nothing. Each action is told to [Backend.Acted], with who asked and how it went.
//
// # The page
//
// It answers, in this order: what needs somebody; what is broken, and is it tried again; how close is a supervisor to
// giving up; why did it end; what is it doing; what does it cost. It is made on the server and works without a script,
// which keeps it fresh: one stream of events says what has changed, and what shows that is fetched again. Filter, order and
// place in the tree are in the address, and so is every detail. Where Actions are on it has buttons.
//
// Nothing is measured or compared while nobody looks, which includes a page in a tab that is not seen.
//
// # Lifetime
//
// A [Handler] holds nothing: while event streams are open one goroutine looks for changes, and ends with
// the last of them. A server made by [NewServer] ends such streams when it shuts down; one of the
// embedder's own must cancel its base context, or they keep Shutdown waiting. [Serve] makes the whole a
// supervised child. A [Client] keeps idle connections for ten seconds.
//
// # Concurrency
//
// Everything exported may be used from many goroutines. A client that reads slowly holds up its own
// stream only.
//
// # Format
//
// The document of the tree is a [Node]. Streams are JSON objects, one a line. Errors are
// application/problem+json (RFC 9457) with one more field, code: a [Code]. An error in a stream that has
// begun is its last line:
//
//	{"type":"understudy_error","code":"crashed","message":"…"}
//
// A stream that ends without that line and without the last chunk of its HTTP body was cut off.
package debug

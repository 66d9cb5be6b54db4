// Package understudy runs Claude Code sessions as supervised actors inside a Go service.
//
// A session has a name; behind the name an actor owns one Claude Code CLI process. When the process dies,
// a supervisor starts it again under an OTP-like restart policy and the conversation goes on where it
// stopped. Every tool that the agent uses is in an audit log before it runs.
//
//	rt, err := understudy.Start(ctx, understudy.Options{DataDir: "data"})
//	reviewer, err := rt.Spawn(ctx, "reviewer", session.Options{
//		CWD:            "/srv/app",
//		PermissionMode: protocol.ModePlan,
//		AllowedTools:   []string{"Read", "Glob", "Grep"},
//	})
//	for message, err := range reviewer.Query(ctx, "Review the last commit.") {
//		…
//	}
//	err = rt.Shutdown(ctx)
//
// # The tree
//
//	root                 one_for_one
//	├── audit            started first, stopped last
//	├── sessions         every session a child with an intensity of its own; one that
//	│   ├── reviewer     restarts too often is parked as failed, its siblings go on
//	│   └── …
//	└── debug            the HTTP server, if there is one (Runtime.Supervise)
//
// # Lifetime
//
// [Start] locks the data directory, ends what a killed predecessor left running, and builds the tree. It
// does not wait for the sessions of Options.Sessions to be ready; [Runtime.Spawn] does. [Runtime.Shutdown]
// interrupts turns, ends every process and everything these started, and releases the directory. When the
// root supervisor gives up, [Runtime.Done] is closed and [Runtime.Err] has the reason.
//
// # Concurrency
//
// Everything exported may be called from any goroutine. The library installs no signal handler, registers
// nothing on a default mux, logs to nothing but Options.Logger and never ends the program.
package understudy

// Package process holds one Claude Code CLI as an operating-system process: its command line, its environment, its
// three pipes, its exit, and the end of everything it has started.
//
//	p, err := process.Start(process.Launch{
//		Dir:       "/srv/app",
//		SessionID: id,                // ours from the first start; Resume: true on later ones
//		APIKey:    key,               // in the child's environment only
//		Marker:    "rt-7f3a/reviewer/1",
//	}, process.Options{})
//	...                               // write frames to p.Stdin(), read p.Stdout() to its end
//	report := p.Stop(ctx, process.DefaultLadder())
//	fmt.Println(report.Ended, process.Diagnose(report.Exit))
//
// It knows the CLI's flags, and nothing of what is said over the pipes. It imports no other package of this module.
//
// # Lifetime
//
// A Process lives from Start to the closing of Done. In between lie the exit of the CLI, the reading of what is left in its
// pipes, and a sweep that ends its descendants, whether it was stopped, ended by itself or was killed from outside.
// After Done no goroutine, descriptor or zombie of it is left, except for the reading end of stdout until it has been
// read to its end or closed. What OnStderr is doing at that time, it may go on doing.
//
// Stop goes down a ladder: close stdin, SIGTERM, SIGKILL, sweep, each with its time. It always returns, and may be called
// at any time, from many places, more than once.
//
// # Concurrency
//
// All methods are safe for concurrent use. Reads of Stdout and writes to Stdin are a stream each: two readers get parts of
// lines; concurrent writes don't mix. Nothing the CLI or its consumer does or fails to do (not reading its
// input, flooding stderr, not being read) holds up Stop.
//
// # Containment
//
// The CLI starts its tools in sessions of their own (setsid), so that neither its death nor a signal to its process group
// reaches them. What is done about that:
//
//   - On Linux, where the kernel allows it, the CLI runs in a pid namespace whose first process is this program, executed
//     again (init_linux.go): the kernel ends all of it with the CLI, and when this program is killed. Where it does not, a control
//     group of the session's own is ended as a whole. Launch.Containment requires layers or leaves them out, Launch.Limits
//     bounds what all of it may take, Process.Containment says what there is, and Inspect what this host offers.
//   - Beneath that, the tree is listed by parenthood and session before each step of the ladder, by pid and start time. After
//     the exit, what was listed, what carries the marker UNDERSTUDY_SESSION in its environment, and what descends from
//     either is killed through pidfds until nothing is found twice in a row.
//     Where there is a pid namespace nothing of that is left to be found: what carries the marker outside of it, as a job that a tool
//     gave to somebody else, is looked for a moment after the end, for all sessions together (strays_linux.go).
//   - After a crash the parenthood is gone and the marker is what is left. A tool that has cleared its environment *and* left its
//     session is found then only with BecomeSubreaper, which a program made for running sessions should call.
//   - When the runtime itself is killed and there is no namespace, the kernel kills the CLI (parent-death signal); its tools live
//     on until the next runtime calls SweepPrefix and OpenLedger.
//   - Processes that have changed their user id can't be looked into or killed. That takes a control group or a pid namespace.
//   - A Launcher runs the CLI in a container, a sandbox or behind a command, and knows how that is ended.
//   - On macOS and elsewhere there is the process group alone: SIGKILL goes to the group after the exit, tools in
//     sessions of their own survive, Sweep finds nothing, and a CLI outlives a killed runtime until it notices the end
//     of its stdin. Run the CLI in a container there.
//
// Signals to reused process ids are ruled out on Linux: the group is signalled while its leader is not yet reaped, all
// others through a pidfd whose process was compared by start time after it was opened.
//
// # Secrets
//
// The API key is in the child's environment and nowhere else. It is refused in arguments, which every user can read, and
// redacted in lines of stderr; so are values of Env whose names contain KEY, TOKEN, SECRET, PASSWORD or CREDENTIAL. Printing
// a Launch shows none of them.
package process

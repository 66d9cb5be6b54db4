// Package actor runs actors: values that own their state and receive one message at a time.
//
// hollywood carries the messages (engine, addresses, ring buffers). Life and death are this package's own:
// what hollywood v1.0.5 does when an actor panics, stops or is asked for something would end a service
// that merely embeds a runtime, so none of its restart, stop, request or event machinery is used.
//
//	type counterMsg interface{ isCounterMsg() }
//	type add struct{ n int }
//	type total struct{ reply actor.Reply[int] }
//
//	sys := actor.NewSystem(actor.Options{})
//	ref, err := actor.Spawn(sys, actor.Spec{Name: "counter"}, &counter{})
//	err = ref.Send(add{2})
//	n, err := actor.Ask(ctx, ref, func(r actor.Reply[int]) counterMsg { return total{r} })
//
// # Lifetime
//
// [Spawn] returns at once; Started runs on the actor's own goroutine, before any message. An actor ends
// when it calls [Context.Exit], when a callback panics or calls runtime.Goexit, when somebody calls
// [PID.Stop], or when it is killed. The reason is an error: nil (normal), [ErrShutdown], [ErrKilled], a
// [*PanicError], or whatever the actor said; [Clean] tells the first two, OTP's normal and shutdown, from
// the rest. A panic never ends the OS process and never restarts the actor: restarting is a supervisor's
// decision. Whoever monitors the actor gets exactly one [Down], also when it was gone before.
//
// The name is free again, and every goroutine, timer and monitor of the actor is gone, before its end is
// reported. Messages it had not begun to handle are counted as dead letters and handed to
// [Options.DeadLetter]; an [Ask] among them fails at once with [ErrStopped].
//
// # Concurrency
//
// Receive and the other callbacks of one actor never run at the same time. They must not block: slow work
// goes into [Context.Go], whose outcome comes back as a message. Everything exported here may be called
// from any goroutine, except the methods of Context, which belong to the callback they were given to.
//
// An idle actor has no goroutine. Those that have messages run on a few goroutines of their System, which are
// kept until its last actor has ended, and on more while callbacks block. A callback that changes its
// goroutine, by runtime.LockOSThread for instance, must take that back before it returns.
//
// Mailboxes are bounded ([Spec.Mailbox]). A sender is refused ([Ref.Send]) or waits ([Ref.SendWait]). What
// an actor causes to be sent to itself (timers, results, Downs) is bounded by what it started and is
// never refused.
package actor

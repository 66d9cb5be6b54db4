// Package supervisor restarts what dies, as OTP's supervisor does.
//
// A supervisor is an actor that starts its children in order, is told when one ends, and starts it again
// or not by the child's restart type, and others with it by its [Strategy], within an intensity: more
// restarts than that in a window of time mean that restarting does not help. Then it stops what it has and
// ends itself, and its own supervisor decides; or, for a child with an intensity of its own, it parks that
// child and leaves the rest alone.
//
//	sup, err := supervisor.Start(ctx, system, supervisor.Options{
//		Name:     "root",
//		Strategy: supervisor.RestForOne, // what comes later needs what comes earlier
//		Children: []supervisor.ChildSpec{
//			{ID: "store", Start: startStore},
//			{ID: "index", Start: startIndex},
//		},
//	})
//	pid, err := sup.StartChild(ctx, supervisor.ChildSpec{ID: "worker", Start: startWorker})
//
// # Children
//
// A child is an actor. Its [ChildSpec] holds a function that starts one incarnation and returns when it is
// ready; it runs in a goroutine of its own, so that a start that blocks or fails blocks and fails that
// child alone. A restart begins from nothing but what was saved on purpose. Children that are all alike
// come from a [Template].
//
// # Lifetime
//
// [Start] returns when the children of Options.Children are up, in order, each ready before the next is
// started; if one fails, those already up are stopped in reverse order and Start fails, as in OTP.
// Stopped, a supervisor stops its children in reverse start order, each within its own Shutdown, and then
// ends. It ends with an [*ExhaustedError] when it gives up, and with a shutdown when its significant
// children have ended ([AutoShutdown]). A supervisor that is killed takes its children along unasked, and
// theirs, before its end is reported.
//
// # Differences from OTP, on purpose
//
// docs/supervision.md in the repository is the long version, with advice on intensities.
//
//   - the window of the intensity is exact, on the monotonic clock (OTP's varies by up to a second);
//   - restarts may be delayed (Backoff), and waiting is a state of its own: visible, and cancellable; the
//     restarts of nested supervisors, whose intensities multiply, are paced in the whole tree ([Pace]);
//   - the supervisor never runs a child's code and never waits, so that it answers while a child starts
//     or stops;
//   - a child that had finished, was stopped by hand or is parked is not revived by a sibling's crash under
//     OneForAll and RestForOne, and a group of which one member does not start keeps those that did: the
//     restart goes on from the one that did not;
//   - giving up is an abnormal reason, so that a transient inner supervisor is restarted by the outer;
//   - a failure that would repeat for ever ([Permanently]) parks the child and burns no restarts, and a
//     child that asks to be replaced ([Planned]) burns none either;
//   - a child of a template has an id as well, by which it may be terminated too.
//
// # Concurrency
//
// Every exported method may be called from any goroutine.
package supervisor

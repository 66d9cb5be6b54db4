// Package metrics shows what supervisors do as Prometheus metrics.
//
// A [Collector] counts the events of supervisors, and reads the tree when it is scraped, so that nothing
// is kept of children that are gone. The embedder registers it where its other metrics are:
//
//	collector := metrics.NewCollector(metrics.Options{})
//	rt, err := understudy.Start(ctx, understudy.Options{OnEvent: collector.OnEvent, …})
//	collector.Watch(rt)
//	registry.MustRegister(collector)
//
// For supervisors without a runtime give OnEvent to each of them, and to Watch the uppermost (see [Tree]).
//
// # Names and labels
//
// Names begin with understudy_. Labels come from the configuration alone, so that their number does not
// grow with time: `supervisor` is a supervisor's path, `child` a child's [supervisor.ChildSpec] Label,
// which is the same for all children of a pool or a template and for all sessions that are spawned at run
// time. What is shown of several under one label is their sum for counts, and the largest for the rest.
//
//	understudy_actor_starts_total{supervisor,child,cause}          starts that succeeded: first, crash, planned, sibling, operator
//	understudy_actor_start_failures_total{supervisor,child,reason}
//	understudy_actor_exits_total{supervisor,child,reason}          ends that nobody asked for: see Reason
//	understudy_actor_kills_total{supervisor,child}                 it did not end within its shutdown time
//	understudy_supervisor_restarts_total{supervisor,child,cause}   starts but for the first
//	understudy_supervisor_parked_total{supervisor,child}           given up until somebody acts, or for a cooldown
//	understudy_supervisor_escalations_total{supervisor}            the supervisor gave up
//	understudy_actors{supervisor,child,kind,state}                 how many are in each state, now
//	understudy_actor_backoff_seconds{supervisor,child}             until the next try; 0 if there is none
//	understudy_actor_restart_window_used{supervisor,child}         restarts in the window of an intensity of the child's own
//	understudy_actor_restart_window_allowed{supervisor,child}
//	understudy_supervisor_restart_window_used{supervisor}          the same of the supervisor's
//	understudy_supervisor_restart_window_allowed{supervisor}
//	understudy_supervisor_restart_window_used_ratio{supervisor}    above 1 it gives up; 1 is one restart away
//	understudy_mailbox_messages{supervisor,child}                  that wait
//	understudy_mailbox_oldest_seconds{supervisor,child}
//	understudy_tree_read{}                                         1 if the gauges could be read for this scrape
//
// # Concurrency
//
// All methods may be called from any goroutine. OnEvent takes about a microsecond and never blocks; a scrape
// waits for supervisors at most [Options.Timeout], and never for what they supervise.
package metrics

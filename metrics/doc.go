// Package metrics shows what supervisors and sessions do as Prometheus metrics.
//
// A [Collector] counts the events of supervisors and the moments of sessions, and reads the tree, the sessions and the audit
// log when it is scraped, so that nothing is kept of what is gone. The embedder registers it where its other metrics are:
//
//	collector := metrics.NewCollector(metrics.Options{})
//	rt, err := understudy.Start(ctx, understudy.Options{OnEvent: collector.OnEvent, OnMoment: collector.OnMoment, …})
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
// Some labels are what a CLI says, and have few values by force: `model` is one of the first 24 names, `tool` the name of a
// tool of the CLI's own or mcp__SERVER for the first 48 servers, `outcome` and `error` are known words. Everything else is
// "other".
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
//	understudy_build_info{version,goversion}                       see Options.Version
//	understudy_config_last_reload_successful                       see Loaded
//	understudy_config_last_reload_success_timestamp_seconds
//
// Of sessions, from their moments:
//
//	understudy_session_turns_total{child,outcome}                  outcome: success, error_…, error, crashed
//	understudy_session_turn_duration_seconds{child}                histogram
//	understudy_session_tokens_total{child,model,type}              type: input, output, cache_read, cache_creation
//	understudy_session_cost_usd_total{child,model}                 the CLI's estimate; turns without a result are missing
//	understudy_session_api_retries_total{child,error}
//	understudy_session_notices_total{child,notice}
//	understudy_tool_calls_total{child,tool,outcome}                outcome: ok, error, denied, lost
//	understudy_tool_duration_seconds{tool}                         histogram; with the wait for permission
//	understudy_permission_requests_total{child,decision,by}        by: operator, callback, timeout, withdrawn
//	understudy_permission_wait_seconds{by}                         histogram
//	understudy_protocol_unknown_frames_total{child}                of types that this program does not know
//
// From a look at each scrape, if Watch was given a [Fleet]:
//
//	understudy_sessions{child,state}                               how many are in each state
//	understudy_session_queue_prompts{child}
//	understudy_session_budget_used_ratio{child}                    only with a budget
//	understudy_session_context_used_ratio{child}
//	understudy_sessions_unsaved{child}, understudy_sessions_refusing{child}
//	understudy_protocol_unknown{child,what}                        different frames, fields and requests that are not known
//	understudy_subprocesses{child}                                 CLIs and what they have started
//	understudy_subprocess_resident_memory_bytes{child}
//	understudy_subprocess_cpu_seconds_total{child}                 as far as scrapes saw it: a process's last seconds are missing
//	understudy_permission_pending, understudy_permission_oldest_seconds
//	understudy_budget_limit_usd{budget}, understudy_budget_spent_usd{budget}, understudy_budget_used_ratio{budget}
//	understudy_pool_sessions{pool,state}                           state: busy, free, failed (parked or stopped)
//	understudy_pool_sessions_max{pool}
//	understudy_pool_queue_prompts{pool}, understudy_pool_queue_capacity_prompts{pool}
//	understudy_audit_open                                          0: no record can be written
//	understudy_audit_queue_records, understudy_audit_queue_capacity_records
//	understudy_audit_durable_sequence, understudy_audit_signed_sequence
//	understudy_audit_lost_records_total
//	understudy_audit_sink_delivered_sequence{sink}, understudy_audit_sink_missed_records_total{sink}
//	understudy_audit_anchor_signed_sequence{anchor}                the last record that somebody else could prove
//
// # Concurrency
//
// All methods may be called from any goroutine. OnEvent and OnMoment take about a microsecond and never block; a scrape
// waits for supervisors at most [Options.Timeout], and never for what they supervise.
package metrics

package metrics

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
)

// fleetGauges are what a look at the sessions shows, and at what they share.
type fleetGauges struct {
	sessions, queue, budget, context, unsaved, refusing, drift *prometheus.Desc
	processes, memory, cpu                                     *prometheus.Desc
	pending, oldest                                            *prometheus.Desc
	limit, spent, ratio                                        *prometheus.Desc
	pooled, poolMax, poolQueue, poolRoom                       *prometheus.Desc

	burnt *burnt
}

func newFleetGauges() fleetGauges {
	return fleetGauges{
		sessions:  desc("sessions", "Sessions in each state.", "child", "state"),
		queue:     desc("session_queue_prompts", "Prompts that wait for their turn.", "child"),
		budget:    desc("session_budget_used_ratio", "What of its budget the session has spent that has spent most of it.", "child"),
		context:   desc("session_context_used_ratio", "What of its context window the session has filled that has filled most of it.", "child"),
		unsaved:   desc("sessions_unsaved", "Sessions whose record cannot be written to disk.", "child"),
		refusing:  desc("sessions_refusing", "Sessions that begin no turn although they run, as while the audit log cannot be written.", "child"),
		drift:     desc("protocol_unknown", "How many different things the CLI has said that this program does not know: frames, fields, requests.", "child", "what"),
		processes: desc("subprocesses", "Processes of CLIs and of what these have started.", "child"),
		memory:    desc("subprocess_resident_memory_bytes", "Memory that they have resident; what they share counts for each.", "child"),
		cpu:       desc("subprocess_cpu_seconds_total", "User and system time that they have used, as far as scrapes have seen it.", "child"),
		pending:   desc("permission_pending", "Permission questions that wait for somebody."),
		oldest:    desc("permission_oldest_seconds", "For how long the oldest of them has waited; 0 if there is none."),
		limit:     desc("budget_limit_usd", "The limit of a shared budget in US dollars.", "budget"),
		spent:     desc("budget_spent_usd", "What of it is spent in its present window.", "budget"),
		ratio:     desc("budget_used_ratio", "What is spent over the limit.", "budget"),
		pooled:    desc("pool_sessions", "Sessions of a pool: busy, failed (parked or stopped), free (all others).", "pool", "state"),
		poolMax:   desc("pool_sessions_max", "How many sessions a pool may have.", "pool"),
		poolQueue: desc("pool_queue_prompts", "Prompts that wait for a session of a pool.", "pool"),
		poolRoom:  desc("pool_queue_capacity_prompts", "How many may wait: more are refused.", "pool"),
		burnt:     &burnt{seen: make(map[*session.Session]cpuSeen), total: make(map[string]float64)},
	}
}

func (g *fleetGauges) describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		g.sessions, g.queue, g.budget, g.context, g.unsaved, g.refusing, g.drift, g.processes, g.memory, g.cpu, g.pending, g.oldest,
		g.limit, g.spent, g.ratio, g.pooled, g.poolMax, g.poolQueue, g.poolRoom,
	} {
		descs <- d
	}
}

// sessionStates are shown for every label, as states are.
var sessionStates = []session.State{
	session.Starting, session.Idle, session.Busy, session.Restarting, session.Draining, session.Stopped, session.Failed,
	session.Hibernated, session.Held,
}

// likeSessions are the sessions of one label.
type likeSessions struct {
	inState                  map[session.State]int
	queue, unsaved, refusing int
	budget, context          float64
	budgeted                 bool
	drift                    map[string]map[string]bool
	use                      process.Usage
}

func (a *likeSessions) add(i session.Info, d session.Drift) {
	a.inState[i.State]++
	a.queue += i.Queue
	if i.Budget > 0 {
		a.budgeted = true
		a.budget = max(a.budget, i.CostUSD/i.Budget)
	}
	if i.ContextWindow > 0 {
		a.context = max(a.context, float64(i.ContextTokens)/float64(i.ContextWindow))
	}
	if i.Unsaved != "" {
		a.unsaved++
	}
	if i.Refusing != nil {
		a.refusing++
	}
	for what, counter := range map[string]map[string]uint64{"frame": d.Frames, "field": d.Fields, "request": d.Requests} {
		if a.drift[what] == nil {
			a.drift[what] = make(map[string]bool)
		}
		for name := range counter {
			a.drift[what][name] = true
		}
	}
}

func (g *fleetGauges) collect(out chan<- prometheus.Metric, fleet Fleet, now time.Time) {
	send := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	all := fleet.Sessions()
	groups := make(map[string]*likeSessions)
	infos := make(map[*session.Session]session.Info, len(all))
	var pids []int
	for _, s := range all {
		info := s.Info()
		infos[s] = info
		if groups[s.Label()] == nil {
			groups[s.Label()] = &likeSessions{inState: make(map[session.State]int), drift: make(map[string]map[string]bool)}
		}
		groups[s.Label()].add(info, s.Drift())
		if info.PID != 0 {
			pids = append(pids, info.PID)
		}
	}
	used := process.Usages(pids)
	for s, info := range infos {
		u := used[info.PID]
		group := groups[s.Label()]
		group.use.Processes, group.use.RSS = group.use.Processes+u.Processes, group.use.RSS+u.RSS
	}
	for label, group := range groups {
		for _, state := range sessionStates {
			send(g.sessions, float64(group.inState[state]), label, string(state))
		}
		send(g.queue, float64(group.queue), label)
		send(g.context, group.context, label)
		send(g.unsaved, float64(group.unsaved), label)
		send(g.refusing, float64(group.refusing), label)
		if group.budgeted {
			send(g.budget, group.budget, label)
		}
		for what, names := range group.drift {
			send(g.drift, float64(len(names)), label, what)
		}
		send(g.processes, float64(group.use.Processes), label)
		send(g.memory, float64(group.use.RSS), label)
	}
	for label, seconds := range g.burnt.add(infos, used) {
		out <- prometheus.MustNewConstMetric(g.cpu, prometheus.CounterValue, seconds, label)
	}
	g.shared(send, fleet, now)
}

// shared are what belongs to no label of its own.
func (g *fleetGauges) shared(send func(*prometheus.Desc, float64, ...string), fleet Fleet, now time.Time) {
	waiting := fleet.Approvals()
	oldest := time.Duration(0)
	for _, a := range waiting {
		oldest = max(oldest, now.Sub(a.AskedAt))
	}
	send(g.pending, float64(len(waiting)))
	send(g.oldest, oldest.Seconds())
	for _, b := range fleet.Budgets() {
		send(g.limit, b.LimitUSD, b.Name)
		send(g.spent, b.SpentUSD, b.Name)
		send(g.ratio, b.SpentUSD/b.LimitUSD, b.Name)
	}
	for _, p := range fleet.Pools() {
		send(g.pooled, float64(p.Busy), p.Name, "busy")
		send(g.pooled, float64(p.Failed), p.Name, "failed")
		send(g.pooled, float64(p.Sessions-p.Busy-p.Failed), p.Name, "free")
		send(g.poolMax, float64(p.Max), p.Name)
		send(g.poolQueue, float64(p.Waiting), p.Name)
		send(g.poolRoom, float64(p.MaxQueue), p.Name)
	}
}

// burnt adds up CPU time over processes that come and go. What one has used after the last scrape that saw it is missing.
type burnt struct {
	mu    sync.Mutex
	seen  map[*session.Session]cpuSeen
	total map[string]float64 // by label
}

type cpuSeen struct {
	generation int
	seconds    float64
}

// add returns the sums by label.
func (b *burnt) add(infos map[*session.Session]session.Info, used map[int]process.Usage) map[string]float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.seen {
		if _, there := infos[s]; !there {
			delete(b.seen, s)
		}
	}
	for s, info := range infos {
		before, now := b.seen[s], used[info.PID].CPU.Seconds()
		if before.generation != info.Generation {
			before = cpuSeen{}
		}
		// A tool that has ended and that its parent has not waited for takes its time with it: the sum may shrink.
		b.total[s.Label()] += max(now-before.seconds, 0)
		b.seen[s] = cpuSeen{info.Generation, max(now, before.seconds)}
	}
	return maps.Clone(b.total)
}

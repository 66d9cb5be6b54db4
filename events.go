package understudy

import (
	"fmt"
	"strings"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/supervisor"
)

func (rt *Runtime) onRootEvent(e supervisor.Event) {
	rt.logEvent(e)
	rt.tell(e)
}

// onSessionEvent passes a supervisor's decision on to the session it is about, the audit log and the
// embedder.
func (rt *Runtime) onSessionEvent(e supervisor.Event) {
	rt.mu.Lock()
	m := rt.known[e.Child]
	rt.mu.Unlock()
	path := e.Supervisor + "/" + e.Child
	if m == nil || m.path != path { // a group: what becomes of it becomes of its sessions
		for _, member := range rt.below(path) {
			below := e
			below.Supervisor, below.Child = member.home.path, member.Name()
			if e.Kind == supervisor.ChildStarted {
				continue // they report themselves
			}
			member.Supervised(below)
		}
		rt.logEvent(e)
		rt.tell(e)
		return
	}
	m.Supervised(e)
	r := audit.Record{Actor: path, Session: e.Child, Detail: map[string]any{"restarts": e.Restarts}}
	if e.Reason != nil {
		r.Exit = &audit.Exit{Reason: e.Reason.Error()}
	}
	switch e.Kind {
	case supervisor.ChildParked:
		r.Kind = audit.SessionParked
		rt.record(r)
	case supervisor.RestartScheduled:
		r.Kind = audit.SessionRestarted
		r.Detail["delay_ms"] = e.Delay.Milliseconds()
		rt.record(r)
	}
	rt.logEvent(e)
	rt.tell(e)
}

// below are the sessions of a group and of the groups in it.
func (rt *Runtime) below(group string) []*member {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	var found []*member
	for _, m := range rt.known {
		if strings.HasPrefix(m.path, group+"/") {
			found = append(found, m)
		}
	}
	return found
}

func (rt *Runtime) logEvent(e supervisor.Event) {
	line := rt.log.Info()
	switch e.Kind {
	case supervisor.ChildParked, supervisor.Escalated:
		line = rt.log.Error() // a person must act
	case supervisor.RestartScheduled, supervisor.ChildKilled, supervisor.StartFailed, supervisor.ChildExited:
		line = rt.log.Warn()
	}
	line.Str("supervisor", e.Supervisor).Str("child", e.Child).Int("attempt", e.Incarnation).
		Int("restarts", e.Restarts).Dur("delay_ms", e.Delay).AnErr("reason", e.Reason).Msg("child " + string(e.Kind))
}

// tell calls the embedder's hook, which may panic.
func (rt *Runtime) tell(e supervisor.Event) {
	if rt.options.OnEvent == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			rt.log.Error().Str("panic", fmt.Sprint(v)).Msg("OnEvent panicked")
		}
	}()
	rt.options.OnEvent(e)
}

func (rt *Runtime) record(r audit.Record) {
	if rt.trail != nil {
		rt.trail.Post(r)
	}
}

package understudy

import (
	"fmt"
	"strings"

	"github.com/rs/zerolog"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

func (rt *Runtime) onRootEvent(e supervisor.Event) {
	rt.recordEvent(e, false)
	rt.logEvent(e, false)
	rt.tell(e)
}

// onSessionEvent passes a supervisor's decision on to the session it is about, the audit log and the
// embedder.
func (rt *Runtime) onSessionEvent(e supervisor.Event) {
	rt.mu.Lock()
	m := rt.known[e.Child]
	rt.mu.Unlock()
	path := e.Supervisor + "/" + e.Child
	session := m != nil && m.path == path
	if session {
		m.Supervised(e)
		if pool := rt.poolOf(m.home); pool != nil {
			pool.told(e)
		}
	} else { // a group: what becomes of it becomes of its sessions
		for _, member := range rt.below(path) {
			below := e
			below.Supervisor, below.Child = member.home.path, member.Name()
			if e.Kind == supervisor.ChildStarted {
				continue // they report themselves
			}
			member.Supervised(below)
		}
		if pool, err := rt.Pool(e.Child); err == nil && pool.home.path == path {
			pool.told(e)
		}
	}
	rt.recordEvent(e, session)
	rt.logEvent(e, session)
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

// logEvent logs what a supervisor did. Of sessions' lives only its decisions are news: they log their own starts
// and ends.
func (rt *Runtime) logEvent(e supervisor.Event, session bool) {
	level, reason := zerolog.DebugLevel, e.Reason
	switch e.Kind {
	case supervisor.ChildParked, supervisor.Escalated:
		level = zerolog.ErrorLevel // a person must act
	case supervisor.ChildKilled, supervisor.StartFailed:
		level = zerolog.WarnLevel
	case supervisor.ChildExited:
		if !session {
			level = zerolog.WarnLevel
		}
	case supervisor.RestartScheduled:
		level, reason = zerolog.WarnLevel, nil // the line before has it
	}
	line := rt.log.WithLevel(level).Str("supervisor", e.Supervisor).Str("child", e.Child).Int("attempt", e.Incarnation)
	if e.Restarts > 0 {
		line.Int("restarts", e.Restarts)
	}
	if e.Delay > 0 {
		line.Int64("delay_ms", e.Delay.Milliseconds())
	}
	if len(e.Group) > 0 {
		line.Strs("siblings", e.Group)
	}
	line.AnErr("reason", reason).Msg(eventText(e))
}

var eventTexts = map[supervisor.EventKind]string{
	supervisor.ChildStarted: "child started", supervisor.ChildExited: "child ended", supervisor.StartFailed: "child did not start",
	supervisor.RestartScheduled: "child will be restarted", supervisor.ChildParked: "child is parked as failed",
	supervisor.ChildIgnored: "child had nothing to start", supervisor.ChildReset: "child is forgiven its past",
	supervisor.GroupRestart: "siblings go down with child",
	supervisor.ChildStopped: "child stopped", supervisor.ChildKilled: "child did not stop in time and was killed",
	supervisor.Escalated: "supervisor gives up",
}

// eventText says in words what a supervisor did.
func eventText(e supervisor.Event) string {
	switch {
	case e.Restarted():
		return "child restarted"
	case e.Kind == supervisor.ChildReset && e.Child == "":
		return "supervisor forgives its restarts"
	}
	return eventTexts[e.Kind]
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

// moments is what sessions tell their moments to. The embedder's hook may panic.
func (rt *Runtime) moments() func(session.Moment) {
	hook := rt.options.OnMoment
	if hook == nil {
		return nil
	}
	return func(m session.Moment) {
		defer func() {
			if v := recover(); v != nil {
				rt.log.Error().Str("session", m.Session).Str("panic", fmt.Sprint(v)).Msg("OnMoment panicked")
			}
		}()
		hook(m)
	}
}

func (rt *Runtime) record(r audit.Record) {
	if rt.trail != nil {
		rt.trail.Post(r)
	}
}

// RecordLint puts a finding of a check of the configuration into the audit log.
func (rt *Runtime) RecordLint(f audit.Lint) { rt.record(f.Record()) }

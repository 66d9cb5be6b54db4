package understudy

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

// origin is how a session came to be.
type origin struct {
	spawned bool          // at run time
	joins   bool          // a supervisor that is up: see Runtime.join
	label   string        // what it is counted under; empty: its own name
	warm    *session.Warm // of a template by its name
}

// newSession makes a session and takes it down under its name.
func (rt *Runtime) newSession(name string, options session.Options, home *branch, how origin) (_ *session.Session, err error) {
	ground, shared, err := rt.grounds.take(name, options) // not under rt.mu: it looks at the disk
	if err != nil {
		return nil, fmt.Errorf("session %w", err)
	}
	defer func() {
		if err != nil {
			ground.leave()
		}
	}()
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.draining {
		return nil, fmt.Errorf("session %s: %w: the runtime is being drained", name, session.ErrStopped)
	}
	if rt.known[name] != nil || home == rt.sessions && rt.taken(name) {
		return nil, fmt.Errorf("session %s: %w", name, ErrExists)
	}
	stateDir := ""
	if rt.options.DataDir != "" {
		stateDir = filepath.Join(rt.options.DataDir, "state")
	}
	budgets, err := rt.budgetsOf(name, options)
	if err != nil {
		return nil, err
	}
	path, label := home.path+"/"+name, how.label
	if how.spawned {
		label = SpawnedLabel
	}
	s, err := session.New(rt.system, session.Spec{
		Name: name, Options: options, CLI: rt.options.CLI, Path: path, Label: label, Runtime: rt.id, OnMoment: rt.moments(),
		StateDir: stateDir, Ledger: rt.ledger, Scratch: rt.scratch, Audit: rt.trail, Env: rt.witnessed(), Logger: rt.log,
		Budgets: budgets, Governor: rt.governor, Spawned: how.spawned, Enter: ground.enter, Warm: rt.warmFor(options, how),
	})
	if _, damaged := errors.AsType[*session.StateError](err); err != nil && !damaged { // of that the session has said it
		return nil, err
	}
	if err := rt.unclaimed(s); err != nil {
		return nil, err
	}
	if rt.trail != nil {
		rt.trail.Redact(secretsOf(options)...)
	}
	m := &member{Session: s, path: path, home: home, ground: ground, leaving: make(chan struct{}, 1)}
	if how.joins {
		m.joining = make(chan struct{})
	}
	rt.known[name] = m
	if options.InheritsAll() {
		rt.log.Warn().Str("session", name).Str("option", "inherit_env").Msg("the session gets the whole environment of this program")
		rt.record(audit.Lint{
			Rule: "env-inherited", Severity: "error", Message: "the session gets the whole environment of this program", Where: "inherit_env", Session: name,
		}.Record())
	}
	if shared != "" && how.spawned { // the checklist has those of the configuration
		text := fmt.Sprintf("it may write in the same directory as session %s; exclusive_cwd keeps others out", shared)
		rt.log.Warn().Str("session", name).Str("with", shared).Str("option", "cwd").Msg("two sessions may write in one directory")
		rt.record(audit.Lint{Rule: "cwd-shared", Severity: "warning", Message: text, Where: "cwd", Session: name}.Record())
	}
	for _, l := range options.Loosened() { // never in silence
		rt.log.Warn().Str("session", name).Str("profile", string(options.Profile)).Str("option", l.Option).Str("set", l.Set).Msg("looser than its profile")
		rt.record(audit.Lint{Rule: "profile-loosened", Severity: "warning", Message: l.String(), Where: l.Option, Session: name}.Record())
	}
	return s, nil
}

// taken reports whether a group or a pool beside the sessions has that name.
func (rt *Runtime) taken(name string) bool {
	return slices.ContainsFunc(rt.options.Groups, func(g Group) bool { return g.Name == name }) ||
		slices.ContainsFunc(rt.options.Pools, func(p PoolSpec) bool { return p.Name == name })
}

// forget takes a session off the list, unless there is another one of its name by now.
func (rt *Runtime) forget(s *session.Session) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if m := rt.known[s.Name()]; m != nil && m.Session == s {
		delete(rt.known, s.Name())
		m.ground.leave()
	}
}

// policy is the restart policy of sessions outside of groups.
func (rt *Runtime) policy() (supervisor.Intensity, supervisor.Backoff) {
	intensity, backoff := supervisor.DefaultIntensity, DefaultBackoff
	if rt.options.Supervisor.Intensity != nil {
		intensity = *rt.options.Supervisor.Intensity
	}
	if rt.options.Supervisor.Backoff != nil {
		backoff = *rt.options.Supervisor.Backoff
	}
	return intensity, backoff
}

// SpawnedLabel is the Label of sessions that were spawned at run time, in events and snapshots of supervisors and in moments.
// A session of the configuration has its name there, one of a pool the pool's.
const SpawnedLabel = "spawned"

// add starts a session in the background.
func (rt *Runtime) add(ctx context.Context, name string, options session.Options, how origin) error {
	how.joins = true
	s, err := rt.newSession(name, options, rt.sessions, how)
	if err != nil {
		return err
	}
	spec, joined := rt.join(s, s.ChildSpec(rt.policy()))
	defer joined()
	spec.RetryStart = true
	if err := rt.supervisorOf(rt.sessions).AddChild(ctx, spec); err != nil {
		rt.forget(s)
		s.Closing()
		return fmt.Errorf("session %s: %w", name, err)
	}
	return nil
}

// Spawn starts a session and waits until it is ready. If there is state of that name in the data
// directory, its conversation goes on. A session that does not start is not there afterwards; the error
// says why, and is usually a *session.CrashError. Other errors: ErrExists, ErrConversationTaken, ErrDirectoryTaken, or what is wrong with the options.
func (rt *Runtime) Spawn(ctx context.Context, name string, options session.Options) (*session.Session, error) {
	return rt.spawn(ctx, name, options, origin{spawned: true})
}

func (rt *Runtime) spawn(ctx context.Context, name string, options session.Options, how origin) (*session.Session, error) {
	how.joins = true
	s, err := rt.newSession(name, options, rt.sessions, how)
	if err != nil {
		return nil, err
	}
	fresh := s.Info().Generation == 0
	spec, joined := rt.join(s, s.ChildSpec(rt.policy()))
	defer joined()
	home := rt.supervisorOf(rt.sessions)
	if _, err := home.StartChild(ctx, spec); err != nil {
		joined()
		// It may be there all the same: nobody waited for it any more, or it was stopped while it started.
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), rt.parting)
		defer cancel()
		release, gone := rt.alone(stop, s)
		if gone != nil { // somebody has removed it, or is at it
			return nil, err
		}
		return nil, errors.Join(err, rt.part(s, release, func(ctx context.Context) error {
			left := discard(ctx, home, name)
			if errors.Is(left, supervisor.ErrStopping) || errors.Is(left, actor.ErrStopped) {
				left = nil
			}
			s.Closing() // somebody may have found it meanwhile, and wait for it
			if fresh {  // it never was; the record of an earlier one is kept
				left = errors.Join(left, s.Forget(ctx))
			}
			return left
		}))
	}
	return s, nil
}

// join is for who gives a session to a supervisor that is up: between its being known by its name and the supervisor's having heard of it
// nobody can take it away, as there is nothing to take. The supervisor has heard of it when it starts it, or when it has refused to; joined says so.
func (rt *Runtime) join(s *session.Session, spec supervisor.ChildSpec) (_ supervisor.ChildSpec, joined func()) {
	m, err := rt.member(s.Name())
	if err != nil || m.Session != s || m.joining == nil {
		return spec, func() {}
	}
	joined = sync.OnceFunc(func() { close(m.joining) })
	start := spec.Start
	spec.Start = func(ctx context.Context) (actor.PID, error) {
		joined()
		return start(ctx)
	}
	return spec, joined
}

// alone is for who takes a session out of the tree: of several who want that, one does it, and the others wait
// and are told ErrNoSession. By then its name may be another's.
func (rt *Runtime) alone(ctx context.Context, s *session.Session) (release func(), err error) {
	gone := fmt.Errorf("%w: %s", ErrNoSession, s.Name())
	m, err := rt.member(s.Name())
	if err != nil || m.Session != s {
		return nil, gone
	}
	select {
	case m.leaving <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("session %s: %w", s.Name(), context.Cause(ctx))
	}
	release = func() { <-m.leaving }
	if m.joining != nil {
		select {
		case <-m.joining:
		case <-ctx.Done():
			release()
			return nil, fmt.Errorf("session %s: %w", s.Name(), context.Cause(ctx))
		}
	}
	if now, err := rt.member(s.Name()); err != nil || now != m {
		release()
		return nil, gone
	}
	return release, nil
}

// part does the last of taking a session away and forgets it then: until its processes have ended nobody else has its name, whose next
// process would be taken for what these have left. A disk that stalls and a container engine that does not answer can take
// longer than anybody waits; then the rest is done by itself.
func (rt *Runtime) part(s *session.Session, release func(), last func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { // ends when the session's processes have, or its supervisor
		defer release()
		err := last(context.Background())
		rt.forget(s)
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(rt.parting):
	}
	go func() { // ends with the other
		err := <-done
		rt.log.Info().AnErr("error", err).Str("session", s.Name()).Msg("the session has ended; its name is free")
	}()
	return fmt.Errorf("session %s: what it has started has not ended within %v; its name is free once it has", s.Name(), rt.parting)
}

// discard stops a child and deletes it, also if somebody starts it again in between. That it is gone
// is no error. If ctx ends before it has stopped, it is there still, and stops by itself.
func discard(ctx context.Context, home *supervisor.Supervisor, name string) error {
	for {
		err := home.TerminateChild(ctx, name)
		if err == nil {
			err = home.DeleteChild(context.WithoutCancel(ctx), name) // its session would be known, and could not be started again
		}
		switch {
		case errors.Is(err, supervisor.ErrRunning), errors.Is(err, supervisor.ErrRestarting):
			if ctx.Err() != nil {
				return fmt.Errorf("%w: %w", context.Cause(ctx), err)
			}
		case errors.Is(err, supervisor.ErrNotFound):
			return nil
		default:
			return err
		}
	}
}

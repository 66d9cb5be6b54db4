package understudy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

// Session returns the session of that name, or ErrNoSession.
func (rt *Runtime) Session(name string) (*session.Session, error) {
	m, err := rt.member(name)
	if err != nil {
		return nil, err
	}
	return m.Session, nil
}

func (rt *Runtime) member(name string) (*member, error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	m := rt.known[name]
	switch {
	case m != nil:
		return m, nil
	case rt.pools[name] != nil:
		return nil, fmt.Errorf("%w: %s is a pool, and its sessions have names of their own", ErrNoSession, name)
	}
	return nil, fmt.Errorf("%w: %s", ErrNoSession, name)
}

// Sessions returns all sessions, sorted by name.
func (rt *Runtime) Sessions() []*session.Session {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	all := make([]*session.Session, 0, len(rt.known))
	for _, m := range rt.known {
		all = append(all, m.Session)
	}
	slices.SortFunc(all, func(a, b *session.Session) int { return cmp.Compare(a.Name(), b.Name()) })
	return all
}

// Restart brings a session into a new process whatever it is doing, and waits until it is ready. It does
// not count as a restart, and forgives a failed session. Queued queries are kept. If the session's group has
// ended, the group is restarted.
func (rt *Runtime) Restart(ctx context.Context, name string) error {
	m, err := rt.member(name)
	if err != nil {
		return err
	}
	if err := m.Retire(false); err != nil {
		rt.log.Error().Err(err).Str("session", name).Msg("session state is not on disk")
	}
	home, child := rt.standing(m.home)
	members := []*member{m}
	if child == "" {
		child = name
	} else {
		members = rt.below(home.path + "/" + child)
	}
	var undo []func()
	for _, member := range members {
		undo = append(undo, member.Starting())
	}
	if _, err = rt.supervisorOf(home).RecycleChild(ctx, child); err != nil {
		for _, f := range undo {
			f()
		}
	}
	return err
}

// Stop ends a session. It stays known, and Restart starts it again.
func (rt *Runtime) Stop(ctx context.Context, name string) error {
	m, err := rt.member(name)
	if err != nil {
		return err
	}
	home, err := rt.homeOf(m)
	if err != nil {
		return err
	}
	if err := home.TerminateChild(ctx, name); err != nil {
		return err
	}
	return errors.Join(m.Retire(true), m.Settle())
}

// configured reports whether a session is one of the configuration, which would be back after the next start or reload.
func (rt *Runtime) configured(name string) bool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return slices.ContainsFunc(sessionsOf(rt.options.Sessions, rt.options.Groups), func(s SessionSpec) bool { return s.Name == name })
}

// homeOf is the supervisor of a session. A group that has not come up yet has none.
func (rt *Runtime) homeOf(m *member) (*supervisor.Supervisor, error) {
	if home := rt.supervisorOf(m.home); home != nil {
		return home, nil
	}
	return nil, fmt.Errorf("session %s: its group %s: %w", m.Name(), m.home.name, supervisor.ErrStarting)
}

// Remove stops a session and forgets it, its state on disk included. A pool that it is one of starts another in its place when it has
// fewer than its minimum, or needs more. Of one that is not there, and has left its state, that is removed (see Kept); a Reload that is at work
// is waited for, since it may bring the session back.
//
// A turn that is running is interrupted, and prompts that wait end with session.ErrStopped. The conversation is the CLI's, and stays where
// the CLI keeps it: Options.Resume goes on with it. With IsolateHome that is a directory of the session's own, and goes with it.
func (rt *Runtime) Remove(ctx context.Context, name string) error {
	return rt.removeBy(ctx, name, true, rt.remove)
}

// RemoveIdle is Remove for a session that has nothing to do. With a turn that runs, prompts that wait, or tasks in the background it is
// session.ErrAtWork, and the session stays as it is. A prompt that comes meanwhile is refused.
func (rt *Runtime) RemoveIdle(ctx context.Context, name string) error {
	return rt.removeBy(ctx, name, false, func(ctx context.Context, s *session.Session) error {
		back, err := s.Vacate(ctx)
		if err != nil {
			return err
		}
		err = rt.remove(ctx, s)
		if m, known := rt.member(name); known == nil && m.Session == s {
			back() // it is there still, and may be used
		}
		return err
	})
}

func (rt *Runtime) removeBy(ctx context.Context, name string, force bool, remove func(context.Context, *session.Session) error) error {
	m, err := rt.member(name)
	if err != nil {
		if err := rt.removeKept(ctx, name, force); !errors.Is(err, errReturned) {
			return err
		}
		if m, err = rt.member(name); err != nil {
			return err
		}
	}
	err = remove(ctx, m.Session)
	now, gone := rt.member(name)
	if pool := rt.poolOf(m.home); pool != nil && (gone != nil || now != m) {
		pool.without(m.Session)
		pool.fill()
	}
	return err
}

// remove is Remove for this session, and no other one of its name.
func (rt *Runtime) remove(ctx context.Context, s *session.Session) error {
	release, err := rt.alone(ctx, s)
	if err != nil {
		return err
	}
	m, err := rt.member(s.Name())
	if err != nil {
		release()
		return err
	}
	home, err := rt.homeOf(m)
	if err != nil {
		release()
		return err
	}
	rt.change(m.home, s.Name())
	stay := s.Leaving()
	if err := discard(ctx, home, s.Name()); err != nil {
		defer release()
		rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), rt.parting)
		defer cancel()
		return errors.Join(err, stay(rest))
	}
	s.Closing() // somebody may be about to restart it
	return rt.part(s, release, s.Forget)
}

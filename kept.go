package understudy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// Kept are the sessions that the data directory has the state of and that are not there, by name: a reload, or another configuration, has
// taken them away, a spawned one was stopped before the last start, or could not be started again. One of the same name goes on with it.
// Remove removes it.
func (rt *Runtime) Kept() ([]session.Kept, error) {
	if rt.stateDir() == "" {
		return nil, nil
	}
	all, err := session.ListKept(rt.stateDir())
	rt.mu.Lock()
	defer rt.mu.Unlock()
	var kept []session.Kept
	for _, k := range all {
		if rt.known[k.Name] == nil {
			kept = append(kept, k)
		}
	}
	return kept, err
}

// Kept are those sessions as nodes of no tree.
func (b *backend) Kept(context.Context) ([]debug.Node, error) {
	all, err := b.Runtime.Kept()
	var nodes []debug.Node
	for _, k := range all {
		n := debug.Node{
			Name: k.Name, Kind: debug.KindSession, State: debug.StateKept, Since: k.WrittenAt, Restarts: k.Restarts,
			SessionFields: &debug.SessionFields{
				SessionID: k.SessionID, Generation: k.Generation, Queue: k.Queue, Turns: k.Turns, CostUSD: k.CostUSD, Model: k.Model, CWD: k.CWD,
				Ephemeral: k.Ephemeral, IsolatedHome: k.IsolatedHome, Configured: b.configured(k.Name),
			},
		}
		if k.Err != nil {
			n.Reason = k.Err.Error()
		}
		nodes = append(nodes, n)
	}
	return nodes, err
}

// errReturned says that a session is there after all.
var errReturned = errors.New("the session is there again")

// removeKept removes what the data directory has of a session that is not there. Without one it is ErrNoSession, and errReturned if it has
// come back meanwhile.
func (rt *Runtime) removeKept(ctx context.Context, name string, force bool) error {
	if has, err := session.HasRecord(rt.stateDir(), name); err != nil || !has {
		return errors.Join(fmt.Errorf("%w: %s", ErrNoSession, name), err)
	}
	// A reload has sessions away that it starts anew: what is not there in its midst will be.
	select {
	case rt.reloading <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("session %s: %w", name, context.Cause(ctx))
	}
	defer func() { <-rt.reloading }()
	m, forget, err := rt.recall(name, force)
	if err != nil {
		return err
	}
	defer func() { // until then nobody else has its name, and who wants to remove it too waits
		rt.forget(m.Session)
		<-m.leaving
	}()
	m.Closing()
	return forget(ctx)
}

// recall has a session whose record is all that there is of it take its name, with nobody else to take it away.
func (rt *Runtime) recall(name string, force bool) (_ *member, forget func(context.Context) error, err error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.known[name] != nil {
		return nil, nil, fmt.Errorf("session %s: %w", name, errReturned)
	}
	if !rt.root.PID().Alive() { // the directory may be another runtime's by now
		return nil, nil, fmt.Errorf("session %s: %w: the runtime has ended", name, session.ErrStopped)
	}
	path := rt.sessions.path + "/" + name
	spec := session.Spec{Name: name, Path: path, Runtime: rt.id, StateDir: rt.stateDir(), Scratch: rt.scratch, Audit: rt.trail, Logger: rt.log}
	for b := range maps.Values(rt.budgets) { // which options it had nobody knows any more; the budgets do, and its record
		if _, counted := b.State().Sessions[name]; counted {
			spec.Budgets = append(spec.Budgets, b)
		}
	}
	s, forget, err := session.Recall(rt.system, spec, force)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: %s", ErrNoSession, name)
	}
	if err != nil {
		return nil, nil, err
	}
	m := &member{Session: s, path: path, home: rt.sessions, ground: &ground{of: &rt.grounds, name: name}, leaving: make(chan struct{}, 1)}
	m.leaving <- struct{}{}
	rt.known[name] = m
	return m, forget, nil
}

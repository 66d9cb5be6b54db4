package understudy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// apply makes the changes: what ends ends at the same time, what begins begins in order.
func (rt *Runtime) apply(ctx context.Context, spec ReloadSpec, p *plan) {
	before, after := make(map[string]place), make(map[string]place)
	groups := make(map[string]Group)
	rt.mu.Lock()
	spread(rt.sessions.path, rt.options.Sessions, rt.options.Groups, before, make(map[string]Group))
	rt.mu.Unlock()
	spread(rt.sessions.path, spec.Sessions, spec.Groups, after, groups)

	byName := make(map[string]*Change)
	for i := range p.changes {
		byName[p.changes[i].Name()] = &p.changes[i]
	}
	fail := func(c *Change, err error) {
		if err != nil && c != nil {
			c.Error = err.Error()
		}
	}
	gone := rt.applyBudgets(spec, byName, fail)
	if c := byName["limits"]; c != nil {
		fail(c, rt.governor.SetLimits(startingLimits(spec.Limits)))
	}
	rt.applyEnds(ctx, spec, p, byName, before, fail)
	for _, b := range gone {
		_ = b.Flush() // onBudget is told
	}
	same := func(name string) bool { c := byName[name]; return c != nil && c.Error != "" }
	rt.mu.Lock()
	rt.options.Groups, rt.options.Pools = still(rt.sessions.path, spec.Groups, before, after, same), slices.Clone(spec.Pools)
	rt.options.Budgets, rt.options.Limits = slices.Clone(spec.Budgets), spec.Limits
	rt.mu.Unlock()
	rt.applyBegins(ctx, spec, p, byName, after, groups, fail)
	for _, c := range p.changes {
		line := rt.log.Info()
		text := "reload"
		if c.Error != "" {
			line, text = rt.log.Error().Str("error", c.Error), "reload: not done"
		}
		if c.Session != "" {
			line.Str("session", c.Session)
		} else {
			line.Str("setting", c.Setting)
		}
		line.Str("action", string(c.Action)).Strs("fields", fieldNames(c.Fields)).Msg(text)
	}
}

// still is what the groups are to be, but for sessions that could not be changed or removed: they are in them as they were, so that
// another reload finds what there is to do.
func still(above string, groups []Group, before, after map[string]place, same func(name string) bool) []Group {
	groups = slices.Clone(groups)
	for i := range groups {
		g := &groups[i]
		path := above + "/" + g.Name
		g.Sessions = slices.Clone(g.Sessions)
		for j, s := range g.Sessions {
			if was := before[s.Name]; was.home == path && same(s.Name) {
				g.Sessions[j].Options = was.options
			}
		}
		for _, name := range slices.Sorted(maps.Keys(before)) {
			if _, wanted := after[name]; !wanted && before[name].home == path && same(name) {
				g.Sessions = append(g.Sessions, SessionSpec{name, before[name].options})
			}
		}
		g.Groups = still(path, g.Groups, before, after, same)
	}
	return groups
}

// applyEnds ends what is gone, and what is started anew.
func (rt *Runtime) applyEnds(ctx context.Context, spec ReloadSpec, p *plan, byName map[string]*Change, before map[string]place, fail func(*Change, error)) {
	var ends sync.WaitGroup
	var one sync.Mutex // for the errors of groups, which are those of their sessions too
	for _, c := range byName {
		pool, isPool := strings.CutPrefix(c.Setting, "pools.")
		switch {
		case isPool && c.Action == debug.Removed:
			ends.Go(func() { fail(c, rt.dismissPool(ctx, pool, spec.Drain)) }) // ends with its sessions
		case c.Session == "" || c.Action == debug.Added || within(before[c.Session].home, p.ends):
		default:
			ends.Go(func() { fail(c, rt.dismiss(ctx, c.Session, spec.Drain)) }) // ends when the session has, which takes Drain and its Shutdown at most
		}
	}
	for _, path := range p.ends {
		ends.Go(func() { // ends when its sessions have
			err := rt.dismissGroup(ctx, path, spec.Drain)
			if err == nil {
				return
			}
			one.Lock()
			defer one.Unlock()
			fail(byName[settingOf(path)], err)
			for name, at := range before {
				if within(at.home, []string{path}) {
					fail(byName[name], err)
				}
			}
		})
	}
	ends.Wait()
}

// applyBegins starts what is new, and what was ended to be started anew.
func (rt *Runtime) applyBegins(ctx context.Context, spec ReloadSpec, p *plan, byName map[string]*Change, after map[string]place, groups map[string]Group, fail func(*Change, error)) {
	outside := rt.sessions.path
	for i := range p.changes { // those outside of groups come first, as they do at the start
		c := &p.changes[i]
		at, stays := after[c.Session]
		switch {
		case c.Session == "" || c.Error != "" || within(at.home, p.begins):
		case !stays:
			rt.want(c.Session, nil)
		case at.home != outside:
			rt.want(c.Session, nil) // it may have been outside
		default:
			rt.want(c.Session, &at.options) // first: as soon as it is there nobody removes what is in the configuration
			err := rt.add(ctx, c.Session, at.options, origin{})
			fail(c, err)
			if err != nil {
				rt.want(c.Session, nil) // it is not there
			}
		}
	}
	for _, path := range p.begins {
		c := byName[settingOf(path)]
		if c.Error != "" {
			continue
		}
		err := rt.addGroup(ctx, path, groups)
		fail(c, err)
		for name, at := range after {
			if within(at.home, []string{path}) {
				rt.want(name, nil)
				fail(byName[name], err)
			}
		}
	}
	for i := range p.changes {
		c := &p.changes[i]
		at, stays := after[c.Session]
		if c.Session != "" && c.Error == "" && stays && at.home != outside && !within(at.home, p.begins) {
			fail(c, rt.addMember(ctx, groups[at.home], at, c.Session))
		}
	}
	for _, pool := range spec.Pools {
		c := byName["pools."+pool.Name]
		switch {
		case c == nil || c.Error != "":
		case c.Action == debug.Added:
			fail(c, rt.addPool(ctx, pool))
		default:
			running, err := rt.Pool(pool.Name)
			if err == nil {
				running.become(pool, spec.Drain)
			}
			fail(c, err)
		}
	}
}

// applyBudgets sets those that there are, and opens new ones. Those that are gone nobody has, once the sessions have changed.
func (rt *Runtime) applyBudgets(spec ReloadSpec, byName map[string]*Change, fail func(*Change, error)) (gone []*session.Budget) {
	rt.mu.Lock()
	next := make(map[string]*session.Budget)
	for _, b := range spec.Budgets {
		if there := rt.budgets[b.Name]; there != nil {
			next[b.Name] = there
		}
	}
	old := maps.Clone(rt.budgets)
	rt.mu.Unlock()
	for _, b := range spec.Budgets {
		c := byName["budgets."+b.Name]
		switch {
		case c == nil:
		case next[b.Name] != nil:
			fail(c, next[b.Name].Set(b))
		default:
			made, text, err := rt.openBudget(b)
			if text != "" {
				rt.noteDamage(text)
			}
			if made != nil {
				next[b.Name] = made
			}
			fail(c, err)
		}
	}
	rt.mu.Lock()
	rt.budgets = next
	rt.mu.Unlock()
	for name, b := range old {
		if next[name] == nil {
			gone = append(gone, b)
		}
	}
	return gone
}

// want takes down what the configuration says of a session; nil: nothing.
func (rt *Runtime) want(name string, o *session.Options) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(rt.options.Sessions), func(s SessionSpec) bool { return s.Name == name })
	if o != nil {
		all = append(all, SessionSpec{name, *o})
	}
	rt.options.Sessions = all
}

// addMember starts a session in a group that runs. One that is down or parked comes up with it.
func (rt *Runtime) addMember(ctx context.Context, g Group, at place, name string) error {
	rt.mu.Lock()
	b := rt.groups[at.home]
	rt.mu.Unlock()
	if b == nil {
		return fmt.Errorf("session %s: %w: its group has ended", name, ErrNoSession)
	}
	child, err := rt.memberSpec(b, g, SessionSpec{name, at.options}, origin{joins: true})
	if err != nil {
		return err
	}
	made, err := rt.Session(name)
	if err != nil {
		return err
	}
	child, joined := rt.join(made, child)
	defer joined()
	rt.change(b, name, child)
	return rt.addTo(ctx, b, child)
}

// addGroup starts a group, and all that is in it.
func (rt *Runtime) addGroup(ctx context.Context, path string, groups map[string]Group) error {
	i := strings.LastIndexByte(path, '/')
	parent := rt.sessions
	intensity, _ := rt.policy()
	if above, ok := groups[path[:i]]; ok {
		rt.mu.Lock()
		parent = rt.groups[path[:i]]
		rt.mu.Unlock()
		intensity = *above.Intensity
	}
	if parent == nil {
		return fmt.Errorf("group %s: the one above it has ended", groups[path].Name)
	}
	child, err := rt.groupSpec(parent, groups[path], intensity)
	if err == nil {
		rt.change(parent, child.ID, child)
		err = rt.addTo(ctx, parent, child)
	}
	if err != nil {
		rt.change(parent, groups[path].Name)
		rt.forgetGroup(path)
		return fmt.Errorf("group %s: %w", groups[path].Name, err)
	}
	return nil
}

// addTo adds a child to a supervisor that is up. One that is not will have it when it comes up.
func (rt *Runtime) addTo(ctx context.Context, b *branch, child supervisor.ChildSpec) error {
	home := rt.supervisorOf(b)
	if home == nil || !home.PID().Alive() {
		return nil
	}
	err := home.AddChild(ctx, child)
	if errors.Is(err, supervisor.ErrAlreadyPresent) || errors.Is(err, supervisor.ErrAlreadyStarted) { // it has just come up with it
		return nil
	}
	return err
}

// dismissGroup ends a group with all that is in it: turns that run may go on for drain.
func (rt *Runtime) dismissGroup(ctx context.Context, path string, drain time.Duration) error {
	rt.mu.Lock()
	b := rt.groups[path]
	rt.mu.Unlock()
	if b == nil {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, drain)
	defer cancel()
	var ends sync.WaitGroup
	for _, m := range rt.below(path) {
		ends.Go(func() { // ends with the session's turn, or with limited
			if err := m.Drain(limited); err != nil {
				rt.log.Warn().Err(err).Str("session", m.Name()).Msg("reload: the turn that runs is interrupted")
			}
		})
	}
	ends.Wait()
	rt.change(b.above, b.name)
	if home := rt.supervisorOf(b.above); home != nil {
		if err := discard(ctx, home, b.name); err != nil {
			return err
		}
	}
	rt.forgetGroup(path)
	return nil
}

// forgetGroup forgets a group and all that is in it, but for the sessions' state on disk.
func (rt *Runtime) forgetGroup(path string) {
	for _, m := range rt.below(path) {
		rt.settled(m.Session)
		rt.forget(m.Session)
	}
	rt.mu.Lock()
	defer rt.mu.Unlock()
	maps.DeleteFunc(rt.groups, func(of string, _ *branch) bool { return within(of, []string{path}) })
}

// settled closes a session that is not running any more, and has on disk what it leaves.
func (rt *Runtime) settled(s *session.Session) {
	s.Closing()
	if err := s.Settle(); err != nil {
		rt.log.Error().Err(err).Str("session", s.Name()).Msg("session state is not on disk")
	}
}

// dismiss ends a session outside of groups and forgets it, but for its state on disk.
func (rt *Runtime) dismiss(ctx context.Context, name string, drain time.Duration) error {
	m, err := rt.member(name)
	if errors.Is(err, ErrNoSession) {
		return nil // somebody was faster
	}
	if err != nil {
		return err
	}
	home, err := rt.homeOf(m)
	if err != nil {
		return err
	}
	release, err := rt.alone(ctx, m.Session)
	if errors.Is(err, ErrNoSession) {
		return nil
	}
	if err != nil {
		return err
	}
	defer release()
	limited, cancel := context.WithTimeout(ctx, drain)
	defer cancel()
	if err := m.Drain(limited); err != nil {
		rt.log.Warn().Err(err).Str("session", name).Msg("reload: the turn that runs is interrupted")
	}
	rt.change(m.home, name)
	if home.PID().Alive() { // else its group is down
		if err := discard(ctx, home, name); err != nil {
			return err
		}
	}
	rt.settled(m.Session)
	rt.forget(m.Session) // last: until then nobody else has its name
	return nil
}

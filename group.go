package understudy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

// Group is a supervisor of its own for some of the sessions, with its own strategy and intensity: they
// count their restarts together, and when these are too many the group is stopped, and the supervisor above
// starts it again, or parks it. Groups nest to any depth.
type Group struct {
	// Name names the group among its siblings, as sessions are named.
	Name string
	// Strategy is one_for_one if empty.
	Strategy supervisor.Strategy
	// Intensity is 3 in 5 seconds if nil; Backoff is DefaultBackoff.
	Intensity *supervisor.Intensity
	Backoff   *supervisor.Backoff
	// Sessions are started in this order, one after the other, and stopped in reverse. Their names are
	// unique in the whole runtime.
	Sessions []SessionSpec
	// Groups are started after the sessions.
	Groups []Group
}

// cloned is a copy that nobody changes.
func cloned(groups []Group) []Group {
	groups = slices.Clone(groups)
	for i := range groups {
		groups[i].Sessions, groups[i].Groups = slices.Clone(groups[i].Sessions), cloned(groups[i].Groups)
	}
	return groups
}

// validate reports everything that is wrong with a group and those below it.
func (g Group) validate(seen map[string]bool) error {
	var problems []error
	if !session.ValidName(g.Name) {
		problems = append(problems, fmt.Errorf("group %q: expected a name of up to 64 letters, digits, dots, underscores and dashes, beginning with a letter or digit", g.Name))
	}
	problems = append(problems, validateSessions(g.Sessions, seen))
	names := make(map[string]bool)
	for _, s := range g.Sessions {
		names[s.Name] = true
	}
	for _, below := range g.Groups {
		if names[below.Name] {
			problems = append(problems, fmt.Errorf("group %s: two children %q", g.Name, below.Name))
		}
		names[below.Name] = true
		problems = append(problems, below.validate(seen))
	}
	return errors.Join(problems...)
}

func validateSessions(sessions []SessionSpec, seen map[string]bool) error {
	var problems []error
	for _, s := range sessions {
		if !session.ValidName(s.Name) {
			problems = append(problems, fmt.Errorf("session name %q: expected up to 64 letters, digits, dots, underscores and dashes, beginning with a letter or digit", s.Name))
		}
		if seen[s.Name] {
			problems = append(problems, fmt.Errorf("session %s: %w", s.Name, ErrExists))
		}
		seen[s.Name] = true
		if err := s.Options.Validate(); err != nil {
			problems = append(problems, fmt.Errorf("session %s: %w", s.Name, err))
		}
	}
	return errors.Join(problems...)
}

// member is a session and where it is in the tree.
type member struct {
	*session.Session
	path    string
	home    *branch
	ground  *ground
	joining chan struct{} // closed when its supervisor has heard of it; nil if that comes up with it
	leaving chan struct{} // holds one, while somebody dismisses it
}

// branch is a supervisor of sessions. The supervisor behind it changes when it is restarted.
type branch struct {
	name  string
	path  string
	above *branch // nil for that of all sessions

	// Guarded by Runtime.mu.
	current  *supervisor.Supervisor
	children []supervisor.ChildSpec // of a group: with which it comes up
}

// withDefaults fills in what is zero, but for what is below.
func (g Group) withDefaults() Group {
	g.Strategy = cmp.Or(g.Strategy, supervisor.OneForOne)
	if g.Intensity == nil {
		g.Intensity = &supervisor.DefaultIntensity
	}
	if g.Backoff == nil {
		g.Backoff = &DefaultBackoff
	}
	return g
}

// supervisorOf is the supervisor of the moment of a branch.
func (rt *Runtime) supervisorOf(b *branch) *supervisor.Supervisor {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return b.current
}

// standing is the lowest branch at or above b whose supervisor is up, and the name of the child of it that
// leads to b; the name is empty if b itself is up.
func (rt *Runtime) standing(b *branch) (up *branch, child string) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	for ; b.above != nil && (b.current == nil || !b.current.PID().Alive()); b = b.above {
		child = b.name
	}
	return b, child
}

// start gives a branch a new supervisor, as its own supervisor wants it.
func (rt *Runtime) start(ctx context.Context, b *branch, options supervisor.Options) (actor.PID, error) {
	options.Name, options.OnEvent, options.Logger = b.path, rt.onSessionEvent, rt.log
	s, err := supervisor.Start(ctx, rt.system, options)
	if err != nil {
		return actor.PID{}, err
	}
	rt.mu.Lock()
	b.current = s
	rt.mu.Unlock()
	return s.PID(), nil
}

// groupSpec makes a group's sessions and says how the supervisor above holds it.
func (rt *Runtime) groupSpec(parent *branch, g Group, above supervisor.Intensity) (supervisor.ChildSpec, error) {
	g = g.withDefaults()
	b := &branch{name: g.Name, path: parent.path + "/" + g.Name, above: parent}
	for _, s := range g.Sessions {
		spec, err := rt.memberSpec(b, g, s, origin{})
		if err != nil {
			return supervisor.ChildSpec{}, err
		}
		b.children = append(b.children, spec)
	}
	for _, below := range g.Groups {
		spec, err := rt.groupSpec(b, below, *g.Intensity)
		if err != nil {
			return supervisor.ChildSpec{}, err
		}
		b.children = append(b.children, spec)
	}
	rt.mu.Lock()
	rt.groups[b.path] = b
	rt.mu.Unlock()
	return supervisor.ChildSpec{
		ID: g.Name, Kind: supervisor.Supervised, RetryStart: true,
		Start: func(ctx context.Context) (actor.PID, error) {
			return rt.start(ctx, b, supervisor.Options{
				Strategy: g.Strategy, Intensity: g.Intensity, Backoff: *g.Backoff, Children: rt.childrenOf(b),
			})
		},
		Intensity: &above, OnExhausted: supervisor.Fail, Backoff: g.Backoff,
	}, nil
}

// memberSpec makes a session of a group and says how the group's supervisor holds it.
func (rt *Runtime) memberSpec(b *branch, g Group, s SessionSpec, how origin) (supervisor.ChildSpec, error) {
	made, err := rt.newSession(s.Name, s.Options, b, how)
	if err != nil {
		return supervisor.ChildSpec{}, err
	}
	spec := made.ChildSpec(*g.Intensity, *g.Backoff)
	// They count together, and too many are the group's end.
	spec.Intensity, spec.OnExhausted, spec.RetryStart = nil, supervisor.Escalate, true
	return spec, nil
}

// childrenOf are those with which a group comes up.
func (rt *Runtime) childrenOf(b *branch) []supervisor.ChildSpec {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return slices.Clone(b.children)
}

// change takes down what a group comes up with from now on: without the child of that name, and with another if there is one.
func (rt *Runtime) change(b *branch, without string, with ...supervisor.ChildSpec) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	b.children = append(slices.DeleteFunc(slices.Clone(b.children), func(c supervisor.ChildSpec) bool { return c.ID == without }), with...)
}

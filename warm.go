package understudy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

// WarmSpec says of which template how many processes wait for sessions to come.
type WarmSpec struct {
	// Template names it: see Runtime.SpawnFrom.
	Template string
	// Options are those of its sessions. Some cannot be had in advance: session.Options.ForWarm.
	Options session.Options
	// Count is how many processes wait.
	Count int
}

// warmChild is the child of the root that has the processes which wait.
const warmChild = "warm"

// makeWarm makes sets of processes, without starting them.
func (rt *Runtime) makeWarm(specs []WarmSpec) (map[string]*session.Warm, error) {
	made := make(map[string]*session.Warm, len(specs))
	var problems []error
	for _, w := range specs {
		if made[w.Template] != nil {
			problems = append(problems, fmt.Errorf("template %s: a template of that name is there already", w.Template))
			continue
		}
		set, err := session.NewWarm(rt.system, session.Spec{
			Name: w.Template, Options: w.Options, CLI: rt.options.CLI, Path: "root/" + warmChild, Runtime: rt.id,
			Ledger: rt.ledger, Scratch: rt.scratch, Audit: rt.trail, Env: rt.witnessed(), Governor: rt.governor, Logger: rt.log,
		}, w.Count)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		made[w.Template] = set
	}
	return made, errors.Join(problems...)
}

// SetWarm says anew of which templates how many processes wait. Those of a template that is as it was go on waiting; others are
// ended, and what is new is started in the background. Sessions that there are keep what they have. Errors: what is wrong with
// the specs, and nothing is changed then; or that the runtime is ending.
func (rt *Runtime) SetWarm(ctx context.Context, specs []WarmSpec) error {
	made, err := rt.makeWarm(specs)
	if err != nil {
		return err
	}
	rt.mu.Lock()
	was := rt.warm
	var old, fresh []*session.Warm
	for name, set := range was {
		if next := made[name]; next != nil && next.Count() == set.Count() && set.Fits(next.Options()) {
			made[name] = set
			continue
		}
		old = append(old, set)
	}
	for name, set := range made {
		if was[name] != set {
			fresh = append(fresh, set)
		}
	}
	rt.warm = made
	rt.mu.Unlock()

	if rt.trail != nil {
		for _, w := range specs {
			rt.trail.Redact(secretsOf(w.Options)...)
		}
	}
	home := rt.supervisorOf(rt.warmth)
	if home == nil {
		if len(fresh) == 0 {
			return nil
		}
		return rt.startWarm(ctx, fresh)
	}
	intensity, backoff := rt.policy()
	var problems []error
	for _, set := range old {
		for _, child := range set.Children(intensity, backoff) {
			problems = append(problems, discard(ctx, home, child.ID))
		}
	}
	for _, set := range fresh {
		for _, child := range set.Children(intensity, backoff) {
			problems = append(problems, home.AddChild(ctx, child))
		}
	}
	return errors.Join(problems...)
}

// startWarm adds the supervisor of the processes that wait, without waiting for them.
func (rt *Runtime) startWarm(ctx context.Context, sets []*session.Warm) error {
	intensity, backoff := rt.policy()
	options := supervisor.Options{Independent: true, Intensity: &intensity}
	for _, set := range sets {
		options.Children = append(options.Children, set.Children(intensity, backoff)...)
	}
	if len(options.Children) == 0 {
		return nil
	}
	err := rt.root.AddChild(ctx, supervisor.ChildSpec{
		ID: warmChild, Kind: supervisor.Supervised, Shutdown: supervisor.Infinity, RetryStart: true,
		Intensity: &intensity, OnExhausted: supervisor.Fail, Backoff: &backoff,
		Start: func(ctx context.Context) (actor.PID, error) { return rt.start(ctx, rt.warmth, options) },
	})
	if err != nil {
		return fmt.Errorf("warm: %w", err)
	}
	return nil
}

// endWarm ends the processes that wait: no sessions are to come any more.
func (rt *Runtime) endWarm(ctx context.Context) error {
	err := rt.root.TerminateChild(ctx, warmChild)
	if errors.Is(err, supervisor.ErrNotFound) || errors.Is(err, supervisor.ErrStopping) || errors.Is(err, actor.ErrStopped) {
		return nil
	}
	return err
}

// SpawnFrom is Spawn with the options of a template that Options.Warm or SetWarm names: the session takes one of its
// processes that wait, if there is one, and is ready in milliseconds. Spawn and pools do the same for options that are equal to a
// template's; where these have functions, which cannot be compared, this is the way. Errors: those of Spawn, and ErrNoTemplate.
func (rt *Runtime) SpawnFrom(ctx context.Context, template, name string) (*session.Session, error) {
	rt.mu.Lock()
	set := rt.warm[template]
	rt.mu.Unlock()
	if set == nil {
		return nil, fmt.Errorf("%w %q", ErrNoTemplate, template)
	}
	return rt.spawn(ctx, name, set.Options(), origin{spawned: true, warm: set})
}

// ErrNoTemplate says that there is no template of that name among those of Options.Warm.
var ErrNoTemplate = errors.New("no such template")

// warmFor are the processes that a session of these options may take; nil if there are none. rt.mu is held.
func (rt *Runtime) warmFor(options session.Options, how origin) *session.Warm {
	if how.warm != nil {
		return how.warm
	}
	for _, set := range rt.warm {
		if set.Fits(options) {
			return set
		}
	}
	return nil
}

// waiting describes the process that waits in that place of the tree.
func (rt *Runtime) waiting(path, child string) (session.Info, bool) {
	if path != rt.warmth.path+"/"+child {
		return session.Info{}, false
	}
	rt.mu.Lock()
	sets := slices.Collect(maps.Values(rt.warm))
	rt.mu.Unlock()
	for _, set := range sets {
		if info, ok := set.Info(child); ok {
			return info, true
		}
	}
	return session.Info{}, false
}

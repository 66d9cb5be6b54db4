package understudy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// Change is what a Reload does to one session, or would do.
type Change = debug.Change

// ReloadSpec says what a runtime is to be from now on.
type ReloadSpec struct {
	// Sessions take the place of Options.Sessions.
	Sessions []SessionSpec
	// DryRun compares and validates, and does nothing.
	DryRun bool
	// Drain is how long turns that run may go on in sessions that are changed or removed. Then they are interrupted.
	Drain time.Duration
	// Configuration is what Sessions were read from, Principal who asked: for the audit log. Detail is recorded beside them.
	Configuration Configuration
	Principal     string
	Detail        map[string]any
}

// ErrReload says that a Reload was refused as a whole: nothing has changed.
var ErrReload = errors.New("nothing was changed")

// Reload makes the sessions outside of groups and pools those of spec, with the least disturbance: a session whose options
// are the same is not touched. One that has others takes no more prompts (they end with session.ErrStopped), may end its turn,
// and is started again under the same name; its conversation goes on, its generation is counted on, and a *session.Session of
// before is of no use any more. What is new is started and not waited for; what is not among spec's is stopped, and keeps
// its state on disk. Options that only Go code can give are the same if both are there or both are not.
//
// An error that is ErrReload says that something in spec is wrong or cannot be had without a restart of the program,
// and nothing was changed. Otherwise every change was tried; one with an Error did not happen, and the session is then as it
// was, or stopped: another Reload tries again.
//
// Calls wait for each other.
func (rt *Runtime) Reload(ctx context.Context, spec ReloadSpec) ([]Change, error) {
	select {
	case rt.reloading <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-rt.reloading }()
	changes, err := rt.compare(spec.Sessions)
	if err != nil || spec.DryRun {
		return changes, err
	}
	// Whoever asked may go away: half of it is worse than all of it.
	rt.apply(context.WithoutCancel(ctx), spec, changes)
	rt.recordReload(spec, changes)
	return changes, nil
}

// compare validates the sessions and says in which they differ from those that there are, in the order of the
// new ones, and then what is gone.
func (rt *Runtime) compare(next []SessionSpec) ([]Change, error) {
	problems := []error{validateSessions(next, make(map[string]bool))}
	was := make(map[string]session.Options)
	rt.mu.Lock()
	for _, s := range rt.options.Sessions {
		was[s.Name] = s.Options
	}
	known := maps.Clone(rt.known)
	draining := rt.draining
	rt.mu.Unlock()
	if draining {
		problems = append(problems, fmt.Errorf("%w: the runtime is being drained", session.ErrStopped))
	}
	var changes []Change
	wanted := make(map[string]bool)
	for _, s := range next {
		wanted[s.Name] = true
		if _, err := rt.budgetsOf(s.Name, s.Options); err != nil {
			problems = append(problems, fmt.Errorf("%w that runs; a new one needs a restart", err))
		}
		there := known[s.Name]
		if there != nil && there.home != rt.sessions || rt.taken(s.Name) {
			problems = append(problems, fmt.Errorf("session %s: a group or pool that runs has this name: to move it needs a restart", s.Name))
			continue
		}
		old, configured := was[s.Name]
		switch {
		case there == nil:
			changes = append(changes, Change{Session: s.Name, Action: debug.Added})
		case !configured:
			changes = append(changes, Change{Session: s.Name, Action: debug.Changed, Fields: []debug.FieldChange{{Field: "spawned", Before: true, After: false}}})
		default:
			if fields := differences(old, s.Options); len(fields) > 0 {
				changes = append(changes, Change{Session: s.Name, Action: debug.Changed, Fields: fields})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if !wanted[name] && known[name] != nil {
			changes = append(changes, Change{Session: name, Action: debug.Removed})
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReload, err)
	}
	return changes, nil
}

// apply makes the changes: what ends ends at the same time, what begins begins in order.
func (rt *Runtime) apply(ctx context.Context, spec ReloadSpec, changes []Change) {
	var ends sync.WaitGroup
	for i := range changes {
		if c := &changes[i]; c.Action != debug.Added {
			ends.Go(func() { // ends when the session has, which takes Drain and its Shutdown at most
				if err := rt.dismiss(ctx, c.Session, spec.Drain); err != nil {
					c.Error = err.Error()
				}
			})
		}
	}
	ends.Wait()
	options := make(map[string]session.Options)
	for _, s := range spec.Sessions {
		options[s.Name] = s.Options
	}
	for i := range changes {
		c := &changes[i]
		if c.Error != "" {
			rt.log.Error().Str("session", c.Session).Str("action", string(c.Action)).Str("error", c.Error).Msg("reload: not done")
			continue
		}
		if c.Action == debug.Removed {
			rt.want(c.Session, nil)
		} else if err := rt.add(ctx, c.Session, options[c.Session], origin{}); err != nil {
			c.Error = err.Error()
			rt.want(c.Session, nil) // it is not there
			rt.log.Error().Err(err).Str("session", c.Session).Str("action", string(c.Action)).Msg("reload: session is not started")
			continue
		} else {
			rt.want(c.Session, new(options[c.Session]))
		}
		rt.log.Info().Str("session", c.Session).Str("action", string(c.Action)).Strs("fields", fieldNames(c.Fields)).Msg("reload")
	}
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
	if err := discard(ctx, home, name); err != nil {
		return err
	}
	m.Closing()
	rt.forget(m.Session) // last: until then nobody else has its name
	return nil
}

// recordReload puts what has become of it into the audit log.
func (rt *Runtime) recordReload(spec ReloadSpec, changes []Change) {
	detail := map[string]any{"path": spec.Configuration.Path, "sha256": spec.Configuration.SHA256, "reload": true}
	maps.Copy(detail, spec.Detail)
	by := make(map[debug.ChangeAction][]string)
	var failed []string
	for _, c := range changes {
		by[c.Action] = append(by[c.Action], c.Session)
		if c.Error != "" {
			failed = append(failed, c.Session+": "+c.Error)
		}
	}
	for action, names := range by {
		detail[string(action)] = names
	}
	if len(failed) > 0 {
		detail["failed"] = failed
	}
	rt.record(audit.Record{Kind: audit.ConfigLoaded, Principal: spec.Principal, Detail: detail})
}

// differences are the options in which two sessions differ, by name, with values as a page may show them.
func differences(before, after session.Options) []debug.FieldChange {
	shownBefore, shownAfter := shownOptions(before), shownOptions(after)
	var changes []debug.FieldChange
	a, b := reflect.ValueOf(before), reflect.ValueOf(after)
	for i := range a.NumField() {
		field := a.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() {
			continue
		}
		if name == "" || name == "-" {
			if a.Field(i).IsZero() != b.Field(i).IsZero() {
				changes = append(changes, debug.FieldChange{Field: field.Name})
			}
			continue
		}
		if reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			continue
		}
		change := debug.FieldChange{Field: name, Before: shownBefore[name], After: shownAfter[name]}
		if reflect.DeepEqual(change.Before, change.After) { // a secret, or among what is shown by name only
			change.Before, change.After = nil, nil
		}
		changes = append(changes, change)
	}
	slices.SortFunc(changes, func(a, b debug.FieldChange) int { return cmp.Compare(a.Field, b.Field) })
	return changes
}

func fieldNames(fields []debug.FieldChange) []string {
	var names []string
	for _, f := range fields {
		names = append(names, f.Field)
	}
	return names
}

package understudy

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// Change is what a Reload does to one session or setting, or would do.
type Change = debug.Change

// ReloadSpec says what a runtime is to be from now on: what it does not name there is not.
type ReloadSpec struct {
	// These take the place of those of Options.
	Sessions []SessionSpec
	Groups   []Group
	Pools    []PoolSpec
	Budgets  []session.BudgetSpec
	Limits   session.Limits
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

// Reload makes the runtime that of spec, with the least disturbance: what is the same is not touched.
//
// A session that has other options, or belongs to another group, takes no more prompts (they end with session.ErrStopped), may end its
// turn, and is started again under the same name; its conversation goes on, its generation is counted on, and a *session.Session of
// before is of no use any more. What is new is started and not waited for; what is not among spec's is stopped, and keeps
// its state on disk. Options that only Go code can give are the same if both are there or both are not.
//
// Sessions of a group come and go as those outside of groups do. A group whose strategy, intensity or backoff are others is started
// anew with all its sessions, and so is one whose sessions depend on their order, if anything but leaving some out changes it.
// A pool loses no query: of other options, its sessions are replaced as they become free; of other numbers, they are ended or started.
// Limits and budgets hold from now on (session.Governor.SetLimits, session.Budget.Set).
//
// An error that is ErrReload says that something in spec is wrong or cannot be had, and nothing was changed. Otherwise every change was
// tried; one with an Error did not happen, and what it is of is as it was, or stopped: another Reload tries again.
//
// Calls wait for each other.
func (rt *Runtime) Reload(ctx context.Context, spec ReloadSpec) ([]Change, error) {
	select {
	case rt.reloading <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-rt.reloading }()
	p, err := rt.compare(spec)
	if err != nil {
		return nil, err
	}
	if !spec.DryRun {
		// Whoever asked may go away: half of it is worse than all of it.
		rt.apply(context.WithoutCancel(ctx), spec, p)
		rt.recordReload(spec, p.changes)
	}
	return p.changes, nil
}

// recordReload puts what has become of it into the audit log.
func (rt *Runtime) recordReload(spec ReloadSpec, changes []Change) {
	detail := map[string]any{"path": spec.Configuration.Path, "sha256": spec.Configuration.SHA256, "reload": true}
	maps.Copy(detail, spec.Detail)
	by := make(map[debug.ChangeAction][]string)
	var failed []string
	for _, c := range changes {
		by[c.Action] = append(by[c.Action], c.Name())
		if c.Error != "" {
			failed = append(failed, c.Name()+": "+c.Error)
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

package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/understudy-run/understudy/actor"
)

// Kept is what a StateDir has of a session that need not be there any more.
type Kept struct {
	Name         string
	SessionID    string
	Generation   int
	Turns        int
	Restarts     int
	Queue        int     // prompts that would be delivered once more (Options.Redeliver)
	CostUSD      float64 // with what the turn had cost that ran when the runtime was killed
	Model, CWD   string
	Ephemeral    bool      // its conversation was not kept
	IsolatedHome bool      // its conversation is in a directory of its own, which Recall has forgotten with it
	WrittenAt    time.Time // the record
	Err          error     // the record is damaged; nothing else is known then
}

// kept is the record as it is shown.
func (r record) kept() Kept {
	l := r.Ledger
	l.charge(r.Running)
	return Kept{
		Name: r.Name, SessionID: r.SessionID, Generation: r.Generation, Turns: r.Turns, Restarts: r.Restarts, Queue: r.deliverable(),
		CostUSD: l.Spent, Model: r.Model, CWD: r.CWD, Ephemeral: r.Ephemeral,
	}
}

// deliverable is how many prompts the record has that are to be delivered in any case.
func (r record) deliverable() (n int) {
	for _, q := range r.Queue {
		if q.Line != "" && q.Attempts < maxAttempts {
			n++
		}
	}
	return n
}

// ListKept returns all of which a StateDir has a record, by name.
func ListKept(dir string) ([]Kept, error) {
	names, err := store{dir}.names()
	if err != nil {
		return nil, err
	}
	var all []Kept
	for _, name := range names {
		r, err := store{dir}.read(name)
		if errors.Is(err, fs.ErrNotExist) { // removed in this moment
			continue
		}
		k := r.kept()
		if err != nil {
			k = Kept{Err: fmt.Errorf("its record cannot be read: %w", err)}
		}
		k.Name = name
		if info, err := os.Stat(store{dir}.path(name)); err == nil {
			k.WrittenAt = info.ModTime()
		}
		_, err = os.Stat(filepath.Join(filepath.Dir(dir), "home", name))
		k.IsolatedHome = err == nil
		all = append(all, k)
	}
	return all, nil
}

// Recall makes a session of nothing but its record, which is not to be started. forget is [Session.Forget] for it, and may fail as often as it
// does: what the runtime that was killed could not count any more those of the spec's Budgets have once that the session spent from, and the record
// is there until they have it on disk. Of the spec's Options nothing is needed.
//
// Without a record it is fs.ErrNotExist. One that is damaged is set aside, which is a *StateError. With prompts that would be delivered once
// more, unless they may be lost, it is ErrAtWork.
func Recall(system *actor.System, spec Spec, lose bool) (s *Session, forget func(context.Context) error, err error) {
	if !ValidName(spec.Name) || spec.StateDir == "" {
		return nil, nil, fmt.Errorf("state of session %q: %w", spec.Name, fs.ErrNotExist)
	}
	if _, err := os.Lstat(store{spec.StateDir}.path(spec.Name)); err != nil {
		return nil, nil, fmt.Errorf("state of session %s: %w", spec.Name, err)
	}
	kept, err := store{spec.StateDir}.load(spec.Name)
	if err != nil {
		return nil, nil, &StateError{Session: spec.Name, Cause: err}
	}
	if n := kept.deliverable(); n > 0 && !lose {
		return nil, nil, fmt.Errorf("session %s: %w: prompts wait: %d", spec.Name, ErrAtWork, n)
	}
	spec.Budgets = slices.DeleteFunc(slices.Clone(spec.Budgets), func(b *Budget) bool {
		return kept.Budgets != nil && !slices.Contains(kept.Budgets, b.Name())
	})
	isolated := true // a HOME of the session's goes too, and there is none if it was not
	spec.Options = Options{IsolateHome: &isolated}
	cut := kept.Ledger.charge(kept.Running)
	s = newSession(system, spec, kept)
	for _, b := range spec.Budgets {
		b.count(spec.Name, kept.Ledger.Spent)
	}
	return s, func(ctx context.Context) error {
		for _, b := range spec.Budgets { // what it has spent is there once only, as soon as its record is not
			if err := b.Flush(); err != nil {
				return fmt.Errorf("session %s: %w", spec.Name, err)
			}
		}
		if err := s.Forget(ctx); err != nil {
			return err
		}
		if len(kept.Running) > 0 {
			s.recordCut(kept, cut)
		}
		if n := len(kept.Queue); n > 0 {
			s.notice(NoticeQueueLost, fmt.Sprintf("%d prompts of an earlier runtime are forgotten with the session", n), map[string]any{"lost": n, "kept": 0})
		}
		return nil
	}, nil
}

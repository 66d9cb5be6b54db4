package understudy

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/understudy-run/understudy/session"
)

// stateDir is where the sessions' records are, empty if nothing is kept.
func (rt *Runtime) stateDir() string {
	if rt.options.DataDir == "" {
		return ""
	}
	return filepath.Join(rt.options.DataDir, "state")
}

// respawn starts the sessions again that an earlier runtime had spawned and nobody has stopped.
func (rt *Runtime) respawn(ctx context.Context) error {
	if rt.stateDir() == "" {
		return nil
	}
	stored, err := session.ListStored(rt.stateDir())
	if err != nil { // those that can be read are there all the same
		rt.log.Error().Err(err).Msg("state of spawned sessions could not be read")
	}
	for _, s := range stored {
		if _, err := rt.member(s.Name); err == nil || s.Retired {
			continue // it is in the configuration by now, or was stopped
		}
		options, err := rt.optionsOf(s)
		if err == nil {
			err = rt.add(ctx, s.Name, options, origin{spawned: true})
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			rt.log.Error().Err(err).Str("session", s.Name).Msg("a session that was spawned is not started again: spawn it, or remove it (understudy rm)")
		}
	}
	return nil
}

func (rt *Runtime) optionsOf(s session.Stored) (session.Options, error) {
	if rt.options.Respawn != nil {
		return rt.options.Respawn(s.Name, s.Options)
	}
	if s.Partial {
		return session.Options{}, errors.New("a key, a secret or a callback of it was not kept, and there is no Options.Respawn to give it")
	}
	return s.Options, nil
}

// Fork starts a session under a new name that begins with a copy of another one's conversation, as far as that is on disk, and
// waits until it is ready. It has the options of that session; the two go their own ways from there, with money of their own.
// Errors: ErrNoSession, ErrExists, session.ErrNoConversation if there is none to copy, or why it does not start.
func (rt *Runtime) Fork(ctx context.Context, name, fork string) (*session.Session, error) {
	m, err := rt.member(name)
	if err != nil {
		return nil, err
	}
	conversation, err := m.Conversation()
	if err != nil {
		return nil, err
	}
	if record, err := session.HasRecord(rt.stateDir(), fork); err != nil || record {
		return nil, fmt.Errorf("session %s: %w", fork, errors.Join(ErrExists, err))
	}
	options := m.Options()
	options.Resume, options.ForkSession = conversation, true
	options.SessionID, options.Continue, options.FromPR, options.ResumeSessionAt, options.ResumeDropsTurn = "", false, "", "", ""
	return rt.Spawn(ctx, fork, options)
}

package session_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

// TestMomentsOfALife follows a session through a turn with a tool, a crash in a turn and its restart.
func TestMomentsOfALife(t *testing.T) {
	sp := spec(t, "reviewer")
	var mu sync.Mutex
	var told []session.Moment
	sp.OnMoment = func(m session.Moment) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, m)
	}
	b := start(t, sp)
	b.mustAsk(`[[tool:Bash {"command":"echo tool-ran"}]]`)
	_, err := b.ask(`[[crash]]`)
	var crash *session.CrashError
	require.ErrorAs(t, err, &crash)
	b.await(supervisor.RestartScheduled)
	b.mustAsk("back again")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var followed []session.Moment
	var kinds []session.MomentKind
	for m, err := range b.Follow(ctx, 0) {
		require.NoError(t, err)
		followed = append(followed, m)
		if m.Kind != session.StderrLine {
			kinds = append(kinds, m.Kind)
		}
		if m.Kind == session.TurnEnded && m.Turn == 2 && m.Outcome == "success" {
			break
		}
	}
	assert.Equal(t, []session.MomentKind{
		session.ProcessStarted, session.ProcessReady,
		session.TurnStarted, session.ToolStarted, session.ToolEnded, session.TurnEnded,
		session.TurnStarted, session.TurnEnded, session.ProcessEnded, session.StateChanged,
		session.ProcessStarted, session.ProcessReady, session.TurnStarted, session.TurnEnded,
	}, kinds)
	for i, m := range followed {
		assert.Equal(t, uint64(i+1), m.Seq)
		assert.Equal(t, "reviewer", m.Session)
		assert.False(t, m.At.IsZero())
		assert.Empty(t, m.Prompt, "kept moments have no content")
		assert.Empty(t, m.Result)
		assert.Nil(t, m.Input)
	}

	// Whoever comes back goes on where they were.
	for m := range b.Follow(ctx, followed[4].Seq) {
		assert.Equal(t, followed[5], m)
		break
	}

	h := b.History()
	require.Len(t, h.Generations, 2)
	assert.Equal(t, 1, h.Generations[0].Number)
	assert.NotEmpty(t, h.Generations[0].Exit)
	assert.Equal(t, 1, h.Generations[0].Turns)
	assert.False(t, h.Generations[0].ReadyAt.IsZero())
	assert.True(t, h.Generations[1].EndedAt.IsZero())
	require.Len(t, h.Turns, 3)
	assert.Equal(t, "success", h.Turns[0].Outcome)
	assert.Equal(t, 1, h.Turns[0].Tools)
	assert.Positive(t, h.Turns[0].Tokens.Output)
	assert.Equal(t, "crashed", h.Turns[1].Outcome)
	require.Len(t, h.Tools, 1)
	assert.Equal(t, "Bash", h.Tools[0].Name)
	assert.Equal(t, "echo tool-ran", h.Tools[0].Argument)
	assert.Equal(t, "ok", h.Tools[0].Outcome)

	info := b.Info()
	assert.Positive(t, info.Tokens.Output)
	assert.Positive(t, info.ContextWindow)

	mu.Lock()
	defer mu.Unlock()
	assert.Len(t, told, len(followed), "the hook is told the same")
	for _, m := range told {
		switch m.Kind {
		case session.TurnStarted:
			assert.NotEmpty(t, m.Prompt)
		case session.ToolEnded:
			assert.Contains(t, m.Result, "tool-ran")
			assert.Contains(t, string(m.Input), "echo tool-ran")
		case session.TurnEnded:
			if m.Outcome == "success" {
				assert.NotEmpty(t, m.ByModel)
				assert.Positive(t, m.Took)
			}
		default:
		}
	}
}

// TestFollowerThatDoesNotReadIsLetGo holds a reader still while more happens than is kept for it.
func TestFollowerThatDoesNotReadIsLetGo(t *testing.T) {
	b := start(t, spec(t, "reviewer"))
	var last error
	read := 0
	for _, err := range b.Follow(t.Context(), 0) {
		if read++; read == 1 {
			for range 90 { // three moments a turn at least
				b.mustAsk(`[[tool:Bash {"command":"true"}]]`)
			}
		}
		last = err
		if err != nil {
			break
		}
	}
	assert.True(t, errors.Is(last, session.ErrSlowConsumer), "%v", last)
	assert.Less(t, read, 90*3)
}

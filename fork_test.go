package understudy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
)

// TestForkOfASessionOfADifferentKind copies a session whose options name the id of its conversation, which the copy cannot have too, and one
// whose conversation is where no other finds it.
func TestForkOfASessionOfADifferentKind(t *testing.T) {
	t.Parallel()
	r := newLiveRig(t, func(r *liveRig) {
		named := altered(r.like, func(o *session.Options) { o.SessionID = "6d6b7b0c-3a54-4d3e-8d0b-0d6f6f3f2a11" })
		isolated := altered(r.like, func(o *session.Options) {
			o.IsolateHome, o.Env = new(true), with(o.Env, "CLAUDE_CONFIG_DIR", "")
			delete(o.Env, "CLAUDE_CONFIG_DIR")
		})
		r.spec.Sessions = []understudy.SessionSpec{{Name: "named", Options: named}, {Name: "isolated", Options: isolated}}
	})
	r.ask("named")
	branch, err := r.rt.Fork(t.Context(), "named", "branch")
	require.NoError(t, err)
	answer, err := branch.Ask(t.Context(), "[[history]]")
	require.NoError(t, err)
	assert.Equal(t, "history: hello", answer.Text)
	assert.NotEqual(t, "6d6b7b0c-3a54-4d3e-8d0b-0d6f6f3f2a11", branch.Info().SessionID)

	r.ask("isolated")
	_, err = r.rt.Fork(t.Context(), "isolated", "other")
	require.ErrorIs(t, err, session.ErrNoConversation)
	assert.ErrorContains(t, err, "isolate_home")
}

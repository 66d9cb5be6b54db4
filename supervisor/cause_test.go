package supervisor_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/supervisor"
)

// causes takes the starts that events told of, as "label cause".
func (r *rig) causes() []string {
	var lines []string
	for _, e := range r.takeEvents() {
		if e.Cause != "" {
			lines = append(lines, string(e.Kind)+" "+e.Label+" "+string(e.Cause))
		}
		assert.Equal(r.t, e.Kind == supervisor.ChildStarted && e.Cause != supervisor.First, e.Restarted(), "%+v", e)
	}
	return lines
}

func TestEventsSayWhyAChildWasStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		flaky := kid{start: func(_ context.Context, n int) error {
			if n == 2 {
				return errBoom
			}
			return nil
		}}
		r.start(supervisor.Options{Strategy: supervisor.RestForOne, Intensity: intensity(100, 1), Children: []supervisor.ChildSpec{
			r.spec("a", flaky), r.spec("b", kid{}, func(s *supervisor.ChildSpec) { s.Label = "alike" }),
		}})
		assert.Equal(t, []string{"started a first", "started alike first"}, r.causes())
		r.exit("b", errBoom)
		assert.Equal(t, []string{"started alike crash"}, r.causes())
		r.exit("b", supervisor.ErrRecycle)
		assert.Equal(t, []string{"started alike planned"}, r.causes())
		r.exit("a", errBoom)
		assert.Equal(t, []string{"start_failed a crash", "started a crash", "started alike sibling"}, r.causes())
		_, err := r.sup.RecycleChild(t.Context(), "b")
		require.NoError(t, err)
		assert.Equal(t, []string{"started alike operator"}, r.causes())
		require.NoError(t, r.sup.TerminateChild(t.Context(), "b"))
		_, err = r.sup.RestartChild(t.Context(), "b")
		require.NoError(t, err)
		assert.Equal(t, []string{"started alike operator"}, r.causes())
		r.exit("b", errBoom)
		assert.Equal(t, []string{"started alike crash"}, r.causes(), "a cause is that of one start")
		nodes, err := r.sup.Children(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "alike", nodes[1].Label)
		r.over()
	})
}

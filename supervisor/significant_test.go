package supervisor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor"
)

func significant(s *supervisor.ChildSpec) { s.Significant = true }

func (r *rig) significant(auto supervisor.AutoShutdown, specs ...supervisor.ChildSpec) *rig {
	r.t.Helper()
	r.start(supervisor.Options{AutoShutdown: auto, Children: specs})
	r.notes()
	return r
}

func TestS32FirstSignificantChildToEndEndsItsSupervisor(t *testing.T) {
	for _, tt := range []struct {
		typ    supervisor.Restart
		reason error
		ends   bool
	}{
		{supervisor.Transient, nil, true},
		{supervisor.Transient, actor.ErrShutdown, true},
		{supervisor.Transient, errBoom, false}, // restarted
		{supervisor.Temporary, nil, true},
		{supervisor.Temporary, errBoom, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.significant(supervisor.AnySignificant, r.spec("a", kid{}), r.spec("b", kid{}, restart(tt.typ), significant),
				r.spec("c", kid{}), r.spec("d", kid{}, restart(tt.typ), significant))
			r.exit("b", tt.reason)
			if !tt.ends {
				assert.Equal(t, supervisor.Running, r.state("b"))
				r.over()
				return
			}
			reason := r.ends()
			assert.True(t, actor.Clean(reason))
			assert.EqualError(t, reason, "shutdown: any_significant: significant child b has ended")
			assert.Equal(t, []string{"stop b " + text(tt.reason), "stop d shutdown", "stop c shutdown", "stop a shutdown"}, r.notes())
			r.over()
		})
	}
}

func TestS33LastSignificantChildToEndEndsItsSupervisor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.significant(supervisor.AllSignificant, r.spec("a", kid{}), r.spec("b", kid{}, restart(supervisor.Transient), significant),
			r.spec("c", kid{}, restart(supervisor.Temporary), significant), r.spec("d", kid{}, restart(supervisor.Transient)))
		r.exit("d", nil)
		r.exit("b", nil)
		assert.Equal(t, supervisor.Running, r.tree().State)
		r.exit("c", errBoom)
		assert.ErrorIs(t, r.ends(), actor.ErrShutdown)
		r.over()
	})
}

func TestS33OneThatWaitsForItsRestartIsNotTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{AutoShutdown: supervisor.AllSignificant, Backoff: steady, Children: []supervisor.ChildSpec{
			r.spec("a", kid{}, restart(supervisor.Transient), significant), r.spec("b", kid{}, restart(supervisor.Transient), significant),
		}})
		r.exit("a", errBoom)
		r.exit("b", nil)
		time.Sleep(time.Second)
		assert.Equal(t, supervisor.Running, r.state("a"))
		r.exit("a", nil)
		assert.ErrorIs(t, r.ends(), actor.ErrShutdown)
		r.over()
	})
}

func TestS34TerminatedSignificantChildEndsNobody(t *testing.T) {
	for _, auto := range []supervisor.AutoShutdown{supervisor.AnySignificant, supervisor.AllSignificant} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.significant(auto, r.spec("a", kid{}), r.spec("b", kid{}, restart(supervisor.Transient), significant),
				r.spec("c", kid{}, restart(supervisor.Temporary), significant))
			require.NoError(t, r.sup.TerminateChild(t.Context(), "b"))
			require.NoError(t, r.sup.TerminateChild(t.Context(), "c"))
			assert.Equal(t, supervisor.Running, r.tree().State)
			r.over()
		})
	}
}

func TestS34SignificantChildStoppedWithItsGroupEndsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Strategy: supervisor.OneForAll, AutoShutdown: supervisor.AnySignificant, Children: []supervisor.ChildSpec{
			r.spec("a", kid{}), r.spec("b", kid{}, restart(supervisor.Temporary), significant),
		}})
		r.exit("a", errBoom)
		assert.Len(t, r.tree().Children, 1)
		assert.Equal(t, supervisor.Running, r.tree().State)
		r.over()
	})
}

func TestS32SignificantChildThatEndsWhileTheOthersStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		up := inTheBackground(func() error {
			return r.tryStart(supervisor.Options{AutoShutdown: supervisor.AnySignificant, Children: []supervisor.ChildSpec{
				r.spec("a", kid{}, restart(supervisor.Transient), significant), r.spec("b", slowStart(time.Second)),
			}})
		})
		r.exit("a", nil)
		require.NoError(t, <-up, "it was up, if only just")
		assert.ErrorIs(t, r.ends(), actor.ErrShutdown)
		assert.Equal(t, time.Second, time.Since(r.begun))
		r.over()
	})
}

func TestS35SignificantDynamicChildUnderNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).start(supervisor.Options{})
		_, err := r.sup.StartChild(t.Context(), r.spec("a", kid{}, restart(supervisor.Transient), significant))
		assert.ErrorIs(t, err, supervisor.ErrInvalid)
		r.over()
	})
}

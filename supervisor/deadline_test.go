package supervisor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor"
)

// deaf hears that it is to stop, and does not.
var deaf = kid{trap: func(*actor.Context[message], error) {}}

func TestS64ShorterDeadlineTightensARunningStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{r.spec("a", deaf, shutdown(supervisor.Infinity))}})
		pid := r.ref("a").PID
		r.happened()
		within := func(s supervisor.Shutdown) <-chan supervisor.Exit {
			return inTheBackground(func() supervisor.Exit {
				exit, err := r.sup.TerminateWithin(t.Context(), "a", s)
				assert.NoError(t, err)
				return exit
			})
		}
		var exits []<-chan supervisor.Exit
		exits = append(exits, within(supervisor.Infinity))
		time.Sleep(time.Second)
		for range 1000 {
			exits = append(exits, within(supervisor.Within(time.Hour)))
		}
		exits = append(exits, within(supervisor.Within(time.Minute)))
		time.Sleep(time.Second)
		exits = append(exits, within(supervisor.Within(10*time.Second)), within(supervisor.Infinity), within(supervisor.Within(time.Hour)))
		for _, exit := range exits {
			assert.Equal(t, supervisor.Exit{At: r.begun.Add(12 * time.Second), Reason: actor.ErrKilled}, <-exit)
		}
		assert.ErrorIs(t, pid.Reason(), actor.ErrKilled)
		assert.Equal(t, []string{"killed a#1", "stopped a#1"}, r.happened())
		r.over()
	})
}

func TestS64DeadlineOfTheSpecIsNotLoosened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{
			r.spec("a", deaf, shutdown(supervisor.Within(2*time.Second))), r.spec("b", deaf),
		}})
		assert.Equal(t, 2*time.Second, elapsed(func() {
			_, err := r.sup.TerminateWithin(t.Context(), "a", supervisor.Within(time.Hour))
			require.NoError(t, err)
		}))
		assert.Zero(t, elapsed(func() {
			exit, err := r.sup.TerminateWithin(t.Context(), "b", supervisor.BrutalKill)
			require.NoError(t, err)
			assert.ErrorIs(t, exit.Reason, actor.ErrKilled)
			exit, err = r.sup.TerminateWithin(t.Context(), "b", supervisor.BrutalKill)
			require.NoError(t, err)
			assert.Zero(t, exit, "it was down already")
		}))
		r.over()
	})
}

// While it starts there is nothing to be killed yet; the deadline holds for what comes of the start.
func TestS64DeadlineOfAChildThatIsStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).start(supervisor.Options{})
		slow := deaf
		slow.start = func(context.Context, int) error { time.Sleep(time.Second); return nil }
		started := inTheBackground(func() error {
			_, err := r.sup.StartChild(t.Context(), r.spec("a", slow, shutdown(supervisor.Infinity)))
			return err
		})
		synctest.Wait()
		assert.Equal(t, 3*time.Second, elapsed(func() {
			_, err := r.sup.TerminateWithin(t.Context(), "a", supervisor.Within(3*time.Second))
			require.NoError(t, err)
		}))
		assert.ErrorIs(t, <-started, supervisor.ErrTerminated)
		r.over()
	})
}

func TestS63StopWithinADeadlineForTheWholeTree(t *testing.T) {
	for _, hurry := range []time.Duration{0, time.Second} { // before the stop began, and into it
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.start(supervisor.Options{Children: []supervisor.ChildSpec{
				r.spec("quick", kid{}),
				r.inner("root/in", "in", supervisor.Options{Children: []supervisor.ChildSpec{
					r.specUnder("root/in", "x", deaf, shutdown(supervisor.Infinity)), r.specUnder("root/in", "y", deaf),
				}}, nil),
				r.spec("z", deaf, shutdown(supervisor.Infinity)),
			}})
			var running <-chan error
			if hurry > 0 {
				running = inTheBackground(func() error { return r.sup.Stop(t.Context()) })
				time.Sleep(hurry)
			}
			assert.Equal(t, 3*time.Second, elapsed(func() { require.NoError(t, r.sup.StopWithin(t.Context(), 3*time.Second)) }))
			if running != nil {
				assert.NoError(t, <-running)
			}
			assert.ErrorIs(t, r.ref("x").Reason(), actor.ErrKilled)
			assert.NoError(t, r.sup.StopWithin(t.Context(), time.Second), "again")
			r.over()
		})
	}
}

package process

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stray starts a process that is no descendant of any CLI and carries a marker, as one that a tool had somebody else start.
func stray(t *testing.T, marker string) (pid int) {
	t.Helper()
	cmd := again("idle-silent")
	cmd.Env = append(cmd.Env, MarkerVariable+"="+marker, goraceOff)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, if all is well
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// Fault: a tool has had somebody else start a process, outside of the session's pid namespace
// Outcome: the session's end does not wait for it; it is ended by its marker a moment later, and the session is told
// On: process
func TestFaultAStrayOutsideOfThePIDNamespace(t *testing.T) {
	needs(t, LayerPIDNamespace)
	l, other := launch(t, "idle"), launch(t, "idle")
	l.Marker, other.Marker = l.Marker+"/1", other.Marker+"-other/1"
	told, notTold := make(chan SweepReport, 1), make(chan SweepReport, 1)
	p := begin(t, l, Options{OnStrays: func(r SweepReport) { told <- r }})
	beside := begin(t, other, Options{OnStrays: func(r SweepReport) { notTold <- r }})
	pid, next := stray(t, l.Marker), stray(t, sessionOf(l.Marker)+"/2")
	beside.Kill()
	p.Kill()
	await(t, "done", p.Done())
	assert.Empty(t, p.Swept().Killed)
	gone(t, pid)
	r := <-told
	require.NoError(t, r.Err)
	assert.Equal(t, []Swept{{pid, r.Killed[0].Command}}, r.Killed)
	assert.True(t, alive(next), "of a process that has not ended")
	awaitStrays(other.Marker)
	assert.Empty(t, notTold)
}

// TestTheNextProcessOfASessionMeetsNoStray starts the next process of a session right after the one before: nothing of that runs beside it.
func TestTheNextProcessOfASessionMeetsNoStray(t *testing.T) {
	needs(t, LayerPIDNamespace)
	l := launch(t, "idle")
	session := l.Marker
	for generation, same := range []string{"/1", "/2", "/1"} { // removed and made anew, a session begins with 1 again
		l.Marker = session + same
		p := begin(t, l, Options{})
		pid := stray(t, l.Marker)
		p.Kill()
		await(t, "done", p.Done())
		next := l
		next.Marker = session + "/9"
		q := begin(t, next, Options{})
		assert.False(t, alive(pid), "generation %d", generation)
		assert.True(t, alive(q.PID()))
		q.Kill()
	}
}

// TestNothingIsLookedForAfterASweep has a session end right before its runtime does: a look would be at work in a program that takes
// it for over.
func TestNothingIsLookedForAfterASweep(t *testing.T) {
	needs(t, LayerPIDNamespace)
	l := launch(t, "idle")
	p := begin(t, l, Options{})
	p.Kill()
	await(t, "done", p.Done())
	due := func() (n int) {
		strayLooks.mu.Lock()
		defer strayLooks.mu.Unlock()
		for look := range strayLooks.open {
			if _, ok := look.of[l.Marker]; ok {
				n++
			}
		}
		return n
	}
	require.NoError(t, SweepPrefix(sessionOf(l.Marker)+"/").Err)
	assert.Zero(t, due())
}

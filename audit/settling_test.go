package audit

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestKilledWhileABatchIsSettled: a large batch is durable, and the actor is killed before all who wait for it have been told. They are
// told so all the same: an Append that heard of the death in its place would write its record a second time.
func TestKilledWhileABatchIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trail := newTrail(t, Options{}, nil)
		pid := start(t, trail)
		trail.mu.Lock()
		in := trail.last
		trail.mu.Unlock()
		r := turn(1)
		e, err := trail.entry(&r, false)
		require.NoError(t, err)
		trail.slots <- struct{}{}
		taken, _ := in.admit(e)
		require.True(t, taken)
		batch := in.take(nil, true) // as the actor takes it, and write goes on when it is on the disk
		require.Equal(t, []*entry{e}, batch)
		told := make(chan struct{})
		in.settling.Go(func() { // ends when the actor has been buried as far as that goes meanwhile
			<-told
			in.settle(batch, nil)
		})
		pid.Kill()
		synctest.Wait()
		require.False(t, pid.Alive())
		close(told)
		released(trail)
		assert.NoError(t, <-e.done)
	})
}

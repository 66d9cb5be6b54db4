package actor

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRoomIsGivenToWhoeverHasWaitedLongest(t *testing.T) {
	r := &room{bound: 1}
	require.True(t, r.take())
	require.False(t, r.take())
	first, second, third := r.wait(), r.wait(), r.wait()
	require.NotNil(t, third)
	r.leave(second)
	r.give()
	<-first.given
	assert.False(t, r.take(), "the place is the first waiter's")
	r.give()
	<-third.given
	assert.EqualValues(t, 1, r.taken.Load())
	r.give()
	assert.True(t, r.take())
}

// A waiter that leaves in the moment in which it is given a place passes it on.
func TestRoomOfAWaiterThatLeft(t *testing.T) {
	r := &room{bound: 1}
	require.True(t, r.take())
	first, second := r.wait(), r.wait()
	r.give()
	<-first.given
	r.leave(first)
	<-second.given
	r.give()
	assert.Zero(t, r.taken.Load())
	assert.Nil(t, r.wait(), "there is a place")
}

// Never more than the bound are inside, and nobody is left waiting, however they come, go and give up.
func TestRoomAmongMany(t *testing.T) {
	r := &room{bound: 3}
	var inside, most atomic.Int64
	var everybody sync.WaitGroup
	for range 8 {
		everybody.Go(func() {
			for range 500 {
				if !r.take() {
					if w := r.wait(); w != nil {
						if rand.IntN(4) == 0 {
							r.leave(w)
							continue
						}
						<-w.given
					}
				}
				if n := inside.Add(1); n > most.Load() {
					most.Store(n)
				}
				inside.Add(-1)
				r.give()
			}
		})
	}
	everybody.Wait()
	assert.LessOrEqual(t, most.Load(), r.bound)
	assert.Zero(t, r.taken.Load())
	assert.Zero(t, r.waiting.Load())
	assert.Empty(t, r.waiters)
}

package actor_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
)

// errand is one whose outcome is told to a channel, by the actor or by nobody any more.
type errand struct {
	run   func(context.Context) string
	heard chan string
	late  chan string
}

func (e *errand) Run(ctx context.Context) message { return e.say(e.run(ctx)) }
func (e *errand) Failed(reason error) message {
	var panicked *actor.PanicError
	if errors.As(reason, &panicked) {
		return e.say("panic " + panicked.Value.(string))
	}
	return e.say(reason.Error())
}
func (e *errand) Late(m message) { close(e.late) }
func (e *errand) say(text string) message {
	return func(*actor.Context[message]) { e.heard <- text }
}

func newErrand(run func(context.Context) string) *errand {
	return &errand{run, make(chan string, 1), make(chan string)}
}

func dispatch(c *actor.Context[message], e *errand) *actor.Dispatched[message] {
	d := new(actor.Dispatched[message])
	c.Dispatch(d, e)
	return d
}

func TestErrandComesBackAsOneMessageWhateverItDoes(t *testing.T) {
	s := actor.NewSystem(actor.Options{})
	ref := spawn(t, s, "a", &probe{})
	for want, run := range map[string]func(context.Context) string{
		"done":                  func(context.Context) string { return "done" },
		"panic oops":            func(context.Context) string { panic("oops") },
		actor.ErrGoexit.Error(): func(context.Context) string { runtime.Goexit(); return "" },
	} {
		e := newErrand(run)
		d := ask(t, ref, func(c *actor.Context[message]) *actor.Dispatched[message] { return dispatch(c, e) })
		assert.Equal(t, want, <-e.heard)
		assert.False(t, d.Abandon(), "it has come back")
	}
	assert.True(t, ref.Alive(), "an errand that fails does not end the actor")
	ref.Stop(nil)
	require.ErrorIs(t, wait(t, ref.PID), actor.ErrShutdown)
}

func TestAbandonedErrandHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := actor.NewSystem(actor.Options{})
		ref := spawn(t, s, "a", &probe{})
		kept, left := newErrand(nil), newErrand(nil)
		// Sleeps of the bubble: no time passes.
		kept.run = func(ctx context.Context) string { <-ctx.Done(); time.Sleep(time.Second); return "kept" }
		left.run = func(context.Context) string { time.Sleep(time.Hour); return "left" }
		ask(t, ref, func(c *actor.Context[message]) int {
			dispatch(c, kept)
			assert.True(t, dispatch(c, left).Abandon())
			return 0
		})
		begun := time.Now()
		ref.Stop(nil)
		<-ref.Done()
		assert.Equal(t, time.Second, time.Since(begun), "the other one is waited for")
		<-left.late
		assert.Equal(t, time.Hour, time.Since(begun))
		assert.Empty(t, left.heard)
	})
}

// The goroutine on which an actor runs keeps its last errand for itself. It must be begun all the same, and the actor
// goes on, whatever the callback does after it, and whatever the errand does.
func TestErrandIsBegunWhateverComesNext(t *testing.T) {
	for name, then := range map[string]func(*actor.Context[message]){
		"nothing": func(*actor.Context[message]) {},
		"another": func(c *actor.Context[message]) { dispatch(c, newErrand(func(context.Context) string { return "" })) },
		"exit":    func(c *actor.Context[message]) { c.Exit(nil) },
		"panic":   func(*actor.Context[message]) { panic("oops") },
		"goexit":  func(*actor.Context[message]) { runtime.Goexit() },
		"stop":    func(c *actor.Context[message]) { c.Self().Stop(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			ref := spawn(t, actor.NewSystem(actor.Options{}), "a", &probe{})
			begun, gate := make(chan struct{}), make(chan struct{})
			e := newErrand(func(context.Context) string { close(begun); <-gate; return "done" })
			require.NoError(t, ref.Send(func(c *actor.Context[message]) { dispatch(c, e); then(c) }))
			_ = ref.Send(func(c *actor.Context[message]) { c.Exit(nil) }) // refused if it is ending already
			<-begun
			assert.True(t, ref.Alive(), "its end waits for the errand")
			close(gate)
			wait(t, ref.PID)
		})
	}
}

// An errand that blocks holds up neither the actor nor the errands after it.
func TestErrandsOfOneCallbackRunAtTheSameTime(t *testing.T) {
	ref := spawn(t, actor.NewSystem(actor.Options{}), "a", &probe{})
	const n = 20
	var all sync.WaitGroup
	all.Add(n)
	errands := make([]*errand, n)
	ask(t, ref, func(c *actor.Context[message]) int {
		for i := range errands {
			errands[i] = newErrand(func(context.Context) string { all.Done(); all.Wait(); return "met" })
			dispatch(c, errands[i])
		}
		return 0
	})
	for _, e := range errands {
		assert.Equal(t, "met", <-e.heard)
	}
	ref.Stop(nil)
	wait(t, ref.PID)
}

// More actors block at once than goroutines are kept waiting: each has one all the same, and those that
// were not kept end by themselves.
func TestActorsThatBlockDoNotKeepOthersFromRunning(t *testing.T) {
	s := actor.NewSystem(actor.Options{})
	const n = 500
	var inside sync.WaitGroup
	inside.Add(n)
	gate := make(chan struct{})
	refs := make([]actor.Ref[message], n)
	for i := range refs {
		refs[i] = spawn(t, s, "a/"+string(rune('a'+i%26))+string(rune('a'+i/26)), &probe{})
		require.NoError(t, refs[i].Send(func(*actor.Context[message]) { inside.Done(); <-gate }))
	}
	inside.Wait()
	assert.Equal(t, 7, ask(t, spawn(t, s, "another", &probe{}), func(*actor.Context[message]) int { return 7 }))
	close(gate)
	for _, ref := range refs {
		assert.Equal(t, 1, ask(t, ref, func(*actor.Context[message]) int { return 1 }))
	}
	for _, info := range s.Actors() {
		pid, ok := s.Lookup(info.Name)
		require.True(t, ok)
		pid.Stop(nil)
		wait(t, pid)
	}
}

package debug

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEventsSayThatSomethingHasChanged(t *testing.T) {
	f := newFake()
	inBubble(t, fixed(f, Options{Socket: true}), func(t *testing.T, client *http.Client, server *http.Server) {
		response := send(t, client, "GET", Path+"events", "")
		assert.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
		reader := bufio.NewReader(response.Body)
		next := func() string {
			t.Helper()
			for {
				line, err := reader.ReadString('\n')
				require.NoError(t, err)
				if line = strings.TrimSpace(line); line != "" {
					return line
				}
			}
		}
		assert.Equal(t, "retry: 2000", next())
		assert.Equal(t, `data: {"seq":0}`, next())
		assert.Equal(t, `data: {"seq":1}`, next(), "the first look")
		begun := time.Now()
		assert.Equal(t, ": still there", next())
		assert.Equal(t, 15*time.Second, time.Since(begun), "and nothing else meanwhile")
		for seq, state := range map[string]string{`data: {"seq":2}`: "draining"} {
			f.setState("writer", state)
			assert.Equal(t, seq, next())
			assert.LessOrEqual(t, time.Since(begun), 16*time.Second)
		}
		begun = time.Now()
		go func() { _, _ = io.Copy(io.Discard, reader) }() // a pipe does not buffer the end; ends with it
		require.NoError(t, server.Shutdown(t.Context()), "it ends at once")
		assert.Less(t, time.Since(begun), time.Second)
		require.NoError(t, response.Body.Close())
	})
}

// TestEventsCostNothingWithoutListeners counts how often the tree is looked at.
func TestEventsCostNothingWithoutListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looked := 0
		c := newChanges(func(context.Context) (Node, error) { looked++; return Node{}, nil }, time.Second)
		time.Sleep(time.Minute) // of the bubble
		assert.Zero(t, looked)
		_, done1 := c.listen()
		_, done2 := c.listen()
		synctest.Wait()
		time.Sleep(9500 * time.Millisecond)
		done1()
		assert.Equal(t, 10, looked, "once for both")
		done2()
		time.Sleep(time.Minute)
		assert.Equal(t, 10, looked)
		numbers, done3 := c.listen()
		synctest.Wait()
		assert.Equal(t, uint64(1), <-numbers, "a late listener gets the newest")
		done3()
	})
}

func TestALookThatPanicsOrFailsIsOnlyALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []func() (Node, error){
			func() (Node, error) { panic("blown") },
			func() (Node, error) { return Node{}, errBoom },
			func() (Node, error) { return Node{}, errBoom },
			func() (Node, error) { runtime.Gosched(); return Node{Name: "root"}, nil },
		}
		i := -1
		c := newChanges(func(context.Context) (Node, error) { i = min(i+1, len(answers)-1); return answers[i]() }, time.Second)
		numbers, done := c.listen()
		defer done()
		var got []uint64
		deadline := time.After(10 * time.Second)
		for waiting := true; waiting; {
			select {
			case n := <-numbers:
				got = append(got, n)
			case <-deadline:
				waiting = false
			}
		}
		assert.Equal(t, []uint64{0, 1, 2}, got)
	})
}

func TestStreamsAreBounded(t *testing.T) {
	h := fixed(newFake(), Options{Socket: true})
	for range maxStreams {
		require.NoError(t, h.takeStream())
	}
	refused(t, ask(h, "GET", Path+"events", ""), Unavailable, "64 streams")
	refused(t, ask(h, "GET", Path+"audit?follow=1", ""), Unavailable, "64 streams")
	assert.Equal(t, http.StatusOK, ask(h, "GET", Path+"audit", "").Code, "this one ends by itself")
}

// TestEventsNeedAServerThatStreams: the embedder's middleware may hide it.
func TestEventsNeedAServerThatStreams(t *testing.T) {
	recorder := httptest.NewRecorder()
	r := httptest.NewRequest("GET", Path+"events", nil)
	fixed(newFake(), Options{Socket: true}).ServeHTTP(struct{ http.ResponseWriter }{recorder}, r)
	refused(t, recorder, NotImplemented, "look again from time to time")
}

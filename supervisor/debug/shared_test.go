package debug

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestWhatManyAskForIsMadeOnce has 20 viewers ask while a page is being made: they get the next one, all of them the same.
func TestWhatManyAskForIsMadeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made, at, most atomic.Int64
		s := newShared()
		s.turns = make(chan struct{}, 1)
		h := s.serve(func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), at.Add(1)))
			time.Sleep(10 * time.Millisecond)
			at.Add(-1)
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusAccepted)
			_, _ = w.Write([]byte{byte('0' + made.Add(1))})
		})
		var all sync.WaitGroup
		get := func(target string, want string) {
			all.Go(func() { // ends with the answer
				w := httptest.NewRecorder()
				h(w, httptest.NewRequest("GET", target, nil))
				assert.Equal(t, want, w.Body.String(), target)
				assert.Equal(t, http.StatusAccepted, w.Code)
				assert.Equal(t, "text/plain", w.Header().Get("Content-Type"))
			})
		}
		get("/a", "1")
		synctest.Wait()
		for range 20 {
			get("/a", "2") // what was begun before they asked may be old
		}
		synctest.Wait()
		get("/b", "3")
		all.Wait()
		assert.EqualValues(t, 1, most.Load(), "one at a time")
		time.Sleep(time.Second) // the rest after the last one
	})
}

// TestAViewerThatGoesAwayTakesNothingFromTheOthers: the first to ask is the one whose request makes the page.
func TestAViewerThatGoesAwayTakesNothingFromTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShared()
		h := s.serve(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(time.Second):
				writeText(w, "whole")
			case <-r.Context().Done():
				writeText(w, "cut")
			}
		})
		for len(s.turns) < cap(s.turns) {
			s.turns <- struct{}{} // somebody's page is being made
		}
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { h(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/a", nil)) })
		synctest.Wait()
		all.Go(func() {
			w := httptest.NewRecorder()
			h(w, httptest.NewRequest("GET", "/a", nil))
			assert.Equal(t, "whole", w.Body.String())
		})
		synctest.Wait()
		leave()
		<-s.turns
		all.Wait()
		time.Sleep(time.Second)
	})
}

// TestAPageThatIsNeverMadeHoldsUpNobodyForEver: all turns are taken and do not come back.
func TestAPageThatIsNeverMadeHoldsUpNobodyForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShared()
		for len(s.turns) < cap(s.turns) {
			s.turns <- struct{}{}
		}
		w := httptest.NewRecorder()
		s.serve(func(http.ResponseWriter, *http.Request) {})(w, httptest.NewRequest("GET", "/a", nil))
		refused(t, w, Unavailable, "try again in a moment")
		<-s.turns
		w = httptest.NewRecorder()
		s.serve(func(w http.ResponseWriter, _ *http.Request) { writeText(w, "there") })(w, httptest.NewRequest("GET", "/a", nil))
		assert.Equal(t, "there", w.Body.String(), "what came before is not waited for")
		time.Sleep(time.Second)
	})
}

// TestAPanicIsEverybodysError: whoever waited for the page that panicked gets an answer.
func TestAPanicIsEverybodysError(t *testing.T) {
	f := newFake()
	f.blow = true
	h := fixed(f, Options{})
	for range 3 {
		refused(t, ask(h, "GET", Path, ""), Internal, "panic")
	}
	f.blow = false
	assert.Equal(t, http.StatusOK, ask(h, "GET", Path, "").Code)
}

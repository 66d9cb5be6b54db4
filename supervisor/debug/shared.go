package debug

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"sync"
	"time"
)

// shared makes what shows the tree once for all who ask for the same at the same time, and for few at a time: those who look
// must not take the machine from the sessions. Whoever asks gets what was begun after that, so that who has done something
// sees what has come of it.
type shared struct {
	turns chan struct{} // holds one for each that is being made, or rests
	rest  time.Duration // at most

	mu   sync.Mutex
	next map[string]*joint // not begun yet
}

// joint is an answer that several wait for.
type joint struct {
	done   chan struct{}
	header http.Header
	status int
	body   bytes.Buffer
}

// maxRest bounds the rest that follows on a page, which is twice as long as making it took: a machine that is busy with other things is
// no reason to wait for long.
const maxRest = 100 * time.Millisecond

func newShared() *shared {
	return &shared{turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/4)), rest: maxRest, next: make(map[string]*joint)}
}

// serve has serve answer whoever asks for the same address in the same form. It must answer all of them alike, in bounded time.
func (s *shared) serve(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// Nobody's going away may take the answer from the others.
		detached := r.WithContext(context.WithoutCancel(r.Context()))
		key := fmt.Sprintf("%s %s?%s %q", r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Values("Accept"))
		j := s.get(key, func(j *joint) { serve(j, detached) })
		select {
		case <-j.done:
		case <-r.Context().Done():
			return
		}
		maps.Copy(w.Header(), j.header)
		w.WriteHeader(j.status)
		_, _ = w.Write(j.body.Bytes()) // an error means that the client is gone
	}
}

// get joins those who wait for an answer to begin, or makes one.
func (s *shared) get(key string, fill func(*joint)) *joint {
	s.mu.Lock()
	if j := s.next[key]; j != nil {
		s.mu.Unlock()
		return j
	}
	j := &joint{done: make(chan struct{}), header: make(http.Header), status: http.StatusOK}
	s.next[key] = j
	s.mu.Unlock()
	waited := time.NewTimer(readTimeout)
	defer waited.Stop()
	turn := true
	select {
	case s.turns <- struct{}{}:
	case <-waited.C:
		turn = false
	}
	s.mu.Lock()
	delete(s.next, key)
	s.mu.Unlock()
	if !turn {
		refuse(j, &Error{Unavailable, "too many look at too many different things: try again in a moment"})
		close(j.done)
		return j
	}
	begun := time.Now()
	whole := false
	defer func() {
		if !whole { // it has panicked, which is for the caller's request to tell of
			j.header, j.body = make(http.Header), bytes.Buffer{}
			refuse(j, &Error{Internal, "a bug in the runtime made this request panic; the log has the stack"})
		}
		close(j.done)
		time.AfterFunc(min(2*time.Since(begun), s.rest), func() { <-s.turns })
	}()
	fill(j)
	whole = true
	return j
}

// Header implements http.ResponseWriter.
func (j *joint) Header() http.Header { return j.header }

// WriteHeader implements http.ResponseWriter.
func (j *joint) WriteHeader(status int) { j.status = status }

// Write implements http.ResponseWriter.
func (j *joint) Write(p []byte) (int, error) { return j.body.Write(p) }

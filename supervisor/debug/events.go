package debug

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// eventTimeout is how long a page may take to receive an event before it is let go; it will connect again.
const eventTimeout = 20 * time.Second

// sse is a stream of server-sent events.
type sse struct {
	w          http.ResponseWriter
	controller *http.ResponseController
}

// stream begins a stream of events, and calls serve until that is done; beat gives signs of life in between.
func (h *handler) stream(w http.ResponseWriter, r *http.Request, serve func(ctx context.Context, s *sse, beat <-chan time.Time)) {
	if err := h.takeStream(); err != nil {
		refuse(w, err)
		return
	}
	defer h.freeStream()
	patient(w)
	ctx, cancel := untilClosing(r.Context())
	defer cancel()
	if !flushes(w) {
		refuse(w, &Error{NotImplemented, "what serves this cannot stream: look again from time to time instead"})
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no")
	s := &sse{w, http.NewResponseController(w)}
	if s.send("retry: 2000\n\n") != nil {
		return
	}
	beat := time.NewTicker(h.beat)
	defer beat.Stop()
	serve(ctx, s, beat.C)
}

// alive is what is sent when there is nothing else.
const alive = ": still there\n\n"

func (s *sse) send(text string) error {
	// A server that does not know deadlines has none.
	_ = s.controller.SetWriteDeadline(time.Now().Add(eventTimeout))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.controller.Flush()
}

// events says what has changed, and not how: a page then gets what it shows. A client that comes back with the
// Last-Event-ID it has seen is told what it has missed, as long as that is known.
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	h.stream(w, r, func(ctx context.Context, s *sse, beat <-chan time.Time) {
		seen, again := resumed(h.changes.epoch, r.Header.Get("Last-Event-ID"))
		numbers, done := h.changes.listen()
		defer done()
		for {
			text := alive
			select {
			case <-ctx.Done():
				return
			case seq := <-numbers:
				e := h.changes.between(seen, seq)
				if !again {
					e.All, e.Paths, again = true, []string{}, true // it has what it has from before it listened
				}
				seen, text = seq, h.changes.event(e)
			case <-beat:
			}
			if s.send(text) != nil {
				return
			}
		}
	})
}

// life gives the moments of a session's life. The id of an event is good for as long as the daemon runs.
func (h *handler) life(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if _, err := h.backend.History(r.Context(), name); err != nil {
		refuse(w, err)
		return
	}
	since, _ := resumed(h.changes.epoch, r.Header.Get("Last-Event-ID"))
	h.stream(w, r, func(ctx context.Context, s *sse, beat <-chan time.Time) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		type step struct {
			moment Moment
			err    error
		}
		steps := make(chan step)
		go func() { // ends with the request
			defer close(steps)
			defer func() { _ = recover() }() // a panic of the backend's ends the stream, and nothing else
			for m, err := range h.backend.Follow(ctx, name, since) {
				select {
				case steps <- step{m, err}:
				case <-ctx.Done():
					return
				}
			}
		}()
		for {
			text := alive
			select {
			case <-ctx.Done():
				return
			case next, more := <-steps:
				switch {
				case !more:
					return
				case next.err != nil: // it has been too slow, and will connect again
					line, _ := json.Marshal(errorLine{TypeError, CodeOf(next.err), cut(next.err.Error(), maxDetail)})
					_ = s.send("event: error\ndata: " + string(line) + "\n\n")
					return
				}
				text = fmt.Sprintf("id: %s-%d\nevent: %s\ndata: %s\n\n", h.changes.epoch, next.moment.Seq, next.moment.Kind, next.moment.Data)
			case <-beat:
			}
			if s.send(text) != nil {
				return
			}
		}
	})
}

// flushes reports whether a ResponseController will be able to flush, without doing it: that would send
// the status.
func flushes(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

type (
	closingKey struct{} // of the channel that is closed when the server shuts down
	peerKey    struct{} // of the name of who is at the other end of a unix socket
)

var errClosing = errors.New("the server is shutting down")

// untilClosing ends a stream that would go on for ever when its server, made by NewServer, shuts down.
func untilClosing(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	closing, _ := ctx.Value(closingKey{}).(chan struct{})
	if closing == nil {
		return ctx, func() { cancel(nil) }
	}
	go func() { // ends with the request
		select {
		case <-closing:
			cancel(errClosing)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

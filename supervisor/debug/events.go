package debug

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// changes tells pages when the tree is not what it was. It looks only while somebody listens, once for
// all of them.
type changes struct {
	tree  func(context.Context) (Node, error)
	every time.Duration

	mu        sync.Mutex
	seq       uint64
	last      []byte
	listeners map[chan uint64]struct{}
	stop      context.CancelFunc // not nil while watch runs
}

func newChanges(tree func(context.Context) (Node, error), every time.Duration) *changes {
	return &changes{tree: tree, every: every, listeners: make(map[chan uint64]struct{})}
}

// listen gives a channel that has the newest number once it is another. Call the function when done.
func (c *changes) listen() (<-chan uint64, func()) {
	listener := make(chan uint64, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners[listener] = struct{}{}
	listener <- c.seq
	if c.stop == nil {
		var ctx context.Context
		ctx, c.stop = context.WithCancel(context.Background())
		go c.watch(ctx) // ends when the last listener has gone
	}
	return listener, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.listeners, listener)
		if len(c.listeners) == 0 {
			c.stop()
			c.stop = nil
		}
	}
}

func (c *changes) watch(ctx context.Context) {
	ticker := time.NewTicker(c.every)
	defer ticker.Stop()
	for {
		c.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look takes the tree and tells the listeners if it has changed.
func (c *changes) look(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	defer func() {
		// This is nobody's request: a panic here would end the process. The page's own requests will say
		// what is wrong.
		_ = recover()
	}()
	root, err := c.tree(bounded)
	now, _ := json.Marshal(root) // NaN somewhere: as good as an unchanged tree
	if err != nil {
		now = []byte(err.Error())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil || bytes.Equal(now, c.last) {
		return
	}
	c.last = now
	c.seq++
	for listener := range c.listeners {
		select {
		case <-listener: // it has not taken the one before
		default:
		}
		listener <- c.seq
	}
}

// eventTimeout is how long a page may take to receive an event before it is let go; it will connect again.
const eventTimeout = 20 * time.Second

// events says when to look again, and nothing else: a page then gets what it shows.
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	if err := h.takeStream(); err != nil {
		refuse(w, err)
		return
	}
	defer h.freeStream()
	patient(w)
	ctx, cancel := untilClosing(r.Context())
	defer cancel()
	controller := http.NewResponseController(w)
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no")
	send := func(text string) error {
		// A server that does not know deadlines has none.
		_ = controller.SetWriteDeadline(time.Now().Add(eventTimeout))
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		return controller.Flush()
	}
	if !flushes(w) {
		header.Del("X-Accel-Buffering")
		refuse(w, &Error{NotImplemented, "what serves this cannot stream: look again from time to time instead"})
		return
	}
	if send("retry: 2000\n\n") != nil {
		return
	}
	numbers, done := h.changes.listen()
	defer done()
	beat := time.NewTicker(h.beat)
	defer beat.Stop()
	for {
		text := ": still there\n\n"
		select {
		case <-ctx.Done():
			return
		case seq := <-numbers:
			text = fmt.Sprintf("data: {\"seq\":%d}\n\n", seq)
		case <-beat.C:
		}
		if send(text) != nil {
			return
		}
	}
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

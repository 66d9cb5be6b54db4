package sessiontest

import (
	"io"
	"sync"
	"time"
)

// outbox writes lines in order without ever holding up who puts them in: a CLI whose output nobody reads buffers it and goes
// on, and so does the simulation.
type outbox struct {
	mu      sync.Mutex
	changed *sync.Cond
	lines   [][]byte
	busy    bool // a line is being written
	closed  bool
	broken  bool // the reader went away; what follows is dropped
}

func newOutbox(w io.Writer) *outbox {
	o := &outbox{}
	o.changed = sync.NewCond(&o.mu)
	go o.run(w) // ends when closed and empty, or when the reader went away
	return o
}

func (o *outbox) run(w io.Writer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for len(o.lines) == 0 && !o.closed {
			o.changed.Wait()
		}
		if len(o.lines) == 0 {
			return
		}
		line := o.lines[0]
		o.lines, o.busy = o.lines[1:], true
		o.mu.Unlock()
		_, err := w.Write(line)
		o.mu.Lock()
		o.busy = false
		if err != nil {
			o.broken, o.lines = true, nil
		}
		o.changed.Broadcast()
		if err != nil {
			return
		}
	}
}

func (o *outbox) put(line []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken || o.closed {
		return
	}
	o.lines = append(o.lines, line)
	o.changed.Broadcast()
}

// flush waits until everything was written, or a while when nobody reads.
func (o *outbox) flush(patience time.Duration) {
	timer := time.AfterFunc(patience, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.broken, o.lines = true, nil
		o.changed.Broadcast()
	})
	defer timer.Stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.broken && (len(o.lines) > 0 || o.busy) {
		o.changed.Wait()
	}
}

// close ends the writer once everything was written.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.changed.Broadcast()
}

package session

import (
	"context"
	"iter"

	"github.com/understudy-run/understudy/session/protocol"
)

// Event is a message of a session together with where it belongs.
type Event struct {
	Session    string
	Generation int
	Turn       int  // number of the turn in the session's life, from 1; 0 outside of turns
	Own        bool // the CLI started the turn by itself
	Message    protocol.Message
}

// watchBuffer is how many events may wait for a watcher.
const watchBuffer = 1024

type watcher struct {
	events  chan Event
	dropped chan struct{}
}

// Watch returns everything the CLI says, in all turns, its own included, from now on and over restarts. A
// watcher that falls more than 1,024 events behind ends with ErrSlowConsumer; it never holds the session
// up. The iteration ends with the context, without an error.
func (s *Session) Watch(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		w := &watcher{events: make(chan Event, watchBuffer), dropped: make(chan struct{})}
		s.desk.mu.Lock()
		s.desk.watchers[w] = struct{}{}
		s.desk.mu.Unlock()
		defer func() {
			s.desk.mu.Lock()
			defer s.desk.mu.Unlock()
			delete(s.desk.watchers, w)
		}()
		for {
			select {
			case e := <-w.events:
				if !yield(e, nil) {
					return
				}
				continue
			default:
			}
			select {
			case e := <-w.events:
				if !yield(e, nil) {
					return
				}
			case <-w.dropped:
				yield(Event{}, ErrSlowConsumer)
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

// publish gives an event to every watcher that has room, with the number of its turn if there is one.
func (d *desk) publish(e Event, inTurn bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.watchers) == 0 { // as a rule
		return
	}
	if inTurn {
		e.Turn = d.record.Turns
		if _, isResult := e.Message.(*protocol.Result); !isResult {
			e.Turn++ // not counted yet
		}
	}
	for w := range d.watchers {
		select {
		case w.events <- e:
		default:
			delete(d.watchers, w)
			close(w.dropped)
		}
	}
}

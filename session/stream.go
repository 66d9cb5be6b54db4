package session

import (
	"context"
	"sync"

	"github.com/understudy-run/understudy/session/protocol"
)

// streamWindow is how many bytes of frames may wait for a consumer.
const streamWindow = 32 << 20

// stream carries messages from the actor, which never waits, to one consumer, which may be slow.
type stream struct {
	mu     sync.Mutex
	items  []protocol.Message
	bytes  int
	closed bool
	err    error
	ready  chan struct{} // holds one token when there may be something to take
}

func newStream() *stream { return &stream{ready: make(chan struct{}, 1)} }

// push adds a message. It reports whether there was room.
func (s *stream) push(m protocol.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return true // nobody takes it, and nobody misses it
	}
	size := len(m.Raw())
	if s.bytes+size > streamWindow && len(s.items) > 0 {
		return false
	}
	s.items = append(s.items, m)
	s.bytes += size
	s.wake()
	return true
}

// close ends the stream behind what is in it. Only the first call counts.
func (s *stream) close(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed, s.err = true, err
		s.wake()
	}
}

// abandon ends the stream and drops what is in it.
func (s *stream) abandon() {
	s.close(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items, s.bytes = nil, 0
}

func (s *stream) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// take waits for messages. A nil slice is the end, with the stream's error; an error of the context comes
// as it is.
func (s *stream) take(ctx context.Context) ([]protocol.Message, error) {
	for {
		s.mu.Lock()
		items, closed, err := s.items, s.closed, s.err
		s.items, s.bytes = nil, 0
		s.mu.Unlock()
		if len(items) > 0 {
			return items, nil
		}
		if closed {
			return nil, err
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

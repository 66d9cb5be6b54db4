package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/understudy-run/understudy/session/protocol"
)

// What may wait for a consumer, in bytes of frames.
const (
	// streamWindow is how much waits in memory, decoded. What comes beyond it goes to a file.
	streamWindow = 4 << 20
	// spillWindow is how much may wait to be written to that file.
	spillWindow = 8 << 20
	// patience is how long stdout is left alone for a consumer that has half a window before it. On a busy machine it may
	// just not have had its turn, and to write a file and read it again is more work than all the rest. One that takes
	// nothing in this time is not waited for again before it does: control answers stand behind what is not read.
	patience = 20 * time.Millisecond
)

// stream carries messages from the actor, which never waits, to one consumer, which may be slow. The messages
// are, oldest first, in items, in the spool, and in pending.
type stream struct {
	dir   string // for the spool
	limit int64  // of the spool, in bytes

	mu     sync.Mutex
	items  []protocol.Message
	taken  []protocol.Message // what the consumer got last, and is done with when it comes again
	bytes  int
	closed bool
	err    error
	ready  chan struct{} // holds one token when there may be something to take
	took   chan struct{} // holds one token when something was taken
	slow   bool          // patience was lost, and nothing was taken since

	spool   *spool // nil while the consumer keeps up
	pending []byte // lines on their way to the spool
	spare   []byte // a buffer for the next of them
	writing bool   // a goroutine writes them
	broken  error  // why nothing more can be kept
}

func newStream(dir string, limit int64) *stream {
	return &stream{ready: make(chan struct{}, 1), took: make(chan struct{}, 1), dir: dir, limit: limit}
}

// push adds messages, and leaves it to the caller to wake the consumer. An error says why there is no room for one: the
// consumer gets what was pushed before.
func (s *stream) push(messages ...protocol.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range messages {
		if err := s.add(m); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) add(m protocol.Message) error {
	if s.closed {
		return nil // nobody takes it, and nobody misses it
	}
	raw := m.Raw()
	switch {
	case s.broken != nil:
		return s.broken
	case s.spool == nil && (s.bytes+len(raw) <= streamWindow || len(s.items) == 0):
		s.items = append(s.items, m)
		s.bytes += len(raw)
		return nil
	case s.spool == nil:
		s.spool = &spool{dir: s.dir}
	}
	if unread := s.spool.unread() + int64(len(s.pending)+len(raw)); unread > s.limit {
		s.broken = fmt.Errorf("%d bytes wait already (max_unread_bytes)", s.limit)
	} else if len(s.pending) > 0 && len(s.pending)+len(raw) > spillWindow {
		s.broken = fmt.Errorf("the disk is slower than the CLI, %d bytes wait to be written", len(s.pending))
	}
	if s.broken != nil {
		return s.broken
	}
	s.pending = append(append(s.pending, raw...), '\n')
	if !s.writing {
		s.writing = true
		go s.spill() // ends when nothing is pending
	}
	return nil
}

// awaitRoom gives a consumer that has fallen behind a moment to take what waits. A nil stream has room.
func (s *stream) awaitRoom(ctx context.Context) {
	if s == nil || !s.crowded() {
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for s.crowded() {
		select {
		case <-s.took: // or it was taken before
		case <-timer.C:
			s.mu.Lock()
			s.slow = s.bytes > 0
			s.mu.Unlock()
			return
		case <-ctx.Done():
			return
		}
	}
}

// crowded reports whether so much waits in memory that the consumer should be given a moment.
func (s *stream) crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes > streamWindow/2 && s.spool == nil && !s.slow && !s.closed
}

// spill writes what is pending. Nothing else writes to the spool.
func (s *stream) spill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.pending) > 0 {
		lines, to := s.pending, s.spool
		s.pending, s.spare = s.spare[:0], nil
		file, opened := to.tail(), false
		s.mu.Unlock()
		var n int64
		var err error
		if file == nil {
			file, err = openSpool(s.dir)
			opened = err == nil
		}
		if err == nil {
			n, err = file.append(lines)
		}
		s.mu.Lock()
		switch given := s.spool == to; {
		case opened && given:
			to.files = append(to.files, file)
		case opened:
			_ = file.Close() // the consumer has left
		}
		s.spare = lines[:0]
		if file != nil {
			file.size += n
		}
		if err != nil && s.spool == to {
			s.pending, s.broken = nil, fmt.Errorf("keep them on disk: %w", err)
		}
		s.wake()
	}
	s.writing = false
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

func (s *stream) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// abandon ends the stream and drops what is in it.
func (s *stream) abandon() {
	s.close(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items, s.taken, s.bytes, s.pending, s.spare = nil, nil, 0, nil, nil
	s.release()
}

// release gives the spool up.
func (s *stream) release() {
	if s.spool != nil {
		s.spool.close()
		s.spool = nil
	}
}

func (s *stream) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// take waits for messages. A nil slice is the end, with the stream's error; an error of the context comes
// as it is. There is one taker, to whom they belong until the next call.
func (s *stream) take(ctx context.Context) ([]protocol.Message, error) {
	for {
		messages, over, err := s.next()
		if len(messages) > 0 || over {
			return messages, err
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// next takes what is there.
func (s *stream) next() (messages []protocol.Message, over bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.taken)
	if len(s.items) > 0 {
		s.items, s.taken, s.bytes, s.slow = s.taken[:0], s.items, 0, false
		select {
		case s.took <- struct{}{}:
		default:
		}
		return s.taken, false, nil
	}
	s.taken = nil // an idle stream holds no memory
	if s.spool != nil {
		if file := s.spool.head(); file != nil {
			from, to := file.read, file.size
			s.mu.Unlock()
			messages, n, err := file.messages(from, to)
			s.mu.Lock()
			file.read += n
			if err != nil { // they were there, and are not any more
				s.closed, s.err = true, fmt.Errorf("%w: read them back from disk: %w", ErrSlowConsumer, err)
				s.pending = nil
				s.release()
			}
			if err == nil || len(messages) > 0 {
				return messages, false, nil
			}
		}
	}
	switch {
	case s.writing: // there will be more in a moment
		return nil, false, nil
	case s.broken != nil && s.closed:
		s.release()
		if s.err == nil || !errors.Is(s.err, ErrSlowConsumer) {
			return nil, true, errors.Join(fmt.Errorf("%w: %w", ErrSlowConsumer, s.broken), s.err)
		}
		return nil, true, s.err
	case s.broken == nil:
		s.release() // the consumer has caught up
	}
	return nil, s.closed, s.err
}

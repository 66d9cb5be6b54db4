package supervisor

import (
	"context"
	"sync"
	"time"
)

// startContext is the context of one start. What it needs is made when somebody asks: most starts are over before
// anybody has, and to be told of the supervisor's end costs an entry in a map that all starts share.
type startContext struct {
	parent context.Context

	mu    sync.Mutex
	made  context.Context
	stop  context.CancelFunc // of made
	ended bool
}

var _ context.Context = (*startContext)(nil)

// cancel ends the context.
func (s *startContext) cancel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.stop != nil {
		s.stop()
	}
}

func (s *startContext) make() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.makeLocked()
}

func (s *startContext) makeLocked() context.Context {
	if s.made == nil {
		s.made, s.stop = context.WithCancel(s.parent)
		if s.ended {
			s.stop()
		}
	}
	return s.made
}

func (s *startContext) Deadline() (time.Time, bool) { return s.parent.Deadline() }
func (s *startContext) Done() <-chan struct{}       { return s.make().Done() }

func (s *startContext) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made == nil && !s.ended {
		return s.parent.Err()
	}
	return s.makeLocked().Err()
}

// Value gives what context.Cause looks for as well, which must then be this context's own and not its parent's.
func (s *startContext) Value(key any) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made == nil && !s.ended {
		return s.parent.Value(key)
	}
	return s.makeLocked().Value(key)
}

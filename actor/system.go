package actor

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"

	hollywood "github.com/anthdm/hollywood/actor"
	"github.com/rs/zerolog"
)

// DefaultMailbox is the bound of a mailbox whose Spec names none, in messages.
const DefaultMailbox = 1024

// Options tune a System. The zero value works.
type Options struct {
	// Logger gets one line for each actor that ends with a panic, at error level, and for each dead
	// letter, at debug level. The zero value is silent.
	Logger zerolog.Logger
	// DeadLetter, if not nil, is called for each message that an actor had taken and did not come to
	// handle before it ended. It runs on the ending actor's goroutine and must return soon; a panic in it
	// is contained.
	DeadLetter func(name string, message any)
}

// System is a set of named actors. Make one with NewSystem; a process may hold several.
type System struct {
	engine  *hollywood.Engine
	options Options
	dead    atomic.Uint64
	crew    crew

	mu    sync.Mutex
	names map[string]*cell
	seq   uint64
}

// NewSystem returns a System without actors. There is nothing to close: its goroutines end with the last of
// its actors, and then it is garbage.
func NewSystem(options Options) *System {
	engine, err := hollywood.NewEngine(hollywood.NewEngineConfig())
	if err != nil {
		// Only starting a remote can fail, and there is none.
		panic(fmt.Sprintf("actor: hollywood engine: %v", err))
	}
	return &System{engine: engine, options: options, names: make(map[string]*cell)}
}

// Spec says how to spawn an actor.
type Spec struct {
	// Name is the actor's address in errors, logs and the debug endpoint, unique among the living actors
	// of a System. By convention a path: "root/sessions/reviewer". Empty, or with control characters or
	// spaces, is refused.
	Name string
	// Mailbox is how many messages of others may wait. 0 means DefaultMailbox.
	Mailbox int
}

func (s Spec) validate() error {
	if s.Name == "" {
		return fmt.Errorf("spawn actor: empty name")
	}
	if i := strings.IndexFunc(s.Name, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }); i >= 0 {
		return fmt.Errorf("spawn actor %q: a name has no spaces or control characters", s.Name)
	}
	if s.Mailbox < 0 {
		return fmt.Errorf("spawn actor %s: mailbox %d: must be 0 (for %d) or more", s.Name, s.Mailbox, DefaultMailbox)
	}
	return nil
}

// register gives a cell its name and its hollywood address.
func (s *System) register(c *cell) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.names[c.name]; taken {
		return fmt.Errorf("spawn actor %s: %w", c.name, ErrNameTaken)
	}
	s.seq++
	// The incarnation number keeps hollywood's addresses unique: its registry answers a second spawn of
	// one id with the first actor.
	var digits [20]byte
	c.pid.Address, c.pid.ID = hollywood.LocalLookupAddr, c.name+"#"+string(strconv.AppendUint(digits[:0], s.seq, 10))
	s.names[c.name] = c
	s.crew.born()
	return nil
}

func (s *System) release(c *cell) {
	s.engine.Registry.Remove(&c.pid)
	s.crew.gone()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names[c.name] == c {
		delete(s.names, c.name)
	}
}

// Lookup returns the living actor of that name.
func (s *System) Lookup(name string) (PID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.names[name]
	return PID{c}, ok
}

// Actors describes every living actor, sorted by name. It does not go through any mailbox.
func (s *System) Actors() []Info {
	s.mu.Lock()
	cells := make([]*cell, 0, len(s.names))
	for _, c := range s.names {
		cells = append(cells, c)
	}
	s.mu.Unlock()
	infos := make([]Info, len(cells))
	for i, c := range cells {
		infos[i] = PID{c}.Info()
	}
	slices.SortFunc(infos, func(a, b Info) int { return cmp.Compare(a.Name, b.Name) })
	return infos
}

// DeadLetters is how many messages were taken and never handled because their actor ended.
func (s *System) DeadLetters() uint64 { return s.dead.Load() }

func (s *System) deadLetter(name string, message any) {
	s.dead.Add(1)
	// Only the type: a message may hold a prompt.
	s.options.Logger.Debug().Str("actor", name).Str("message", fmt.Sprintf("%T", message)).Msg("dead letter")
	if s.options.DeadLetter == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			s.options.Logger.Error().Str("actor", name).Interface("panic", fmt.Sprint(v)).Msg("dead letter hook panicked")
		}
	}()
	s.options.DeadLetter(name, message)
}

package session

import (
	"slices"
	"time"
)

// How much of a session's past is kept in memory.
const (
	maxGenerations = 12
	maxTurns       = 20
	maxTools       = 30
	maxLastWords   = 20 // lines of stderr, of the process before
)

// History is the recent past of a session, oldest first, as far as this program has seen it.
type History struct {
	Generations []Generation
	Turns       []Turn
	Tools       []ToolRun
	// LastWords are the last lines that the process before the present one wrote to stderr.
	LastWords []string
}

// Generation is the life of one process.
type Generation struct {
	Number    int
	PID       int
	StartedAt time.Time
	ReadyAt   time.Time // zero: it did not answer the handshake
	EndedAt   time.Time // zero: it runs
	Exit      string    // how it ended; empty: it runs
	Turns     int       // that came to a result in it
}

// Turn is one turn.
type Turn struct {
	Number    int
	StartedAt time.Time
	EndedAt   time.Time // zero: it runs
	Outcome   string    // the subtype of the result, error or crashed; empty: it runs
	Own       bool      // the CLI began it by itself
	Tools     int
	CostUSD   float64
	Tokens    Tokens
}

// ToolRun is one use of a tool.
type ToolRun struct {
	ID, Name, Argument string
	Turn               int
	StartedAt          time.Time
	EndedAt            time.Time // zero: it runs
	Outcome            string    // ok, error, denied, lost; empty: it runs
}

// note takes a moment down.
func (h *History) note(m Moment) {
	switch m.Kind {
	case ProcessStarted:
		h.endGeneration(m.At, "ended with its actor")
		h.Generations = keepLast(h.Generations, maxGenerations, Generation{Number: m.Generation, PID: m.PID, StartedAt: m.At})
	case ProcessReady:
		if g := last(h.Generations); g != nil {
			g.ReadyAt = m.At
		}
	case ProcessEnded:
		if g := last(h.Generations); g != nil {
			g.EndedAt, g.Exit = m.At, m.Outcome
		}
	case TurnStarted:
		h.Turns = keepLast(h.Turns, maxTurns, Turn{Number: m.Turn, StartedAt: m.At, Own: m.Own})
	case TurnEnded:
		t := last(h.Turns)
		if t == nil || !t.EndedAt.IsZero() {
			return
		}
		t.EndedAt, t.Outcome, t.CostUSD = m.At, m.Outcome, m.CostUSD
		if m.Tokens != nil {
			t.Tokens = *m.Tokens
		}
		if g := last(h.Generations); g != nil && m.Outcome != outcomeCrashed {
			g.Turns++
		}
	case ToolStarted:
		h.Tools = keepLast(h.Tools, maxTools, ToolRun{ID: m.ToolUseID, Name: m.Tool, Argument: m.Argument, Turn: m.Turn, StartedAt: m.At})
		if t := last(h.Turns); t != nil && t.EndedAt.IsZero() {
			t.Tools++
		}
	case ToolEnded:
		for i := len(h.Tools) - 1; i >= 0; i-- {
			if t := &h.Tools[i]; t.ID == m.ToolUseID && t.EndedAt.IsZero() {
				t.EndedAt, t.Outcome = m.At, m.Outcome
				return
			}
		}
	case StateChanged:
		h.endGeneration(m.At, m.Detail) // a killed actor does not tell of its process's end
	case PermissionAsked, PermissionGiven, PermissionNone, APIRetried, UnknownFrame, StderrLine:
	}
}

// endGeneration ends the last one, if nothing has.
func (h *History) endGeneration(at time.Time, exit string) {
	if g := last(h.Generations); g != nil && g.EndedAt.IsZero() {
		g.EndedAt, g.Exit = at, exit
	}
}

func (h *History) clone() History {
	return History{
		Generations: slices.Clone(h.Generations), Turns: slices.Clone(h.Turns), Tools: slices.Clone(h.Tools),
		LastWords: slices.Clone(h.LastWords),
	}
}

// keepLast appends to a list of bounded length.
func keepLast[T any](list []T, most int, next T) []T {
	if len(list) >= most {
		list = slices.Delete(list, 0, len(list)-most+1)
	}
	return append(list, next)
}

func last[T any](list []T) *T {
	if len(list) == 0 {
		return nil
	}
	return &list[len(list)-1]
}

// History is the session's recent past.
func (s *Session) History() History {
	s.desk.mu.Lock()
	defer s.desk.mu.Unlock()
	return s.desk.history.clone()
}

package session

import (
	"fmt"
	"time"

	"github.com/understudy-run/understudy/session/process"
)

// State is what a session is doing.
type State string

// The states of a session.
const (
	Starting   State = "starting"   // its process is up or coming up, and has not answered the handshake
	Idle       State = "idle"       // it takes queries
	Busy       State = "busy"       // in a turn, somebody's or its own
	Restarting State = "restarting" // its process ended; it waits for the next
	Draining   State = "draining"   // it is ending its turn and its process
	Stopped    State = "stopped"    // stopped on request
	Failed     State = "failed"     // parked: it takes no queries until somebody restarts it

	Hibernated State = "hibernated" // its process was ended since it had nothing to do; the next query starts it again
	Waiting    State = "warm"       // it is a process that waits for a session to come: see Warm
	Held       State = "held"       // queries wait for the API, whose limit is reached or which is overloaded
)

// Info describes a session at a moment. Taking it needs nothing of the session or of its process.
type Info struct {
	Name       string
	State      State
	Since      time.Time // when it came into that state
	SessionID  string    // the conversation's id, the same over restarts
	PID        int       // of the CLI; 0 if there is none
	Generation int       // 1, 2, … per process
	Version    string    // of the CLI, as it says itself
	Model      string    // as asked for, or as the CLI reports it
	Mode       string    // permission mode
	CWD        string

	// Containment are the layers that hold what the running process starts, weakest first.
	Containment []process.Layer

	Queue     int      // queries that wait
	Approvals int      // permission questions that wait for somebody, see Session.Approvals
	Mailbox   int      // messages that wait in the actor's mailbox
	Subagents int      // that are at work
	Turns     int      // turns that came to a result, in the session's life
	CostUSD   float64  // spent in the session's life
	Budget    float64  // 0: no limit
	Budgets   []string // shared ones that it spends from besides

	Tokens        Tokens // used since this program made the session
	ContextTokens int64  // that the last model call had before it, with its answer; 0: not known
	ContextWindow int64  // how many the model takes; 0: not known
	APIRetries    uint64 // requests that the CLI tried again, since this program made the session

	// Ephemeral says that the conversation is not kept: a restart begins a new one.
	Ephemeral bool

	Turn      int       // the one that runs, 0 for none
	TurnSince time.Time // when that began

	Tool     string // what it is using right now, empty if nothing
	ToolArg  string // its main argument in one line, cut
	LastExit *Exit

	StartedAt  time.Time // when the process was started
	NextTry    time.Time // when Restarting waits for it
	HeldUntil  time.Time // when Held queries go on
	Waits      string    // for what it waits, if not for its CLI: max_processes, max_busy, its state to be on disk, the audit log, …
	Retry      *Retry    // the API request that the CLI is about to try again; nil if there is none
	Restarts   int       // in the session's life
	Unsaved    string    // why its record could not be written; empty if it is on disk
	Reason     error     // why it is Failed
	Refusing   error     // why no turn is begun although the session runs: the audit log cannot be written; nil otherwise
	Unknown    uint64    // frames of a kind this program does not know, in the session's life
	NoiseLines uint64    // lines on stdout that were no frames
}

// Exit is how a process of a session ended.
type Exit struct {
	At     time.Time
	Reason error
}

// Info describes the session.
func (s *Session) Info() Info {
	_, info := s.desk.snapshot()
	info.Mailbox = s.desk.current().Info().Depth
	info.Refusing = s.unaudited()
	what := ""
	switch {
	case info.Waits != "":
	case info.Unsaved != "":
		what = "its state to be on disk"
	case info.Refusing != nil:
		what = "the audit log"
	}
	if n := s.desk.requeued(); n > 0 && what != "" {
		info.Waits = fmt.Sprintf("%s, for %d prompts of an earlier runtime (redeliver)", what, n)
	}
	return info
}

// Stderr is the last lines that the CLI wrote to stderr, oldest first: of the running process, or of the
// last one if none is running.
func (s *Session) Stderr() []string {
	s.desk.mu.Lock()
	lines := s.desk.stderr
	s.desk.mu.Unlock()
	if lines == nil {
		return nil
	}
	return lines()
}

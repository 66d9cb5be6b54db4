package session

import (
	"errors"
	"fmt"
	"strings"

	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
)

// What a query may end with, beside a *CrashError and a *ResultError.
var (
	// ErrQueueFull says that Options.MaxQueue queries wait already.
	ErrQueueFull = errors.New("queue full")
	// ErrSlowConsumer says that the caller did not take the messages of its turn as fast as the CLI wrote
	// them, for so long that more of them wait than Options.MaxUnreadBytes, or that the disk is full. The turn was interrupted.
	ErrSlowConsumer = errors.New("messages were not read in time")
	// ErrInterrupted says that the turn was interrupted, by Interrupt or by an operator.
	ErrInterrupted = errors.New("turn interrupted")
	// ErrStopped says that the session was stopped, or is being stopped, on request.
	ErrStopped = errors.New("session stopped")
	// ErrAtWork says that a session has something to do, and was not taken away for that.
	ErrAtWork = errors.New("session is at work")
	// ErrFailed says that the session is parked: it ended too often, or in a way that a restart does not
	// help. The error that wraps it has the reason.
	ErrFailed = errors.New("session failed")
	// ErrBudgetExhausted says that the session has spent what Options.MaxBudgetUSD allows it in its life.
	ErrBudgetExhausted = errors.New("budget exhausted")
	// ErrAuth says that the API refused the credentials.
	ErrAuth = errors.New("the API refused the credentials")
	// ErrOverloaded says that the API took no request: a usage limit is reached, or it is overloaded. Queries behind it wait
	// until it is worth a try, if the session has a Governor.
	ErrOverloaded = errors.New("the API is overloaded, or a usage limit is reached")
	// ErrTurnTimeout says that a turn took longer than Options.TurnTimeout and was interrupted.
	ErrTurnTimeout = errors.New("turn took too long")
	// ErrToolLoop says that the model made the same tool call again and again, went on when it was denied, and was interrupted. See
	// Options.MaxIdenticalToolCalls and MaxToolCycles. The session is as usable as after any interrupt.
	ErrToolLoop = errors.New("the same tool call again and again")
	// ErrConsumed says that a query was iterated a second time: a prompt is sent once.
	ErrConsumed = errors.New("query was iterated already")
	// ErrDropped says that the CLI did not run a prompt, and gave no result: it was discarded, or had been
	// answered before.
	ErrDropped = errors.New("prompt was not run")
	// ErrPrompt says that a prompt cannot be sent: it is empty, or has something in it that the CLI or the API
	// would refuse. The error that wraps it has the reason.
	ErrPrompt = errors.New("bad prompt")
	// ErrAuditUnavailable says that no turn is begun since the audit log, which is required, cannot be written. It
	// is tried again all the time; the error that wraps it has the reason.
	ErrAuditUnavailable = errors.New("the audit log cannot be written, and no turn may run unrecorded")
	// ErrNotRunning says that a control request needs a running CLI and there is none at the moment.
	ErrNotRunning = errors.New("session is not running")
)

// Phase is what a session was doing when its process ended.
type Phase string

// The phases of a crash.
const (
	PhaseStart Phase = "start" // before the handshake was done
	PhaseIdle  Phase = "idle"
	PhaseTurn  Phase = "turn"
)

// CrashError is the unexpected end of a CLI process: what the session's actor ends with, and what the
// query gets whose turn it was. Queued queries are not affected.
type CrashError struct {
	Session    string
	SessionID  string
	Generation int
	Phase      Phase
	Exit       process.Exit      // code or signal, and the last lines of stderr; zero if the process never ran
	Class      process.ExitClass // what kind of end it was
	Cause      error             // what the runtime saw, if it ended the process itself: a missed deadline, garbage; else nil
	Poisoned   bool              // so many processes have crashed on the conversation that it is not resumed any more
	Resumable  bool              // the next generation goes on with this conversation
}

// ExitClass is Class, for those who count ends by class.
func (e *CrashError) ExitClass() string { return string(e.Class) }

// Error tells what happened, with the last line of stderr.
func (e *CrashError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "session %s: CLI (generation %d) ", e.Session, e.Generation)
	switch e.Phase {
	case PhaseStart:
		b.WriteString("did not start: ")
	case PhaseTurn:
		b.WriteString("ended during a turn: ")
	default:
		b.WriteString("ended: ")
	}
	if e.Cause != nil {
		b.WriteString(e.Cause.Error())
		if n := len(e.Exit.Stderr); n > 0 {
			fmt.Fprintf(&b, "; stderr ends: %q", cut(e.Exit.Stderr[n-1], 200))
		}
	} else {
		b.WriteString(process.Diagnose(e.Exit))
	}
	if e.Poisoned {
		b.WriteString("; so did the processes before it, on the conversation " + e.SessionID)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *CrashError) Unwrap() error { return e.Cause }

// Permanent reports whether a restart would end the same way, so that a supervisor parks the session at
// once instead of burning restarts: a bad flag, a missing binary, a refused key.
func (e *CrashError) Permanent() bool { return e.Poisoned || e.Class.Permanent() }

// ResultError is a turn that ended with an error result. The session lives on.
type ResultError struct {
	Session string
	Result  *protocol.Result
	Auth    bool // the API refused the credentials

	// Overloaded says that the API had no room, after all the CLI's own tries: too many requests, a usage limit, overload.
	Overloaded bool
}

// Error gives the subtype and the CLI's text.
func (e *ResultError) Error() string {
	r := e.Result
	text := r.Result
	if text == "" && len(r.Errors) > 0 {
		text = r.Errors[len(r.Errors)-1]
	}
	what := r.Subtype
	switch {
	case r.Subtype == protocol.ResultSuccess: // the CLI's way to report a failed API call
		what = "API error"
		text = strings.TrimPrefix(text, "API Error: ")
	case errors.Is(e, ErrInterrupted):
		return fmt.Sprintf("session %s: turn interrupted", e.Session)
	}
	if e.Auth {
		text += " (check api_key)"
	}
	return strings.TrimSuffix(fmt.Sprintf("session %s: %s: %s", e.Session, what, cut(text, 500)), ": ")
}

// Is makes errors.Is(err, ErrInterrupted) true for the result of an interrupted turn, and
// ErrBudgetExhausted for one that reached the budget, ErrAuth for refused credentials.
func (e *ResultError) Is(target error) bool {
	switch target {
	case ErrAuth:
		return e.Auth
	case ErrOverloaded:
		return e.Overloaded
	case ErrInterrupted:
		return strings.HasPrefix(e.Result.TerminalReason, "aborted_")
	case ErrBudgetExhausted:
		return e.Result.Subtype == protocol.ResultErrorMaxBudget
	}
	return false
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

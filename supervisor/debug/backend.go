package debug

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
)

// Backend is the runtime as the endpoint sees it. Its methods may be called from many goroutines.
type Backend interface {
	// Tree describes the whole tree. It does not wait for any session.
	Tree(ctx context.Context) (Node, error)
	// Stderr is the last lines of a session's CLI, oldest first.
	Stderr(ctx context.Context, name string) ([]string, error)
	// History is the recent past of a session.
	History(ctx context.Context, name string) (History, error)
	// Setup is how a session is set up.
	Setup(ctx context.Context, name string) (Setup, error)
	// Usage is what each of these processes uses, with its descendants. Those that are not known are left out.
	Usage(pids []int) map[int]Usage
	// Follow gives the moments of a session's life after number since, as far back as they are kept, and then each
	// as it comes, until ctx ends.
	Follow(ctx context.Context, name string, since uint64) iter.Seq2[Moment, error]
	// Watch gives every frame of a session's CLI from now on, in an object that says where it belongs, until ctx
	// ends.
	Watch(ctx context.Context, name string) iter.Seq2[json.RawMessage, error]
	// Audit gives the last n records, oldest first, each as it is in the log; follow goes on with new ones
	// until ctx ends.
	Audit(ctx context.Context, n int, follow bool) iter.Seq2[json.RawMessage, error]
	// Ready says why the runtime does not serve yet, or does not any more; nil when it does.
	Ready(ctx context.Context) error

	// Query sends a prompt and gives the frames of its turn, unchanged. A last error, if any, follows the
	// frames.
	Query(ctx context.Context, name, prompt string) iter.Seq2[json.RawMessage, error]
	// Spawn starts a session that is not there yet and waits until it is ready. pairs are options as
	// key=value.
	Spawn(ctx context.Context, name string, pairs []string) error
	// Restart ends a session's CLI and waits until the next one, with the same conversation, is ready.
	Restart(ctx context.Context, name string) error
	// Interrupt ends the running turn of a session.
	Interrupt(ctx context.Context, name string) error
	// Stop stops a session and waits until its processes are gone.
	Stop(ctx context.Context, name string) error

	// Acted records that somebody asked for something to be done, and how it went: spawn, query, restart,
	// interrupt, stop or remove, of the session target; allow approval or deny approval, of the approval target; or reload. It is called
	// when that is over, and once for each.
	Acted(ctx context.Context, principal, action, target string, err error)
}

// Code says what kind of error a Backend returned, for programs. It is in the answer's `code` field and
// decides its status, and the exit code of a command.
type Code string

// The codes of errors.
const (
	NoSuchSession Code = "no_such_session" // 404
	BadRequest    Code = "bad_request"     // 400
	Conflict      Code = "conflict"        // 409: it exists already, or is in the wrong state
	AtWork        Code = "at_work"         // 409: it was not taken away since it has something to do; force is what helps
	Busy          Code = "queue_full"      // 429
	Unavailable   Code = "unavailable"     // 503: the session is stopped or failed, or the runtime is stopping
	Crashed       Code = "crashed"         // 502: the CLI ended during the turn
	ErrorResult   Code = "error_result"    // the session answered with an error result, after its frames
	Internal      Code = "internal"        // 500
)

// Error is an error with a Code. A Backend returns it, wrapped or not; any other error is Internal.
type Error struct {
	Code    Code
	Message string
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// CodeOf is the code of an error.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}

// RemoveBackend is a Backend whose sessions can be removed.
type RemoveBackend interface {
	Backend
	// Remove ends a session and forgets it, and waits until its processes are gone. Without force one that has something to do is left as it
	// is, with AtWork. One of the configuration is Conflict. Of one that is not there it removes what is kept (see KeptBackend).
	Remove(ctx context.Context, name string, force bool) error
}

// KeptBackend is a Backend that knows sessions which are not there, and have left their state.
type KeptBackend interface {
	Backend
	// Kept are those, by name, in StateKept. What can be read is given beside an error.
	Kept(ctx context.Context) ([]Node, error)
}

// StateKept is the state of a session that is in no tree: what there is of it is its state on disk, which one of the same name goes on with.
const StateKept = "kept"

// ContentBackend is a Backend whose sessions take more than text.
type ContentBackend interface {
	Backend
	// QueryContent is Query with a list of content blocks as JSON, as the Messages API has them.
	QueryContent(ctx context.Context, name string, content json.RawMessage) iter.Seq2[json.RawMessage, error]
}

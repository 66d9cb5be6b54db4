package session

import (
	"context"
	"encoding/json"
	"iter"
	"slices"
	"time"
)

// MomentKind says what happened at a Moment.
type MomentKind string

// The kinds of moments.
const (
	ProcessStarted  MomentKind = "process_started"
	ProcessReady    MomentKind = "process_ready" // the handshake was answered
	ProcessEnded    MomentKind = "process_ended"
	TurnStarted     MomentKind = "turn_started"
	TurnEnded       MomentKind = "turn_ended"
	ToolStarted     MomentKind = "tool_started"
	ToolEnded       MomentKind = "tool_ended"
	PermissionAsked MomentKind = "permission_asked"
	PermissionGiven MomentKind = "permission_given"   // allowed by a person or a callback
	PermissionNone  MomentKind = "permission_refused" // denied, withdrawn or not answered in time
	APIRetried      MomentKind = "api_retry"
	UnknownFrame    MomentKind = "unknown_frame"
	StateChanged    MomentKind = "state"  // to restarting, stopped or failed
	StderrLine      MomentKind = "stderr" // the CLI wrote a line
	Noticed         MomentKind = "notice" // see NoticeKind, which is the Outcome
)

// Moment is something that happened in a session's life. It has none of what prompts, answers and tools say,
// but for the main argument of a tool and the lines of stderr.
type Moment struct {
	Session    string     `json:"session"`
	Seq        uint64     `json:"seq"` // 1, 2, … since this program made the session
	At         time.Time  `json:"at"`
	Kind       MomentKind `json:"type"`
	Generation int        `json:"generation"`
	Turn       int        `json:"turn,omitempty"` // number in the session's life; 0 outside of turns

	Tool      string `json:"tool,omitempty"`
	ToolUseID string `json:"tool_use_id,omitempty"`
	Parent    string `json:"parent_tool_use_id,omitempty"` // the Task that a subagent's tool belongs to
	Argument  string `json:"argument,omitempty"`           // the tool's main one, cut

	// Outcome is how it ended: a turn with the subtype of its result, "error" or "crashed"; a tool with ok, error,
	// denied or lost; a process with its exit; a permission with allow or deny; a state is its name.
	Outcome string `json:"outcome,omitempty"`
	// By is who answered a permission question: operator, callback, timeout, or withdrawn if nobody did.
	By      string        `json:"by,omitempty"`
	Detail  string        `json:"detail,omitempty"`
	Took    time.Duration `json:"-"` // of what has ended
	Seconds float64       `json:"duration_seconds,omitempty"`

	PID     int     `json:"pid,omitempty"`
	Model   string  `json:"model,omitempty"`
	CostUSD float64 `json:"cost_usd,omitempty"` // of the turn
	Own     bool    `json:"own,omitempty"`      // the CLI began the turn by itself
	Tokens  *Tokens `json:"tokens,omitempty"`   // of the turn

	// The following are there for Spec.OnMoment alone and not kept.

	// Label is Spec.Label, SessionID the conversation's id.
	Label     string `json:"-"`
	SessionID string `json:"-"`
	// Caller is the context of the query whose turn begins, for what it carries; nil otherwise.
	Caller context.Context `json:"-"`
	// ByModel is what each model used in the turn, for counting. Prompt is what the turn was asked, Input what a tool was.
	// Result is what the one or the other has answered.
	ByModel map[string]ModelTokens `json:"-"`
	Input   json.RawMessage        `json:"-"`
	Result  string                 `json:"-"`
	Prompt  string                 `json:"-"`
}

// Tokens counts tokens.
type Tokens struct {
	Input         int64 `json:"input"`
	Output        int64 `json:"output"`
	CacheRead     int64 `json:"cache_read"`
	CacheCreation int64 `json:"cache_creation"`
}

func (t Tokens) plus(u Tokens) Tokens {
	return Tokens{t.Input + u.Input, t.Output + u.Output, t.CacheRead + u.CacheRead, t.CacheCreation + u.CacheCreation}
}

// minus is what a count that only grows has grown by; one that has shrunk began anew.
func (t Tokens) minus(before Tokens) Tokens {
	grown := func(now, was int64) int64 {
		if now < was {
			return max(now, 0)
		}
		return now - was
	}
	return Tokens{
		grown(t.Input, before.Input), grown(t.Output, before.Output),
		grown(t.CacheRead, before.CacheRead), grown(t.CacheCreation, before.CacheCreation),
	}
}

// ModelTokens is what one model was used for.
type ModelTokens struct {
	Tokens
	CostUSD float64
}

// maxMoments is how many moments are kept for those who come late, and how many a follower may be behind.
const maxMoments = 64

// follower is somebody who is told of each moment.
type follower struct {
	moments chan Moment
	dropped chan struct{}
}

// tell gives a moment to whoever follows the session, and keeps it for a while.
func (d *desk) tell(m Moment) {
	d.mu.Lock()
	hook := d.onMoment
	m = d.take(m)
	d.mu.Unlock()
	if hook != nil {
		hook(m)
	}
}

// told is a change of state that the session's supervisor has decided.
func (d *desk) told(was State, reason error) {
	_, info := d.snapshot()
	if info.State == was {
		return
	}
	switch info.State {
	case Restarting, Failed, Stopped:
	case Starting, Idle, Busy, Draining, Hibernated, Held: // the process's own moments say so
		return
	}
	m := Moment{Kind: StateChanged, Outcome: string(info.State)}
	if reason != nil {
		m.Detail = cut(reason.Error(), 300)
	}
	d.tell(m)
}

// take numbers a moment, under the lock, and passes it on.
func (d *desk) take(m Moment) Moment {
	d.moments++
	m.Seq, m.Session, m.Label, m.SessionID = d.moments, d.info.Name, d.label, d.info.SessionID
	if m.At.IsZero() {
		m.At = time.Now()
	}
	if m.Generation == 0 {
		m.Generation = d.info.Generation
	}
	m.Seconds = m.Took.Seconds()
	kept := m
	kept.Label, kept.SessionID, kept.Caller, kept.ByModel, kept.Input, kept.Result, kept.Prompt = "", "", nil, nil, nil, "", ""
	d.history.note(kept)
	if len(d.recent) == maxMoments {
		d.recent = slices.Delete(d.recent, 0, 1)
	}
	d.recent = append(d.recent, kept)
	for f := range d.followers {
		select {
		case f.moments <- kept:
		default:
			delete(d.followers, f)
			close(f.dropped)
		}
	}
	return m
}

// Follow gives the moments of the session's life: those after number since that are still kept, of the last 64,
// and then each as it comes, over restarts. A reader who falls behind ends with ErrSlowConsumer, and can go on
// after the last number it has seen; it never holds the session up. The iteration ends with the context, without
// an error.
func (s *Session) Follow(ctx context.Context, since uint64) iter.Seq2[Moment, error] {
	return func(yield func(Moment, error) bool) {
		f := &follower{moments: make(chan Moment, 4*maxMoments), dropped: make(chan struct{})}
		d := s.desk
		d.mu.Lock()
		if since > d.moments { // a number of another program's
			since = 0
		}
		for _, m := range d.recent {
			if m.Seq > since {
				f.moments <- m // there is room for all of them
			}
		}
		d.followers[f] = struct{}{}
		d.mu.Unlock()
		defer func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			delete(d.followers, f)
		}()
		for {
			select {
			case m := <-f.moments:
				if !yield(m, nil) {
					return
				}
				continue
			default:
			}
			select {
			case m := <-f.moments:
				if !yield(m, nil) {
					return
				}
			case <-f.dropped:
				yield(Moment{}, ErrSlowConsumer)
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

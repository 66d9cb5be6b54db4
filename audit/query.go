package audit

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/understudy-run/understudy/audit/internal/format"
	"github.com/understudy-run/understudy/session/toolname"
)

// Log is a log that is read, in its directory. It needs no running program.
type Log struct{ Dir string }

// Filter says which records are asked for; the zero value means all. Fields that are set must all fit.
type Filter struct {
	// Sessions are names, of which one must fit; so with Kinds, Tools and Outcomes. A tool that the CLI has renamed, such as
	// Agent, which was Task, is found by each of its names.
	Sessions []string
	// Turn is the session's turn, ToolUse a tool use and those it is the parent of.
	Turn     int
	ToolUse  string
	Kinds    []Kind
	Tools    []string
	Outcomes []Outcome
	// Since is the first time that fits, Until the first that does not any more.
	Since, Until time.Time
	// Text is a part of the record's JSON, byte for byte.
	Text string
	// After leaves out records up to that number: with the Seq of the last record of one page, the next
	// page begins.
	After uint64
	// Before leaves out records from that number on; 0 leaves out none.
	Before uint64
	// Limit ends the reading after so many records; 0 means no limit.
	Limit int
}

// Match reports whether a record fits, but for Text, After, Before and Limit.
func (f *Filter) Match(r *Record) bool {
	switch {
	case len(f.Sessions) > 0 && !slices.Contains(f.Sessions, r.Session),
		len(f.Kinds) > 0 && !slices.Contains(f.Kinds, r.Kind),
		len(f.Tools) > 0 && !f.matchTool(r.Tool),
		len(f.Outcomes) > 0 && !slices.Contains(f.Outcomes, r.Outcome),
		f.Turn != 0 && f.Turn != r.Turn,
		f.ToolUse != "" && f.ToolUse != r.ToolUseID && f.ToolUse != r.ParentToolUseID,
		!f.Since.IsZero() && r.Time.Before(f.Since),
		!f.Until.IsZero() && !r.Time.Before(f.Until):
		return false
	}
	return true
}

func (f *Filter) matchTool(name string) bool {
	return slices.Contains(f.Tools, name) || toolname.Any(name, func(name string) bool { return slices.Contains(f.Tools, name) })
}

// Records gives the records that fit, oldest first, in constant memory. What is no record gives a
// *DamageError, and the iteration goes on; any other error is the last, that of ctx too. Of a log in use, see [Read].
func (l Log) Records(ctx context.Context, f Filter) iter.Seq2[Record, error] {
	sieve := newSieve(&f)
	return limited(ctx, f.Limit, look(ctx, l.Dir, f.After+1, func() looker[Record] {
		var d decoder
		return func(p *payload) (r Record, v verdict, err error) {
			if v = f.byHead(p, sieve); v != keep {
				return r, v, nil
			}
			if r, err = d.record(p.payload); err == nil && !f.Match(&r) {
				v = skip
			}
			return r, v, err
		}
	}))
}

// Lines gives the records that fit as Records does, each as one line of an encoding, without its end. source is that of
// [Encoding.Encode]. A line is valid until the next one is asked for. It is faster than to encode what Records gives, and in JSONL a
// record is what is in the log, with all that a later version may have put there.
func (l Log) Lines(ctx context.Context, f Filter, e Encoding, source string) iter.Seq2[[]byte, error] {
	sieve, whole := newSieve(&f), f.wantsMore()
	if _, err := newEncoder(e, source); err != nil {
		return func(yield func([]byte, error) bool) { yield(nil, err) }
	}
	return limited(ctx, f.Limit, look(ctx, l.Dir, f.After+1, func() looker[[]byte] {
		var d decoder
		encoder, _ := newEncoder(e, source) // seen to
		return func(p *payload) ([]byte, verdict, error) {
			v := f.byHead(p, sieve)
			if v != keep {
				return nil, v, nil
			}
			if whole {
				r, err := d.record(p.payload)
				if err != nil || !f.Match(&r) {
					return nil, skip, err
				}
			}
			begin := len(*p.out)
			out, err := encoder.payload(*p.out, p, &d)
			*p.out = out
			return out[begin:], keep, err
		}
	}))
}

// limited leaves out an end that is being written, or torn, and what is beyond a limit.
func limited[T any](ctx context.Context, limit int, all iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		given := 0
		for one, err := range all {
			if errors.Is(err, format.ErrShort) {
				continue
			}
			if !yield(one, err) {
				return
			}
			if given++; err == nil && limit > 0 && given >= limit {
				return
			}
		}
		if ctx.Err() != nil {
			var none T
			yield(none, context.Cause(ctx))
		}
	}
}

// byHead says what becomes of a record by its head and its bytes; if it is kept, Match may still say no.
func (f *Filter) byHead(p *payload, s *sieve) verdict {
	switch {
	case !p.ok:
		return keep // it is none
	case f.Before > 0 && p.head.Seq >= f.Before:
		return over
	case p.head.Seq <= f.After, !f.matchHead(p.head), !s.lets(p.payload):
		return skip
	default:
		return keep
	}
}

// wantsMore reports whether a filter is about more than the head and the bytes of a record.
func (f *Filter) wantsMore() bool {
	return len(f.Tools) > 0 || len(f.Outcomes) > 0 || f.Turn != 0 || f.ToolUse != "" || !f.Since.IsZero() || !f.Until.IsZero()
}

func (f *Filter) matchHead(h format.Head) bool {
	return (len(f.Sessions) == 0 || slices.Contains(f.Sessions, h.Session)) &&
		(len(f.Kinds) == 0 || slices.Contains(f.Kinds, Kind(h.Kind)))
}

// Verify is the function of that name.
func (l Log) Verify(ctx context.Context, o VerifyOptions) (*Report, error) {
	return Verify(ctx, l.Dir, o)
}

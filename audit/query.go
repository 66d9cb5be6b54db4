package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// Log is a log that is read, in its directory. It needs no running program.
type Log struct{ Dir string }

// Filter says which records are asked for; the zero value means all. Fields that are set must all fit.
type Filter struct {
	// Sessions are names, of which one must fit; so with Kinds, Tools and Outcomes.
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
		len(f.Tools) > 0 && !slices.Contains(f.Tools, r.Tool),
		len(f.Outcomes) > 0 && !slices.Contains(f.Outcomes, r.Outcome),
		f.Turn != 0 && f.Turn != r.Turn,
		f.ToolUse != "" && f.ToolUse != r.ToolUseID && f.ToolUse != r.ParentToolUseID,
		!f.Since.IsZero() && r.Time.Before(f.Since),
		!f.Until.IsZero() && !r.Time.Before(f.Until):
		return false
	}
	return true
}

// Records gives the records that fit, oldest first, in constant memory. What is no record gives a
// *DamageError, and the iteration goes on; any other error is the last, that of ctx too. Of a log in use, see [Read].
func (l Log) Records(ctx context.Context, f Filter) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		sieve := newSieve(&f)
		var head format.Head
		given := 0
		for p, err := range payloads(ctx, l.Dir, f.After+1) {
			var r Record
			if err == nil {
				var ok bool
				head, ok = format.ParseHead(p.payload, head)
				if ok && f.Before > 0 && head.Seq >= f.Before {
					return
				}
				if ok && (head.Seq <= f.After || !f.matchHead(head)) {
					continue
				}
				if ok && !sieve.lets(p.payload) {
					continue
				}
				if r, err = decode(p.payload); err != nil {
					err = &DamageError{File: p.path, Seq: p.seq, Offset: p.offset, Err: err}
				} else if !f.Match(&r) {
					continue
				}
			}
			if errors.Is(err, format.ErrShort) {
				continue // it is being written, or torn
			}
			if !yield(r, err) {
				return
			}
			if given++; err == nil && f.Limit > 0 && given >= f.Limit {
				return
			}
		}
		if ctx.Err() != nil {
			yield(Record{}, context.Cause(ctx))
		}
	}
}

func (f *Filter) matchHead(h format.Head) bool {
	return (len(f.Sessions) == 0 || slices.Contains(f.Sessions, h.Session)) &&
		(len(f.Kinds) == 0 || slices.Contains(f.Kinds, Kind(h.Kind)))
}

// Verify is the function of that name.
func (l Log) Verify(ctx context.Context, o VerifyOptions) (*Report, error) {
	return Verify(ctx, l.Dir, o)
}

// Encoding is a form of export.
type Encoding string

// The encodings. Each record is one line of JSON.
const (
	// JSONL is the record as it is in the log, byte for byte but for spaces.
	JSONL Encoding = "jsonl"
	// CloudEvents is CloudEvents 1.0 in JSON format, with the record as data.
	CloudEvents Encoding = "cloudevents"
	// OCSF is the class API Activity (6003) of OCSF 1.9 with the profile ai_operation. What OCSF has no
	// field for is in unmapped.
	OCSF Encoding = "ocsf"
	// OTLP is an OTLP/JSON logs request with one log record.
	OTLP Encoding = "otlp"
)

// Encodings are all of them.
var Encodings = []Encoding{JSONL, CloudEvents, OCSF, OTLP}

// EncodeBatch encodes records as one body for HTTP, and says of what type it is: JSON lines, a batch of CloudEvents, or one
// logs request of OTLP/JSON.
func (e Encoding) EncodeBatch(records []Record, source string) (contentType string, body []byte, err error) {
	if e == OTLP {
		body, err = json.Marshal(otlp(records, source))
		return "application/json", body, err
	}
	begin, between, end := "", "\n", "\n"
	contentType = "application/x-ndjson"
	if e == CloudEvents {
		begin, between, end, contentType = "[", ",", "]", "application/cloudevents-batch+json"
	}
	body = append(body, begin...)
	for i, r := range records {
		one, err := e.Encode(r, source)
		if err != nil {
			return "", nil, err
		}
		if i > 0 {
			body = append(body, between...)
		}
		body = append(body, one...)
	}
	return contentType, append(body, end...), nil
}

// Encode encodes a record. source names the log: its origin, or the runtime.
func (e Encoding) Encode(r Record, source string) ([]byte, error) {
	var v any
	switch e {
	case JSONL:
		v = r
	case CloudEvents:
		v = cloudEvent(r, source)
	case OCSF:
		v = ocsf(r, source)
	case OTLP:
		v = otlp([]Record{r}, source)
	default:
		return nil, fmt.Errorf("encoding %.40q: expected one of %v", string(e), Encodings)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("encode record %d as %s: %w", r.Seq, e, err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

package audit

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/understudy-run/understudy/audit/internal/format"
	"github.com/understudy-run/understudy/session/toolname"
)

// sieve leaves out most of the records that do not fit a filter by their bytes: to decode one takes twenty times as long as
// to read it. What it lets through may fit or not.
type sieve struct {
	parts        [][][]byte // of each, one must be in the record
	since, until []byte     // times that are earlier and later than the filter's
}

// secondsLength is how much of RFC 3339 in UTC says a time to the second. What follows has no fixed length.
const secondsLength = len("2006-01-02T15:04:05")

func newSieve(f *Filter) *sieve {
	s := &sieve{}
	one := func(parts ...[]byte) {
		if len(parts) > 0 {
			s.parts = append(s.parts, parts)
		}
	}
	if f.Text != "" {
		one([]byte(f.Text))
	}
	if f.ToolUse != "" { // as tool_use_id, or as parent_tool_use_id
		one(format.AppendString([]byte(`tool_use_id":`), f.ToolUse))
	}
	if f.Turn != 0 {
		one(strconv.AppendInt([]byte(`"turn":`), int64(f.Turn), 10))
	}
	var tools, outcomes [][]byte
	for _, tool := range toolname.Of(f.Tools) {
		tools = append(tools, format.AppendString([]byte(`"tool":`), tool))
	}
	for _, outcome := range f.Outcomes {
		outcomes = append(outcomes, format.AppendString([]byte(`"outcome":`), string(outcome)))
	}
	// That a field is not there is no part of the bytes.
	if !slices.Contains(f.Tools, "") {
		one(tools...)
	}
	if !slices.Contains(f.Outcomes, "") {
		one(outcomes...)
	}
	if !f.Since.IsZero() {
		s.since = f.Since.UTC().AppendFormat(nil, time.RFC3339)[:secondsLength]
	}
	if !f.Until.IsZero() {
		s.until = f.Until.UTC().AppendFormat(nil, time.RFC3339)[:secondsLength]
	}
	return s
}

func (s *sieve) lets(payload []byte) bool {
	for _, parts := range s.parts {
		if !slices.ContainsFunc(parts, func(part []byte) bool { return bytes.Contains(payload, part) }) {
			return false
		}
	}
	if s.since == nil && s.until == nil {
		return true
	}
	const name = `"time":"`
	// Before it there are texts only in which a quote would be escaped.
	at := bytes.Index(payload, []byte(name))
	if at < 0 || len(payload) < at+len(name)+secondsLength {
		return true
	}
	second := payload[at+len(name):][:secondsLength]
	return (s.since == nil || bytes.Compare(second, s.since) >= 0) && (s.until == nil || bytes.Compare(second, s.until) <= 0)
}

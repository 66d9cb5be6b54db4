package audit

import (
	"bytes"
	"encoding/json"
	"iter"
	"strconv"
	"time"
	"unicode/utf8"
)

// field is a field of a record, numbered in the order in which they are written.
type field int

const (
	fieldV field = iota
	fieldSeq
	fieldKind
	fieldSession
	fieldSessionSeq
	fieldLost
	fieldID
	fieldTime
	fieldMonoNS
	fieldRuntime
	fieldActor
	fieldSessionID
	fieldGeneration
	fieldTurn
	fieldToolUseID
	fieldParentToolUseID
	fieldAgentID
	fieldTool
	fieldOutcome
	fieldInput
	fieldOutput
	fieldIsError
	fieldDecision
	fieldExit
	fieldCostUSD
	fieldTotalCostUSD
	fieldPrincipal
	fieldPolicy
	fieldDetail
	fieldRedactions
	fieldCount
)

// fieldNames are their names with what encloses them.
var fieldNames = [fieldCount]string{
	`"v":`, `"seq":`, `"kind":`, `"session":`, `"session_seq":`, `"lost":`, `"id":`, `"time":`, `"mono_ns":`, `"runtime":`, `"actor":`,
	`"session_id":`, `"generation":`, `"turn":`, `"tool_use_id":`, `"parent_tool_use_id":`, `"agent_id":`, `"tool":`, `"outcome":`,
	`"input":`, `"output":`, `"is_error":`, `"decision":`, `"exit":`, `"cost_usd":`, `"total_cost_usd":`, `"principal":`, `"policy":`,
	`"detail":`, `"redactions":`,
}

// view is a record's fields where they are in its payload: most of those who go through a log want a few of them, or want them as they
// are. Of those that a record does not have it has nothing.
type view [fieldCount][]byte

// parse finds the fields of a payload as this package writes it: compact, with known fields in their order. It reports false for what is
// written otherwise, which may be a record all the same.
func (v *view) parse(payload []byte) bool { return v.parseTo(payload, fieldCount) }

// parseTo is parse for the fields up to one: it does not look at what follows.
func (v *view) parseTo(payload []byte, last field) bool {
	*v = view{}
	if len(payload) < 2 || payload[0] != '{' {
		return false
	}
	next := fieldV
	for i := 1; ; i++ {
		for ; ; next++ {
			if next == fieldCount {
				return false
			}
			if name := fieldNames[next]; len(payload)-i > len(name) && string(payload[i:i+len(name)]) == name {
				i += len(name)
				break
			}
		}
		if next > last {
			return true
		}
		end := compactEnd(payload, i)
		if end < 0 || end >= len(payload) {
			return false
		}
		v[next] = payload[i:end]
		next++
		switch i = end; payload[i] {
		case ',':
		case '}':
			return i == len(payload)-1
		default:
			return false
		}
	}
}

// fill is parse for a record however it is written: a marshalled one that is nested too deep, or one of a later version with further
// fields.
func (v *view) fill(payload []byte) error {
	if v.parse(payload) {
		return nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(payload, &all); err != nil {
		return err
	}
	for f, name := range fieldNames {
		v[f] = nil
		if raw, ok := all[name[1:len(name)-2]]; ok {
			var compact bytes.Buffer
			if err := json.Compact(&compact, raw); err != nil {
				return err
			}
			v[f] = compact.Bytes()
		}
	}
	return nil
}

// typed reports that each field of the view is of its type: whether the payload is a record, without making one.
func (v *view) typed(d *decoder) bool {
	ok := true
	for i, raw := range v {
		if raw == nil {
			continue
		}
		switch field(i) {
		case fieldV, fieldMonoNS, fieldGeneration, fieldTurn:
			_, err := strconv.ParseInt(string(raw), 10, 64)
			ok = err == nil
		case fieldSeq, fieldSessionSeq, fieldLost:
			_, err := strconv.ParseUint(string(raw), 10, 64)
			ok = err == nil
		case fieldCostUSD, fieldTotalCostUSD:
			number(raw, &ok)
		case fieldIsError:
			boolean(raw, &ok)
		case fieldTime:
			var at time.Time
			plain, isText := plainString(raw)
			ok = isText && at.UnmarshalText(plain) == nil
		case fieldDecision:
			d.decision(raw, &ok)
		case fieldDetail:
			ok = raw[0] == '{'
			for name := range members(raw) { // one that is spelled oddly may be any
				ok = ok && bytes.IndexByte(name, '\\') < 0
			}
		case fieldExit:
			d.exit(raw, &ok)
		case fieldRedactions:
			var all []Redaction
			ok = json.Unmarshal(raw, &all) == nil
		case fieldInput, fieldOutput:
		default:
			ok = raw[0] == '"'
		}
		if !ok {
			return false
		}
	}
	return len(v[fieldID]) > 2 && len(v[fieldKind]) > 2 && some(v[fieldV]) && some(v[fieldSeq])
}

// members are the names, without quotes and as they are spelled, and values of a compact JSON object that is valid.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for i := 1; i < len(object) && object[i] == '"'; i++ {
			begin := keyEnd(object, i)
			end := compactEnd(object, begin)
			if !yield(object[i+1:begin-2], object[begin:end]) {
				return
			}
			i = end // a comma, or the end
		}
	}
}

// elements are the values of a compact JSON array that is valid.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func(value []byte) bool) {
		for i := 1; i < len(array) && array[i] != ']'; i++ {
			end := compactEnd(array, i)
			if !yield(array[i:end]) {
				return
			}
			i = end
		}
	}
}

// plainString is what a JSON string says that has no escapes; it reports false if it has some, or is none.
func plainString(raw []byte) ([]byte, bool) {
	if len(raw) < 2 || raw[0] != '"' || bytes.IndexByte(raw, '\\') >= 0 {
		return nil, false
	}
	return raw[1 : len(raw)-1], true
}

// stringOf is what a JSON string says that is valid; nothing if there is none.
func stringOf(raw []byte) string {
	if raw == nil {
		return ""
	}
	if text, ok := plainString(raw); ok && utf8.Valid(text) {
		return string(text)
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return "" // it is none
	}
	return s
}

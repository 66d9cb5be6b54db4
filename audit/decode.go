package audit

import (
	"encoding/json"
	"errors"
	"strconv"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// decode reads a payload.
func decode(payload []byte) (Record, error) {
	var d decoder
	return d.record(payload)
}

// decoder reads the records of a log one after the other. What encoding/json takes most of its time for is to find out where values end
// and which field each is of; here that is known. It is not in use by two at a time.
type decoder struct {
	view view
	// this is the record that is read, and last the one before: what is the same in both is not copied again.
	this, last *Record
	decided    Decision          // the last one: that of last is its reader's
	names      map[string]string // keys of details
}

// record reads one.
func (d *decoder) record(payload []byte) (Record, error) {
	if d.this == nil {
		d.this, d.last = &Record{}, &Record{}
	}
	head, ok := format.ParseHead(payload, format.Head{Kind: string(d.last.Kind), Session: d.last.Session})
	if !ok {
		return Record{}, errors.New("no audit record: it does not begin as one")
	}
	if head.V > Version { // a later schema may have other types under the same names
		return Record{}, &versionError{head.V}
	}
	r := d.this
	if !d.quick(payload) {
		*r = Record{}
		if err := json.Unmarshal(payload, r); err != nil {
			return Record{}, err
		}
	}
	if r.V < 1 || r.Seq == 0 || r.ID == "" || r.Kind == "" {
		return Record{}, errors.New("no audit record: v, seq, id or kind is missing")
	}
	d.this, d.last = d.last, d.this
	return *d.last, nil
}

// quick reads a payload as this package writes it, into this. For any other it reports false: encoding/json says what it is.
func (d *decoder) quick(payload []byte) bool {
	v, r, last := &d.view, d.this, d.last
	if !v.parse(payload) {
		return false
	}
	*r = Record{}
	ok := true
	v.integer(fieldV, &r.V, &ok)
	v.count(fieldSeq, &r.Seq, &ok)
	text(v[fieldKind], &r.Kind, last.Kind, &ok)
	text(v[fieldSession], &r.Session, last.Session, &ok)
	v.count(fieldSessionSeq, &r.SessionSeq, &ok)
	v.count(fieldLost, &r.Lost, &ok)
	text(v[fieldID], &r.ID, "", &ok)
	if raw := v[fieldTime]; raw != nil {
		plain, isText := plainString(raw)
		ok = ok && isText && r.Time.UnmarshalText(plain) == nil
	}
	if raw := v[fieldMonoNS]; raw != nil {
		var err error
		r.MonoNS, err = strconv.ParseInt(string(raw), 10, 64)
		ok = ok && err == nil
	}
	text(v[fieldRuntime], &r.Runtime, last.Runtime, &ok)
	text(v[fieldActor], &r.Actor, last.Actor, &ok)
	text(v[fieldSessionID], &r.SessionID, last.SessionID, &ok)
	v.integer(fieldGeneration, &r.Generation, &ok)
	v.integer(fieldTurn, &r.Turn, &ok)
	text(v[fieldToolUseID], &r.ToolUseID, last.ToolUseID, &ok)
	text(v[fieldParentToolUseID], &r.ParentToolUseID, last.ParentToolUseID, &ok)
	text(v[fieldAgentID], &r.AgentID, last.AgentID, &ok)
	text(v[fieldTool], &r.Tool, last.Tool, &ok)
	text(v[fieldOutcome], &r.Outcome, last.Outcome, &ok)
	r.Input, r.Output = clone(v[fieldInput]), clone(v[fieldOutput])
	if raw := v[fieldIsError]; raw != nil {
		r.IsError = new(boolean(raw, &ok))
	}
	if raw := v[fieldDecision]; raw != nil {
		r.Decision = d.decision(raw, &ok)
	}
	if raw := v[fieldExit]; raw != nil {
		r.Exit = d.exit(raw, &ok)
	}
	v.amount(fieldCostUSD, &r.CostUSD, &ok)
	v.amount(fieldTotalCostUSD, &r.TotalCostUSD, &ok)
	text(v[fieldPrincipal], &r.Principal, last.Principal, &ok)
	text(v[fieldPolicy], &r.Policy, last.Policy, &ok)
	if raw := v[fieldDetail]; raw != nil {
		ok = ok && raw[0] == '{'
		if ok {
			r.Detail = d.object(raw, &ok)
		}
	}
	if raw := v[fieldRedactions]; raw != nil {
		ok = ok && json.Unmarshal(raw, &r.Redactions) == nil
	}
	return ok
}

func clone(raw []byte) json.RawMessage {
	if raw == nil {
		return nil
	}
	return append(make(json.RawMessage, 0, len(raw)), raw...)
}

// text reads a string, unless there is none. One that is the same as last is that.
func text[T ~string](raw []byte, into *T, last T, ok *bool) {
	if raw == nil || !*ok {
		return
	}
	plain, isPlain := plainString(raw)
	switch {
	case isPlain && string(plain) == string(last):
		*into = last
	case raw[0] == '"':
		*into = T(stringOf(raw))
	default:
		*ok = false
	}
}

func (v *view) count(f field, into *uint64, ok *bool) {
	if raw := v[f]; raw != nil {
		n, err := strconv.ParseUint(string(raw), 10, 64)
		*into, *ok = n, *ok && err == nil
	}
}

func (v *view) integer(f field, into *int, ok *bool) {
	if raw := v[f]; raw != nil {
		n, err := strconv.Atoi(string(raw))
		*into, *ok = n, *ok && err == nil
	}
}

func (v *view) amount(f field, into *float64, ok *bool) {
	if raw := v[f]; raw != nil {
		*into = number(raw, ok)
	}
}

// number reads a JSON number.
func number(raw []byte, ok *bool) float64 {
	if c := raw[0]; c != '-' && (c < '0' || c > '9') {
		*ok = false
		return 0
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	*ok = *ok && err == nil
	return f
}

func boolean(raw []byte, ok *bool) bool {
	*ok = *ok && (raw[0] == 't' || raw[0] == 'f')
	return raw[0] == 't'
}

// decision reads one. A name that is not known, or is there twice, is left to encoding/json.
func (d *decoder) decision(raw []byte, ok *bool) *Decision {
	out, last := &Decision{}, &d.decided
	if *ok = *ok && raw[0] == '{'; !*ok {
		return nil
	}
	var seen [5]bool
	once := func(i int) {
		*ok = *ok && !seen[i]
		seen[i] = true
	}
	for name, value := range members(raw) {
		switch string(name) {
		case "outcome":
			once(0)
			text(value, &out.Outcome, last.Outcome, ok)
		case "by":
			once(1)
			text(value, &out.By, last.By, ok)
		case "rule":
			once(2)
			text(value, &out.Rule, last.Rule, ok)
		case "rules":
			once(3)
			if *ok = *ok && value[0] == '['; *ok {
				out.Rules = []string{}
				for one := range elements(value) {
					var rule string
					text(one, &rule, "", ok)
					out.Rules = append(out.Rules, rule)
				}
			}
		case "reason":
			once(4)
			text(value, &out.Reason, last.Reason, ok)
		default:
			*ok = false
		}
	}
	d.decided = *out
	d.decided.Rules = nil
	return out
}

// exit reads one, as decision does.
func (d *decoder) exit(raw []byte, ok *bool) *Exit {
	out := &Exit{}
	if *ok = *ok && raw[0] == '{'; !*ok {
		return nil
	}
	var seen [3]bool
	once := func(i int) {
		*ok = *ok && !seen[i]
		seen[i] = true
	}
	for name, value := range members(raw) {
		switch string(name) {
		case "reason":
			once(0)
			text(value, &out.Reason, "", ok)
		case "code":
			once(1)
			var err error
			out.Code, err = strconv.Atoi(string(value))
			*ok = *ok && err == nil
		case "signal":
			once(2)
			text(value, &out.Signal, "", ok)
		default:
			*ok = false
		}
	}
	return out
}

// object reads a JSON object.
func (d *decoder) object(raw []byte, ok *bool) map[string]any {
	out := make(map[string]any)
	for name, value := range members(raw) {
		out[d.name(name)] = d.value(value, ok)
	}
	return out
}

// mostNames bounds the keys that are remembered.
const mostNames = 256

// name is a key, which most records have had before.
func (d *decoder) name(spelled []byte) string {
	if known, ok := d.names[string(spelled)]; ok {
		return known
	}
	name := stringOf(append(append([]byte{'"'}, spelled...), '"'))
	if d.names == nil {
		d.names = make(map[string]string)
	}
	if len(d.names) < mostNames {
		d.names[string(spelled)] = name
	}
	return name
}

// value reads any JSON.
func (d *decoder) value(raw []byte, ok *bool) any {
	switch raw[0] {
	case '{':
		return d.object(raw, ok)
	case '[':
		out := []any{}
		for one := range elements(raw) {
			out = append(out, d.value(one, ok))
		}
		return out
	case '"':
		var s string
		text(raw, &s, "", ok)
		return s
	case 't', 'f':
		return boolean(raw, ok)
	case 'n':
		return nil
	default:
		return number(raw, ok)
	}
}

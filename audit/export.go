package audit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/understudy-run/understudy/audit/internal/format"
)

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
	begin, between, end := "", "\n", "\n"
	contentType = "application/x-ndjson"
	switch e {
	case CloudEvents:
		begin, between, end, contentType = "[", ",", "]", "application/cloudevents-batch+json"
	case OTLP:
		begin, between, end, contentType = "", ",", otlpEnd, "application/json"
	default: // lines
	}
	encoder, err := newEncoder(e, source)
	if err != nil {
		return "", nil, err
	}
	body = append(body, begin...)
	if e == OTLP {
		instance := encoder.source
		for _, r := range records {
			if r.Runtime != "" {
				instance = format.AppendString(nil, r.Runtime)
			}
		}
		body = appendOTLPBegin(body, instance)
	}
	for i, r := range records {
		if i > 0 {
			body = append(body, between...)
		}
		line, err := marshal(r)
		if err != nil {
			return "", nil, fmt.Errorf("encode record %d as %s: %w", r.Seq, e, err)
		}
		if body, err = encoder.marshalled(body, line, e == OTLP); err != nil {
			return "", nil, fmt.Errorf("encode record %d as %s: %w", r.Seq, e, err)
		}
	}
	return contentType, append(body, end...), nil
}

// Encode encodes a record. source names the log: its origin, or the runtime.
func (e Encoding) Encode(r Record, source string) ([]byte, error) {
	encoder, err := newEncoder(e, source)
	if err != nil {
		return nil, err
	}
	line, err := marshal(r)
	if err == nil {
		line, err = encoder.marshalled(nil, line, false)
	}
	if err != nil {
		return nil, fmt.Errorf("encode record %d as %s: %w", r.Seq, e, err)
	}
	return line, nil
}

// marshal is a record as it would be in a log.
func marshal(r Record) ([]byte, error) {
	r.Time = r.Time.UTC()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// encoder makes lines of records, out of their fields as they are in the log. It is not in use by two at a time.
type encoder struct {
	encoding Encoding
	source   []byte // a JSON string
	view     view
}

func newEncoder(e Encoding, source string) (*encoder, error) {
	if !slices.Contains(Encodings, e) {
		return nil, fmt.Errorf("encoding %.40q: expected one of %v", string(e), Encodings)
	}
	return &encoder{encoding: e, source: format.AppendString(nil, cmp.Or(source, "understudy"))}, nil
}

// payload appends the line of a record of the log.
func (e *encoder) payload(out []byte, p *payload, d *decoder) ([]byte, error) {
	line := p.payload
	if v := &e.view; !p.ok || p.head.V != Version || !v.parse(line) || !v.typed(d) {
		if _, err := d.record(line); err != nil {
			return out, err
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, line); err != nil {
			return out, err
		}
		line = compact.Bytes()
		if err := v.fill(line); err != nil {
			return out, err
		}
	}
	return e.viewed(out, line, false)
}

// marshalled appends the line of a record, or only what is between the beginning and the end of a request of OTLP.
func (e *encoder) marshalled(out, line []byte, part bool) ([]byte, error) {
	if err := e.view.fill(line); err != nil {
		return out, err
	}
	return e.viewed(out, line, part)
}

// viewed is marshalled, when the fields are in view.
func (e *encoder) viewed(out, line []byte, part bool) ([]byte, error) {
	v := &e.view
	if e.encoding == JSONL {
		return append(out, line...), nil
	}
	var at time.Time
	if text, ok := plainString(v[fieldTime]); !ok || at.UnmarshalText(text) != nil {
		return out, errors.New("its time is none")
	}
	switch e.encoding {
	case CloudEvents:
		return e.cloudEvent(out, line), nil
	case OCSF:
		return e.ocsf(out, line, at), nil
	default:
		if !part {
			instance := e.source
			if some(v[fieldRuntime]) {
				instance = v[fieldRuntime]
			}
			out = appendOTLPBegin(out, instance)
		}
		if out = e.otlpRecord(out, at); !part {
			out = append(out, otlpEnd...)
		}
		return out, nil
	}
}

// some reports whether a JSON value is there, and is no empty string and not 0.
func some(raw []byte) bool { return raw != nil && string(raw) != `""` && string(raw) != "0" }

// inside is a JSON string without its quotes.
func inside(raw []byte) []byte {
	if len(raw) < 2 {
		return nil
	}
	return raw[1 : len(raw)-1]
}

// or is the first JSON string that is not empty.
func or(all ...[]byte) []byte {
	for _, raw := range all {
		if some(raw) {
			return raw
		}
	}
	return []byte(`""`)
}

// cloudEvent is a record as a CloudEvent 1.0.
func (e *encoder) cloudEvent(out, line []byte) []byte {
	v := &e.view
	out = append(append(out, `{"specversion":"1.0","id":`...), or(v[fieldID])...)
	out = append(append(out, `,"source":`...), e.source...)
	out = append(append(out, `,"type":"run.understudy.audit.`...), inside(v[fieldKind])...)
	if some(v[fieldSession]) {
		out = append(append(out, `","subject":`...), v[fieldSession]...)
		out = append(out, `,"time":`...)
	} else {
		out = append(out, `","time":`...)
	}
	out = append(out, v[fieldTime]...)
	// The sequence extension orders the events of one source.
	out = append(append(out, `,"sequence":"`...), v[fieldSeq]...)
	out = append(append(out, `","datacontenttype":"application/json","data":`...), line...)
	return append(out, '}')
}

// ocsf is a record as OCSF's API Activity: class 6003 of category 6.
func (e *encoder) ocsf(out, line []byte, at time.Time) []byte {
	v := &e.view
	kind := Kind(inside(v[fieldKind]))
	activity, name := "99", string(kind) // the caption of "other" is the source's
	switch kind {
	case ToolIntent, TurnStarted, SessionStarted:
		activity, name = "1", "Create"
	case ToolResult, TurnResult:
		activity, name = "2", "Read"
	default: // other
	}
	outcome := outcomeOf(v[fieldOutcome])
	status, severity := `"status_id":0,"status":"Unknown"`, `"severity_id":1,"severity":"Informational"`
	switch outcome {
	case OK, Allow:
		status = `"status_id":1,"status":"Success"`
	case Deny, Failed, Timeout, Killed:
		status, severity = `"status_id":2,"status":"Failure"`, `"severity_id":2,"severity":"Low"`
	default: // unknown
	}
	if kind == LogGap || kind == LogRecovered || kind == LogFull {
		severity = `"severity_id":4,"severity":"High"`
	}
	out = append(out, `{"class_uid":6003,"class_name":"API Activity","category_uid":6,"category_name":"Application Activity","activity_id":`...)
	out = append(append(append(append(out, activity...), `,"activity_name":"`...), name...), `","type_uid":6003`...)
	if len(activity) == 1 {
		out = append(out, '0')
	}
	out = append(append(append(append(out, activity...), `,"type_name":"API Activity: `...), name...), `","time":`...)
	out = append(strconv.AppendInt(out, at.UnixMilli(), 10), ',')
	out = append(append(append(out, severity...), ','), status...)
	if outcome != "" {
		out = append(append(out, `,"status_code":`...), v[fieldOutcome]...)
	}
	if detail := or(e.decision("reason"), e.decision("by")); some(detail) {
		out = append(append(out, `,"status_detail":`...), detail...)
	}
	out = append(append(out, `,"metadata":{"version":"1.9.0","uid":`...), or(v[fieldID])...)
	out = append(append(out, `,"event_code":`...), or(v[fieldKind])...)
	out = append(append(out, `,"sequence":`...), v[fieldSeq]...)
	out = append(append(out, `,"profiles":["ai_operation"],"product":{"name":"understudy","vendor_name":"understudy"},"log_name":`...), e.source...)
	out = append(append(out, `},"actor":{"user":{"name":`...), or(v[fieldPrincipal], []byte(`"understudy"`))...)
	out = append(append(out, `},"app_name":"understudy"},"api":{"operation":`...), or(v[fieldTool], v[fieldKind])...)
	out = append(append(out, `,"request":{"uid":`...), or(v[fieldToolUseID], v[fieldID])...)
	// The source of a tool call is the runtime itself.
	out = append(append(out, `}},"src_endpoint":{"name":`...), or(v[fieldRuntime], e.source)...)
	if some(v[fieldSession]) {
		out = append(append(out, `},"ai_agent":{"name":`...), v[fieldSession]...)
		out = append(append(out, `,"uid":`...), v[fieldSession]...)
		if some(v[fieldSessionID]) {
			out = append(append(out, `,"instance_uid":`...), v[fieldSessionID]...)
		}
	}
	out = append(append(out, `},"unmapped":`...), line...)
	return append(out, '}')
}

// decision is a part of the record's decision, nil if it has none.
func (e *encoder) decision(part string) (found []byte) {
	for name, value := range members(e.view[fieldDecision]) {
		if string(name) == part {
			found = value
		}
	}
	return found
}

// otlpEnd ends a logs request of OTLP/JSON.
const otlpEnd = `]}]}]}`

// appendOTLPBegin begins one, whose resource is the instance.
func appendOTLPBegin(out, instance []byte) []byte {
	out = append(out, `{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"understudy"}},`+
		`{"key":"service.instance.id","value":{"stringValue":`...)
	return append(append(out, instance...), `}}]},"scopeLogs":[{"scope":{"name":"understudy/audit"},"logRecords":[`...)
}

// otlpAttributes are fields that are attributes as they are; the names of the gen_ai conventions are still in development.
var otlpAttributes = []struct {
	field field
	key   string
	value string // stringValue, intValue, which is a string in JSON, or doubleValue
}{
	{fieldID, "event.id", "stringValue"},
	{fieldSession, "gen_ai.agent.name", "stringValue"},
	{fieldSessionID, "gen_ai.conversation.id", "stringValue"},
	{fieldTool, "gen_ai.tool.name", "stringValue"},
	{fieldToolUseID, "gen_ai.tool.call.id", "stringValue"},
	{fieldSeq, "understudy.seq", "intValue"},
	{fieldSessionSeq, "understudy.session_seq", "intValue"},
	{fieldGeneration, "understudy.generation", "intValue"},
	{fieldTurn, "understudy.turn", "intValue"},
	{fieldLost, "understudy.lost", "intValue"},
	{fieldActor, "understudy.actor", "stringValue"},
	{fieldParentToolUseID, "understudy.parent_tool_use_id", "stringValue"},
	{fieldAgentID, "understudy.agent_id", "stringValue"},
	{fieldOutcome, "understudy.outcome", "stringValue"},
	{fieldPrincipal, "understudy.principal", "stringValue"},
	{fieldPolicy, "understudy.policy", "stringValue"},
	{fieldCostUSD, "understudy.cost_usd", "doubleValue"},
	{fieldTotalCostUSD, "understudy.total_cost_usd", "doubleValue"},
}

// otlpRecord is a record as a log record of OTLP/JSON.
func (e *encoder) otlpRecord(out []byte, at time.Time) []byte {
	v := &e.view
	severity := `9,"severityText":"INFO"`
	switch outcomeOf(v[fieldOutcome]) {
	case Deny, Timeout, Killed:
		severity = `13,"severityText":"WARN"`
	case Failed:
		severity = `17,"severityText":"ERROR"`
	default: // as it is
	}
	out = strconv.AppendInt(append(out, `{"timeUnixNano":"`...), at.UnixNano(), 10)
	out = strconv.AppendInt(append(out, `","observedTimeUnixNano":"`...), at.UnixNano(), 10)
	out = append(append(out, `","severityNumber":`...), severity...)
	out = append(append(out, `,"eventName":`...), v[fieldKind]...)
	out = append(append(out, `,"body":{"stringValue":`...), v[fieldKind]...)
	out = append(out, `},"attributes":[{"key":"gen_ai.provider.name","value":{"stringValue":"anthropic"}}`...)
	text := func(key string, raw []byte) {
		if some(raw) {
			out = append(append(append(append(out, `,{"key":"`...), key...), `","value":{"stringValue":`...), raw...)
			out = append(out, "}}"...)
		}
	}
	for _, a := range otlpAttributes {
		raw := v[a.field]
		if !some(raw) {
			continue
		}
		out = append(append(append(append(out, `,{"key":"`...), a.key...), `","value":{"`...), a.value...)
		if out = append(out, `":`...); a.value == "intValue" {
			out = append(append(append(out, '"'), raw...), '"')
		} else {
			out = append(out, raw...)
		}
		out = append(out, "}}"...)
	}
	document := func(key string, raw []byte) {
		if raw != nil {
			out = append(append(append(out, `,{"key":"`...), key...), `","value":{"stringValue":`...)
			out = append(format.AppendString(out, raw), "}}"...)
		}
	}
	document("gen_ai.tool.call.arguments", v[fieldInput])
	document("gen_ai.tool.call.result", v[fieldOutput])
	document("understudy.detail", v[fieldDetail])
	if v[fieldDecision] != nil {
		text("understudy.decision", e.decision("outcome"))
		text("understudy.decision.by", e.decision("by"))
		rule := e.decision("rule")
		if !some(rule) {
			var rules []string
			for one := range elements(e.decision("rules")) {
				rules = append(rules, stringOf(one))
			}
			rule = format.AppendString(nil, strings.Join(rules, ", "))
		}
		text("understudy.decision.rule", rule)
		text("understudy.decision.reason", e.decision("reason"))
	}
	for name, value := range members(v[fieldExit]) {
		if string(name) == "reason" {
			text("understudy.exit", value)
		}
	}
	return append(out, "]}"...)
}

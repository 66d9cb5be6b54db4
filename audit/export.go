package audit

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// cloudEvent is a record as a CloudEvent 1.0.
func cloudEvent(r Record, source string) map[string]any {
	event := map[string]any{
		"specversion": "1.0", "id": r.ID, "source": source, "type": "run.understudy.audit." + string(r.Kind),
		"time": r.Time.UTC().Format(time.RFC3339Nano), "datacontenttype": "application/json", "data": r,
		// The sequence extension orders the events of one source.
		"sequence": strconv.FormatUint(r.Seq, 10),
	}
	if r.Session != "" {
		event["subject"] = r.Session
	}
	return event
}

// OCSF's numbers for API Activity.
const (
	ocsfClass    = 6003
	ocsfCategory = 6
	ocsfCreate   = 1
	ocsfRead     = 2
	ocsfOther    = 99
)

// ocsf is a record as API Activity.
func ocsf(r Record, source string) map[string]any {
	activity, name := ocsfOther, string(r.Kind) // the caption of "other" is the source's
	switch r.Kind {
	case ToolIntent, TurnStarted, SessionStarted:
		activity, name = ocsfCreate, "Create"
	case ToolResult, TurnResult:
		activity, name = ocsfRead, "Read"
	default: // other
	}
	statusID, status, severityID, severity := 0, "Unknown", 1, "Informational"
	switch r.Outcome {
	case OK, Allow:
		statusID, status = 1, "Success"
	case Deny, Failed, Timeout, Killed:
		statusID, status, severityID, severity = 2, "Failure", 2, "Low"
	default: // unknown
	}
	if r.Kind == LogGap || r.Kind == LogRecovered || r.Kind == LogFull {
		severityID, severity = 4, "High"
	}
	event := map[string]any{
		"class_uid": ocsfClass, "class_name": "API Activity", "category_uid": ocsfCategory, "category_name": "Application Activity",
		"activity_id": activity, "activity_name": name, "type_uid": ocsfClass*100 + activity, "type_name": "API Activity: " + name,
		"time": r.Time.UnixMilli(), "severity_id": severityID, "severity": severity, "status_id": statusID, "status": status,
		"metadata": map[string]any{
			"version": "1.9.0", "uid": r.ID, "event_code": string(r.Kind), "sequence": r.Seq, "profiles": []string{"ai_operation"},
			"product": map[string]any{"name": "understudy", "vendor_name": "understudy"}, "log_name": source,
		},
		"actor": map[string]any{"user": map[string]any{"name": cmp.Or(r.Principal, "understudy")}, "app_name": "understudy"},
		"api":   map[string]any{"operation": cmp.Or(r.Tool, string(r.Kind)), "request": map[string]any{"uid": cmp.Or(r.ToolUseID, r.ID)}},
		// The source of a tool call is the runtime itself.
		"src_endpoint": map[string]any{"name": cmp.Or(r.Runtime, source)},
		"unmapped":     r,
	}
	if r.Outcome != "" {
		event["status_code"] = string(r.Outcome)
	}
	if r.Session != "" {
		event["ai_agent"] = map[string]any{"name": r.Session, "uid": r.Session, "instance_uid": r.SessionID}
	}
	if r.Decision != nil {
		event["status_detail"] = cmp.Or(r.Decision.Reason, r.Decision.By)
	}
	return event
}

// otlp is a logs request of OTLP/JSON. The names of the gen_ai conventions are still in development.
func otlp(records []Record, source string) map[string]any {
	logs := make([]otlpValue, 0, len(records))
	instance := source
	for _, r := range records {
		logs = append(logs, otlpRecord(r))
		instance = cmp.Or(r.Runtime, instance)
	}
	return map[string]any{"resourceLogs": []otlpValue{{
		"resource": otlpValue{"attributes": []otlpValue{
			{"key": "service.name", "value": otlpValue{"stringValue": "understudy"}},
			{"key": "service.instance.id", "value": otlpValue{"stringValue": instance}},
		}},
		"scopeLogs": []otlpValue{{"scope": otlpValue{"name": "understudy/audit"}, "logRecords": logs}},
	}}}
}

type otlpValue map[string]any

func otlpRecord(r Record) otlpValue {
	var attributes []otlpValue
	text := func(key, s string) {
		if s != "" {
			attributes = append(attributes, otlpValue{"key": key, "value": otlpValue{"stringValue": s}})
		}
	}
	number := func(key string, n int64) {
		if n != 0 {
			attributes = append(attributes, otlpValue{"key": key, "value": otlpValue{"intValue": strconv.FormatInt(n, 10)}})
		}
	}
	double := func(key string, f float64) {
		if f != 0 {
			attributes = append(attributes, otlpValue{"key": key, "value": otlpValue{"doubleValue": f}})
		}
	}
	text("event.id", r.ID)
	text("gen_ai.provider.name", "anthropic")
	text("gen_ai.agent.name", r.Session)
	text("gen_ai.conversation.id", r.SessionID)
	text("gen_ai.tool.name", r.Tool)
	text("gen_ai.tool.call.id", r.ToolUseID)
	text("gen_ai.tool.call.arguments", string(r.Input))
	text("gen_ai.tool.call.result", string(r.Output))
	number("understudy.seq", int64(r.Seq))
	number("understudy.session_seq", int64(r.SessionSeq))
	number("understudy.generation", int64(r.Generation))
	number("understudy.turn", int64(r.Turn))
	number("understudy.lost", int64(r.Lost))
	text("understudy.actor", r.Actor)
	text("understudy.parent_tool_use_id", r.ParentToolUseID)
	text("understudy.agent_id", r.AgentID)
	text("understudy.outcome", string(r.Outcome))
	text("understudy.principal", r.Principal)
	text("understudy.policy", r.Policy)
	double("understudy.cost_usd", r.CostUSD)
	double("understudy.total_cost_usd", r.TotalCostUSD)
	if d := r.Decision; d != nil {
		text("understudy.decision", string(d.Outcome))
		text("understudy.decision.by", d.By)
		text("understudy.decision.rule", cmp.Or(d.Rule, strings.Join(d.Rules, ", ")))
		text("understudy.decision.reason", d.Reason)
	}
	if e := r.Exit; e != nil {
		text("understudy.exit", e.Reason)
	}
	if len(r.Detail) > 0 {
		detail, err := json.Marshal(r.Detail)
		if err == nil { // it came from JSON, or was checked to go into it
			text("understudy.detail", string(detail))
		}
	}
	severity, name := 9, "INFO"
	switch r.Outcome {
	case Deny, Timeout, Killed:
		severity, name = 13, "WARN"
	case Failed:
		severity, name = 17, "ERROR"
	default: // as it is
	}
	nanos := strconv.FormatInt(r.Time.UnixNano(), 10)
	return otlpValue{
		"timeUnixNano": nanos, "observedTimeUnixNano": nanos, "severityNumber": severity, "severityText": name,
		"eventName": string(r.Kind), "body": otlpValue{"stringValue": string(r.Kind)}, "attributes": attributes,
	}
}

package audit

import (
	"encoding/json"
	"time"
)

// Version is the value of Record.V that this package writes. It reads no later one.
const Version = 1

// Kind says what a record is about.
type Kind string

// The kinds of records. Those that begin with "log." are written by the log itself and refused from others.
const (
	// LogOpened is the first record of every opening. Detail: path, mode, pid.
	LogOpened Kind = "log.opened"
	// LogRecovered says what the opening found wrong with the end of the file. Detail: offset, dropped_bytes
	// and side_file of what was cut off; missing_from and missing_to of acknowledged records that are gone.
	LogRecovered Kind = "log.recovered"
	// LogGap stands for records that were lost. Detail: count, kinds (how many of each), reasons (the same),
	// first and last (times of the lost records).
	LogGap Kind = "log.gap"
	// LogClosed is the last record of a log that was closed in good order.
	LogClosed Kind = "log.closed"

	// RuntimeStarted and RuntimeStopped are the first and the last of a runtime.
	RuntimeStarted Kind = "runtime.started"
	RuntimeStopped Kind = "runtime.stopped"
	// ConfigLoaded says which configuration is in force.
	ConfigLoaded Kind = "config.loaded"

	// SessionStarted and the following are a session's life.
	SessionStarted   Kind = "session.started"
	SessionReady     Kind = "session.ready"
	SessionCrashed   Kind = "session.crashed"
	SessionRestarted Kind = "session.restarted"
	SessionParked    Kind = "session.parked"
	SessionStopped   Kind = "session.stopped"

	// TurnStarted and TurnResult enclose a turn.
	TurnStarted Kind = "turn.started"
	TurnResult  Kind = "turn.result"

	// ToolIntent is durable before the tool runs.
	ToolIntent Kind = "tool.intent"
	// ToolDecision says whether it may run, and who says so.
	ToolDecision Kind = "tool.decision"
	// ToolResult is what came of it.
	ToolResult Kind = "tool.result"
	// ToolOrphan is an intent whose result will never come, since its process ended.
	ToolOrphan Kind = "tool.orphan"

	// AdminAction is what an operator did.
	AdminAction Kind = "admin.action"
)

var kinds = map[Kind]bool{ // true: the log's own
	LogOpened: true, LogRecovered: true, LogGap: true, LogClosed: true,
	RuntimeStarted: false, RuntimeStopped: false, ConfigLoaded: false,
	SessionStarted: false, SessionReady: false, SessionCrashed: false, SessionRestarted: false,
	SessionParked: false, SessionStopped: false,
	TurnStarted: false, TurnResult: false,
	ToolIntent: false, ToolDecision: false, ToolResult: false, ToolOrphan: false,
	AdminAction: false,
}

// Outcome is what was decided.
type Outcome string

// The outcomes of a decision.
const (
	Allow Outcome = "allow"
	Deny  Outcome = "deny"
)

// Decision says whether a tool may run.
type Decision struct {
	// Outcome is Allow or Deny.
	Outcome Outcome `json:"outcome"`
	// By is what decided: rule, mode, hook, callback, operator or default.
	By string `json:"by,omitempty"`
	// Rule is the permission rule that matched, as it was configured.
	Rule string `json:"rule,omitempty"`
	// Reason is what was said about it.
	Reason string `json:"reason,omitempty"`
}

// Exit says how a process ended.
type Exit struct {
	// Reason is the class of the end, in words.
	Reason string `json:"reason,omitempty"`
	// Code is the exit code, -1 if a signal ended the process.
	Code int `json:"code"`
	// Signal is the signal's name, empty if there was none.
	Signal string `json:"signal,omitempty"`
}

// Record is one line of the log. V, Seq, ID, Runtime and Lost are the log's: what a caller puts there is
// overwritten. Only Kind must be given; zero fields are left out of the line.
//
// Texts over 8 KiB are cut. Input, Output and Detail of more than 64 KiB are replaced by an object with
// truncated (true), bytes, sha256 (both of the whole, after redaction) and head, its first 16 KiB as text.
type Record struct {
	// V is the version of this schema.
	V int `json:"v"`
	// Seq numbers the records of a log from 1 without a hole, also over restarts.
	Seq uint64 `json:"seq"`
	// Lost is how many records the log had lost so far: the sum over its log.gap records.
	Lost uint64 `json:"lost,omitempty"`
	// ID is a UUIDv7, unique over all logs.
	ID string `json:"id"`
	// Time is when the event was, in UTC; if zero, when the record was handed over. It may be a little
	// smaller than that of the record before, since records of several senders are ordered by arrival.
	Time time.Time `json:"time"`
	// Runtime is the runtime that wrote the record: Options.Runtime.
	Runtime string `json:"runtime,omitempty"`
	// Kind says what the record is about.
	Kind Kind `json:"kind"`
	// Actor is the path of the actor that reports.
	Actor string `json:"actor,omitempty"`
	// Session is the session's name.
	Session string `json:"session,omitempty"`
	// SessionID is the conversation's UUID.
	SessionID string `json:"session_id,omitempty"`
	// Generation counts the session's processes from 1.
	Generation int `json:"generation,omitempty"`
	// Turn counts the session's turns from 1.
	Turn int `json:"turn,omitempty"`
	// ToolUseID ties intent, decision and result of one tool use together.
	ToolUseID string `json:"tool_use_id,omitempty"`
	// ParentToolUseID is the tool use that started the subagent whose tool this is.
	ParentToolUseID string `json:"parent_tool_use_id,omitempty"`
	// AgentID is the subagent.
	AgentID string `json:"agent_id,omitempty"`
	// Tool is the tool's name.
	Tool string `json:"tool,omitempty"`
	// Input is the tool's input as it came, compacted. What is no JSON becomes
	// {"malformed":true,"text":…}.
	Input json.RawMessage `json:"input,omitempty"`
	// Output is the tool's result, treated as Input is.
	Output json.RawMessage `json:"output,omitempty"`
	// IsError says whether the tool, or the turn, failed; nil where that is no question.
	IsError *bool `json:"is_error,omitempty"`
	// Decision is that of a tool.decision.
	Decision *Decision `json:"decision,omitempty"`
	// Exit is how the session's process ended.
	Exit *Exit `json:"exit,omitempty"`
	// CostUSD is what the turn cost, in US dollars.
	CostUSD float64 `json:"cost_usd,omitempty"`
	// Principal is who caused it: a user, a client of the API.
	Principal string `json:"principal,omitempty"`
	// Detail is whatever else there is to say. Read gives its numbers as float64.
	Detail map[string]any `json:"detail,omitempty"`
}

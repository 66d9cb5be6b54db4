package audit

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// Version is the value of Record.V that this package writes. It reads no later one.
const Version = 1

// Kind says what a record is about.
type Kind string

// The kinds of records. Those that begin with "log." are written by the log itself and refused from others.
const (
	// LogOpened is written by every opening. Detail: path, mode, pid.
	LogOpened Kind = "log.opened"
	// LogRotated is the first record of every segment but the first. Detail: reason (size, age, failure or
	// full), and of the segment before: previous (its file), through (its last record), root (the tree's
	// hash then).
	LogRotated Kind = "log.rotated"
	// LogRecovered says what the opening found wrong with the end of the log, and what it did. Detail:
	// segment, offset, dropped_bytes, dropped_records (whole ones behind the damage), and side_file of what
	// was cut off; moved_records that were written again to a new segment. Or reason, when a full disk has
	// room again.
	LogRecovered Kind = "log.recovered"
	// LogFull says that the disk has no room. Until log.recovered only the ends of sessions and turns are
	// written, into space that was kept for it.
	LogFull Kind = "log.full"
	// LogPruned says that the oldest segments are removed, as Options wants it. Detail: through (the last
	// record that goes), segments (how many), root (the tree's hash of all up to through).
	LogPruned Kind = "log.pruned"
	// LogGap stands for records that were lost. Detail: count, kinds (how many of each), reasons (the same),
	// first and last (times of the lost records).
	LogGap Kind = "log.gap"
	// LogClosed is the last record of a log that was closed in good order.
	LogClosed Kind = "log.closed"

	// RuntimeStarted and RuntimeStopped are the first and the last of a runtime.
	RuntimeStarted Kind = "runtime.started"
	RuntimeStopped Kind = "runtime.stopped"
	// ConfigLoaded says which configuration is in force, by its digest.
	ConfigLoaded Kind = "config.loaded"
	// LintFinding is what a check of the configuration has to say: see [Lint].
	LintFinding Kind = "lint.finding"

	// SessionStarted and the following are a session's life.
	SessionStarted   Kind = "session.started"
	SessionReady     Kind = "session.ready"
	SessionCrashed   Kind = "session.crashed"
	SessionRestarted Kind = "session.restarted"
	SessionParked    Kind = "session.parked"
	SessionStopped   Kind = "session.stopped"
	// SessionNotice is something in a session's life that nobody asked for: a conversation lost or found, what was
	// recovered after a restart of the runtime. Detail has notice, its kind, and text.
	SessionNotice Kind = "session.notice"

	// TurnStarted and TurnResult enclose a turn.
	TurnStarted Kind = "turn.started"
	TurnResult  Kind = "turn.result"

	// ToolIntent is durable before the tool runs.
	ToolIntent Kind = "tool.intent"
	// ToolDecision says whether it may run, and who says so.
	ToolDecision Kind = "tool.decision"
	// ToolResult is what came of it.
	ToolResult Kind = "tool.result"
	// ToolOrphan is an intent whose result will not come: its process ended, or its turn or subagent did, and the CLI says
	// no more of it. Should the result come after all, it is a tool.result with detail late. Those that a runtime has left
	// which was killed are written by the opening of the next one, with detail intent (the record), runtime (which left it)
	// and reason.
	ToolOrphan Kind = "tool.orphan"

	// ApprovalAsked and ApprovalAnswered are a question to people, and their answer: see [Approval].
	ApprovalAsked    Kind = "approval.asked"
	ApprovalAnswered Kind = "approval.answered"

	// BudgetWarned and BudgetExhausted are spending getting near its limit, and reaching it: see [Budget].
	BudgetWarned    Kind = "budget.warned"
	BudgetExhausted Kind = "budget.exhausted"

	// AdminAction is what an operator did.
	AdminAction Kind = "admin.action"

	// SupervisorEvent is what a supervisor saw or did: a child that started, restarted, ended, did not start, had to
	// be killed or was stopped, a supervisor that gave up. That it restarts or parks a session is session.restarted
	// and session.parked, with the same details. See [Supervision].
	SupervisorEvent Kind = "supervisor.event"

	// APIRequest is a request to the model that went through a session's key proxy, or was refused by it.
	APIRequest Kind = "api.request"

	// WitnessDiffers says that what the CLI itself reports of a tool use is not what the log has.
	WitnessDiffers Kind = "witness.differs"
)

var kinds = map[Kind]bool{ // true: the log's own
	LogOpened: true, LogRotated: true, LogRecovered: true, LogFull: true, LogPruned: true, LogGap: true, LogClosed: true,
	RuntimeStarted: false, RuntimeStopped: false, ConfigLoaded: false, LintFinding: false,
	SessionStarted: false, SessionReady: false, SessionCrashed: false, SessionRestarted: false,
	SessionParked: false, SessionStopped: false, SessionNotice: false,
	TurnStarted: false, TurnResult: false,
	ToolIntent: false, ToolDecision: false, ToolResult: false, ToolOrphan: false,
	ApprovalAsked: false, ApprovalAnswered: false, BudgetWarned: false, BudgetExhausted: false,
	AdminAction: false, SupervisorEvent: false, APIRequest: false, WitnessDiffers: false,
}

// Outcome is what was decided, or how something ended.
type Outcome string

// The outcomes. A decision is Allow or Deny.
const (
	Allow   Outcome = "allow"
	Deny    Outcome = "deny"
	OK      Outcome = "ok"
	Failed  Outcome = "error"
	Timeout Outcome = "timeout"
	Killed  Outcome = "killed"
	Unknown Outcome = "unknown"
)

// Outcomes are all of them.
var Outcomes = []Outcome{OK, Failed, Allow, Deny, Timeout, Killed, Unknown}

// Decision says whether a tool may run.
type Decision struct {
	// Outcome is Allow or Deny.
	Outcome Outcome `json:"outcome"`
	// By is what decided: rule, mode, hook, callback, operator, limit or default.
	By string `json:"by,omitempty"`
	// Rule is the permission rule that matched, as it was configured; empty if no configured rule is about the tool, or several fit.
	Rule string `json:"rule,omitempty"`
	// Rules are those that fit, where there are several: the CLI does not say which of them it went by.
	Rules []string `json:"rules,omitempty"`
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

// Redaction counts what was replaced in a record.
type Redaction struct {
	// Rule is value for a value the runtime knows, field for one under a name such as password, or the
	// pattern's name.
	Rule string `json:"rule"`
	// N is how often.
	N int `json:"n"`
}

// Record is one record of the log. V, Seq, SessionSeq, ID, MonoNS, Runtime, Lost and Redactions are the
// log's: what a caller puts there is overwritten. Only Kind must be given; zero fields are left out.
//
// Texts over 8 KiB are cut. Input, Output and Detail of more than 64 KiB are replaced by an object with
// truncated (true), bytes, sha256 (both of the whole, after redaction) and head, its first 16 KiB as text.
type Record struct {
	// V is the version of this schema.
	V int `json:"v"`
	// Seq numbers the records of a log from 1 without a hole, also over restarts.
	Seq uint64 `json:"seq"`
	// Kind says what the record is about.
	Kind Kind `json:"kind"`
	// Session is the session's name.
	Session string `json:"session,omitempty"`
	// SessionSeq numbers the records of a session from 1 without a hole, also over restarts. Of more than
	// 10,000 sessions those not heard of for longest begin anew.
	SessionSeq uint64 `json:"session_seq,omitempty"`
	// Lost is how many records the log had lost so far: the sum over its log.gap records.
	Lost uint64 `json:"lost,omitempty"`
	// ID is a UUIDv7, unique over all logs.
	ID string `json:"id"`
	// Time is when the event was, in UTC; if zero, when the record was handed over. It may be a little
	// smaller than that of the record before, since records of several senders are ordered by arrival.
	Time time.Time `json:"time"`
	// MonoNS is when the record was handed over, in nanoseconds since the writing process began: clocks
	// that are set do not change it.
	MonoNS int64 `json:"mono_ns,omitempty"`
	// Runtime is the runtime that wrote the record: Options.Runtime.
	Runtime string `json:"runtime,omitempty"`
	// Actor is the path of the actor that reports.
	Actor string `json:"actor,omitempty"`
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
	// Tool is the tool's name: of a tool that the CLI has renamed, and calls now so and now so, the one that it has now. Logs of
	// earlier versions of this program have Task beside Agent.
	Tool string `json:"tool,omitempty"`
	// Outcome is how it ended. If empty it follows from Decision, IsError and Exit.
	Outcome Outcome `json:"outcome,omitempty"`
	// Input is the tool's input, compacted, as much of it as Options.Levels let in. What is no JSON becomes
	// {"malformed":true,"text":…}. At the levels metadata and digest it is {"level":…,"bytes":…} and
	// sha256 of the redacted input.
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
	// TotalCostUSD is what the session cost so far, in US dollars, where it is known: the sum of CostUSD.
	TotalCostUSD float64 `json:"total_cost_usd,omitempty"`
	// Principal is who caused it: a user, a client of the API.
	Principal string `json:"principal,omitempty"`
	// Policy is the digest of the options in force.
	Policy string `json:"policy,omitempty"`
	// Detail is whatever else there is to say. Read gives its numbers as float64.
	Detail map[string]any `json:"detail,omitempty"`
	// Redactions says what was replaced.
	Redactions []Redaction `json:"redactions,omitempty"`
}

// outcome is what the fields say.
func (r *Record) outcome() Outcome {
	switch {
	case r.Outcome != "":
		return r.Outcome
	case r.Kind == ToolOrphan:
		return Unknown
	case r.Decision != nil && (r.Kind == ToolDecision || r.Decision.Outcome == Deny):
		return r.Decision.Outcome
	case r.IsError != nil && *r.IsError:
		return Failed
	case r.IsError != nil:
		return OK
	case r.Exit != nil && r.Exit.Signal != "":
		return Killed
	case r.Exit != nil && r.Exit.Code != 0:
		return Failed
	default:
		return ""
	}
}

// KindsOf are the kinds of that name: one, or all that begin with a name that ends in a dot, such as tool.; none if there
// are none.
func KindsOf(name string) (found []Kind) {
	for _, kind := range Kinds() {
		if string(kind) == name || strings.HasSuffix(name, ".") && strings.HasPrefix(string(kind), name) {
			found = append(found, kind)
		}
	}
	return found
}

// Kinds are all kinds of records, sorted.
func Kinds() []Kind { return slices.Sorted(maps.Keys(kinds)) }

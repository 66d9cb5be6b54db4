package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// KindSchema says what records of one kind have, beside the fields that every record has: v, seq, kind, id,
// time, mono_ns, runtime and actor; and total_cost_usd of a session, lost and redactions, where there is
// something to say.
type KindSchema struct {
	Kind Kind
	// Text is what such a record says.
	Text string
	// Always are fields that each has, by their JSON names, Sometimes those that it has where they apply.
	// Detail's are written as detail.NAME.
	Always, Sometimes []string
}

// ofSession are the fields of a session's records; the turn is there during one.
const ofSession = "session session_seq session_id generation policy"

// ofTool are those of a tool use.
const ofTool = ofSession + " tool_use_id tool"

var schema = []KindSchema{
	kind(LogOpened, "The log was opened for writing.", "detail.path detail.mode detail.pid", ""),
	kind(LogRotated, "A new segment begins; the first record of each but the first.",
		"detail.reason detail.previous detail.through detail.root", ""),
	kind(LogRecovered, "What an opening found wrong with the end and did about it, or that a full disk has room again.",
		"", "detail.segment detail.offset detail.dropped_bytes detail.dropped_records detail.side_file detail.moved_records detail.reason"),
	kind(LogFull, "The disk has no room: only ends of sessions and turns are written until log.recovered.", "", ""),
	kind(LogPruned, "The oldest segments are removed, as the retention wants it.", "detail.through detail.segments detail.root", ""),
	kind(LogGap, "Stands for records that were lost.",
		"detail.count detail.kinds detail.reasons detail.first detail.last lost", ""),
	kind(LogClosed, "The log was closed in good order.", "", ""),

	kind(RuntimeStarted, "A runtime began.", "", ""),
	kind(RuntimeStopped, "A runtime was asked to stop.", "", ""),
	kind(ConfigLoaded, "Which configuration file is in force; what a reload has changed, and who asked for it.", "detail.path detail.sha256",
		"principal detail detail.reload detail.added detail.changed detail.removed detail.failed"),
	kind(LintFinding, "What a check of the configuration has to say.", "detail.rule detail.severity detail.message",
		"session session_seq detail.where detail.accepted"),

	kind(SessionStarted, "A process of a session was started: its arguments, the names in its environment, its directory, the program "+
		"with version and SHA-256, and what holds together what it starts.",
		ofSession+" detail.argv detail.env detail.cwd detail.pid detail.resumed detail.cli detail.cli_version detail.cli_sha256 detail.containment",
		"detail.sandbox detail.waited_as"),
	kind(SessionReady, "It answered the handshake, and the hooks are in place.", ofSession+" detail.cli_version detail.resumed", ""),
	kind(SessionCrashed, "It ended without being asked to; with what a cut turn has cost. If the runtime was killed in that turn the next one says so (detail.recovered).", ofSession+" exit", "turn outcome cost_usd detail.recovered"),
	kind(SessionRestarted, "The supervisor starts it again after a delay; or it was started once more with another conversation.",
		"session session_seq detail", "session_id generation policy exit detail.restarts detail.delay_ms detail.conversation detail.next_session_id"),
	kind(SessionParked, "It is not started again until somebody says so.", "session session_seq", "exit detail detail.restarts"),
	kind(SessionStopped, "It ended as it was asked to; with the steps that its process was ended by, and after how many milliseconds each came.", ofSession,
		"turn cost_usd detail detail.steps detail.reason"),
	kind(SessionNotice, "What happened to it that nobody asked for, such as a conversation lost or found.",
		"detail.notice", "session session_seq session_id generation policy turn detail"),

	kind(TurnStarted, "A prompt is about to be sent: durable before it is, in required mode.",
		ofSession+" turn detail.prompt_sha256 detail.prompt_bytes", "detail.prompt_blocks"),
	kind(TurnResult, "A turn came to its result, and what it cost.",
		ofSession+" turn outcome is_error detail.subtype detail.num_turns detail.duration_ms",
		"cost_usd total_cost_usd detail.terminal_reason detail.permission_denials detail.origin"),

	kind(ToolIntent, "A tool is about to be used: durable before it runs, in required mode.",
		ofTool+" input", "turn parent_tool_use_id agent_id detail detail.permission_mode"),
	kind(ToolDecision, "Whether it may run, and who says so.",
		ofTool+" outcome decision", "turn parent_tool_use_id agent_id detail"),
	kind(ToolResult, "What came of it.",
		ofTool+" outcome is_error detail.duration_ms detail.intent_recorded", "turn parent_tool_use_id agent_id input output decision detail.late"),
	kind(ToolOrphan, "Its result will not come: its process, its turn or its subagent ended without it. If it does come, that says late. Of what a runtime has left that was killed the next one says so.",
		ofTool+" outcome detail.intent_recorded", "turn parent_tool_use_id agent_id input detail.reason detail.intent detail.runtime"),

	kind(ApprovalAsked, "A question to people whether a tool may run.",
		"session session_seq tool detail.approval_id",
		"session_id generation policy turn tool_use_id parent_tool_use_id agent_id input detail.reason detail.expires"),
	kind(ApprovalAnswered, "Its answer, and whose it is.",
		"session session_seq tool outcome decision detail.approval_id",
		"session_id generation policy turn tool_use_id parent_tool_use_id agent_id principal detail.reason detail.expires"),

	kind(BudgetWarned, "Spending gets near a limit.", "detail.spent_usd detail.limit_usd detail.share",
		"session session_seq session_id generation policy turn detail.budget detail.window_s"),
	kind(BudgetExhausted, "Spending has reached a limit.", "detail.spent_usd detail.limit_usd",
		"session session_seq session_id generation policy turn detail.budget detail.window_s"),

	kind(APIRequest, "A request to the model that went through the session's key proxy, or was refused by it.",
		"session session_seq detail", "session_id generation policy outcome is_error turn"),

	kind(AdminAction, "What an operator did, and who.", "principal detail.action", "session session_seq detail"),
	kind(SupervisorEvent, "What a supervisor did that no session.* record says.", "detail.event",
		"session session_seq exit detail.child detail.attempt detail.restarts detail.delay_ms detail.reason detail.cause detail.planned detail.siblings detail.at detail.stack"),
	kind(WitnessDiffers, "What the CLI itself reports of a tool use is not what the log has.",
		"session_id tool_use_id detail.difference", "session session_seq generation policy tool detail.events detail.records"),
}

func kind(k Kind, text, always, sometimes string) KindSchema {
	return KindSchema{k, text, strings.Fields(always), strings.Fields(sometimes)}
}

// Schema says what the records of each kind have, in the order of a log's life.
func Schema() []KindSchema { return slices.Clone(schema) }

// common are the fields that a record of any kind may have.
var common = strings.Fields("v seq kind id time mono_ns runtime actor total_cost_usd lost redactions")

// Check reports what a record has too little or too much, as far as its kind says; detail of kinds that allow
// any is not looked into.
func (s KindSchema) Check(r Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var has map[string]json.RawMessage
	if err := json.Unmarshal(data, &has); err != nil {
		return err
	}
	for name := range r.Detail {
		has["detail."+name] = nil
	}
	anything := slices.Contains(s.Always, "detail") || slices.Contains(s.Sometimes, "detail")
	for _, name := range s.Always {
		if _, ok := has[name]; !ok {
			return fmt.Errorf("record %d, %s: %s is missing", r.Seq, r.Kind, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(has)) {
		if inDetail := strings.HasPrefix(name, "detail"); inDetail && (anything || name == "detail") {
			continue
		}
		if !slices.Contains(s.Always, name) && !slices.Contains(s.Sometimes, name) && !slices.Contains(common, name) {
			return fmt.Errorf("record %d, %s: %s is not in its schema", r.Seq, r.Kind, name)
		}
	}
	return nil
}

// Check holds a record against the schema of its kind.
func Check(r Record) error {
	i := slices.IndexFunc(schema, func(s KindSchema) bool { return s.Kind == r.Kind })
	if i < 0 {
		return fmt.Errorf("record %d: kind %.40q is in no schema", r.Seq, r.Kind)
	}
	return schema[i].Check(r)
}

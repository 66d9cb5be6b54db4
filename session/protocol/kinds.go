package protocol

import "reflect"

// The set of messages. A new one needs a line in each list, and its place in init at the end.

func (*Init) isMessage()                   {}
func (*Status) isMessage()                 {}
func (*APIRetry) isMessage()               {}
func (*PermissionDenied) isMessage()       {}
func (*SessionStateChanged) isMessage()    {}
func (*CompactBoundary) isMessage()        {}
func (*ControlRequestProgress) isMessage() {}
func (*ModelRefusalFallback) isMessage()   {}
func (*ModelRefusalNoFallback) isMessage() {}
func (*LocalCommandOutput) isMessage()     {}
func (*HookStarted) isMessage()            {}
func (*HookProgress) isMessage()           {}
func (*HookResponse) isMessage()           {}
func (*PluginInstall) isMessage()          {}
func (*ThinkingTokens) isMessage()         {}
func (*WorkerShuttingDown) isMessage()     {}
func (*CommandsChanged) isMessage()        {}
func (*Notification) isMessage()           {}
func (*FilesPersisted) isMessage()         {}
func (*MemoryRecall) isMessage()           {}
func (*ElicitationComplete) isMessage()    {}
func (*MirrorError) isMessage()            {}
func (*Informational) isMessage()          {}
func (*SessionWritesLost) isMessage()      {}
func (*SessionTitleChanged) isMessage()    {}
func (*ModelFallback) isMessage()          {}
func (*ModelConsentFallback) isMessage()   {}
func (*APIError) isMessage()               {}
func (*MemorySaved) isMessage()            {}
func (*TurnDuration) isMessage()           {}
func (*TurnPreempted) isMessage()          {}
func (*PostTurnSummary) isMessage()        {}
func (*TaskSummary) isMessage()            {}
func (*AwaySummary) isMessage()            {}
func (*SessionMetadata) isMessage()        {}
func (*ScheduledTaskFire) isMessage()      {}
func (*AgentsKilled) isMessage()           {}
func (*InstructionSizeWarning) isMessage() {}
func (*ShellCWD) isMessage()               {}
func (*VCSStateChanged) isMessage()        {}
func (*PerTurnEffortChanged) isMessage()   {}
func (*PeerMessageHold) isMessage()        {}
func (*TaskListStatuses) isMessage()       {}
func (*StopHookSummary) isMessage()        {}
func (*PermissionCheckStatus) isMessage()  {}
func (*PermissionRetry) isMessage()        {}
func (*LateAllowNotRun) isMessage()        {}
func (*InheritedAsksSettled) isMessage()   {}
func (*TaskEvent) isMessage()              {}
func (*Assistant) isMessage()              {}
func (*User) isMessage()                   {}
func (*StreamEvent) isMessage()            {}
func (*Result) isMessage()                 {}
func (*ControlRequest) isMessage()         {}
func (*ControlResponse) isMessage()        {}
func (*ControlCancelRequest) isMessage()   {}
func (*KeepAlive) isMessage()              {}
func (*RateLimitEvent) isMessage()         {}
func (*ToolProgress) isMessage()           {}
func (*CommandLifecycle) isMessage()       {}
func (*ConversationReset) isMessage()      {}
func (*ToolUseSummary) isMessage()         {}
func (*AuthStatus) isMessage()             {}
func (*PromptSuggestion) isMessage()       {}
func (*ActiveGoal) isMessage()             {}
func (*AutocompactState) isMessage()       {}
func (*TranscriptMirror) isMessage()       {}
func (*Unknown) isMessage()                {}

func (*Init) Kind() string                   { return "system/init" }
func (*Status) Kind() string                 { return "system/status" }
func (*APIRetry) Kind() string               { return "system/api_retry" }
func (*PermissionDenied) Kind() string       { return "system/permission_denied" }
func (*SessionStateChanged) Kind() string    { return "system/session_state_changed" }
func (*CompactBoundary) Kind() string        { return "system/compact_boundary" }
func (*ControlRequestProgress) Kind() string { return "system/control_request_progress" }
func (*ModelRefusalFallback) Kind() string   { return "system/model_refusal_fallback" }
func (*ModelRefusalNoFallback) Kind() string { return "system/model_refusal_no_fallback" }
func (*LocalCommandOutput) Kind() string     { return "system/local_command_output" }
func (*HookStarted) Kind() string            { return "system/hook_started" }
func (*HookProgress) Kind() string           { return "system/hook_progress" }
func (*HookResponse) Kind() string           { return "system/hook_response" }
func (*PluginInstall) Kind() string          { return "system/plugin_install" }
func (*ThinkingTokens) Kind() string         { return "system/thinking_tokens" }
func (*WorkerShuttingDown) Kind() string     { return "system/worker_shutting_down" }
func (*CommandsChanged) Kind() string        { return "system/commands_changed" }
func (*Notification) Kind() string           { return "system/notification" }
func (*FilesPersisted) Kind() string         { return "system/files_persisted" }
func (*MemoryRecall) Kind() string           { return "system/memory_recall" }
func (*ElicitationComplete) Kind() string    { return "system/elicitation_complete" }
func (*MirrorError) Kind() string            { return "system/mirror_error" }
func (*Informational) Kind() string          { return "system/informational" }
func (*SessionWritesLost) Kind() string      { return "system/session_writes_lost" }
func (*SessionTitleChanged) Kind() string    { return "system/session_title_changed" }
func (*ModelFallback) Kind() string          { return "system/model_fallback" }
func (*ModelConsentFallback) Kind() string   { return "system/model_consent_fallback" }
func (*APIError) Kind() string               { return "system/api_error" }
func (*MemorySaved) Kind() string            { return "system/memory_saved" }
func (*TurnDuration) Kind() string           { return "system/turn_duration" }
func (*TurnPreempted) Kind() string          { return "system/turn_preempted" }
func (*PostTurnSummary) Kind() string        { return "system/post_turn_summary" }
func (*TaskSummary) Kind() string            { return "system/task_summary" }
func (*AwaySummary) Kind() string            { return "system/away_summary" }
func (*SessionMetadata) Kind() string        { return "system/session_metadata" }
func (*ScheduledTaskFire) Kind() string      { return "system/scheduled_task_fire" }
func (*AgentsKilled) Kind() string           { return "system/agents_killed" }
func (*InstructionSizeWarning) Kind() string { return "system/instruction_size_warning" }
func (*ShellCWD) Kind() string               { return "system/shell_cwd" }
func (*VCSStateChanged) Kind() string        { return "system/vcs_state_changed" }
func (*PerTurnEffortChanged) Kind() string   { return "system/per_turn_effort_changed" }
func (*PeerMessageHold) Kind() string        { return "system/peer_message_hold" }
func (*TaskListStatuses) Kind() string       { return "system/task_list_statuses" }
func (*StopHookSummary) Kind() string        { return "system/stop_hook_summary" }
func (*PermissionCheckStatus) Kind() string  { return "system/permission_check_status" }
func (*PermissionRetry) Kind() string        { return "system/permission_retry" }
func (*LateAllowNotRun) Kind() string        { return "system/late_allow_not_run" }
func (*InheritedAsksSettled) Kind() string   { return "system/inherited_asks_settled" }
func (m *TaskEvent) Kind() string            { return kind("system", m.Subtype) }
func (*Assistant) Kind() string              { return "assistant" }
func (*User) Kind() string                   { return "user" }
func (*StreamEvent) Kind() string            { return "stream_event" }
func (m *Result) Kind() string               { return kind("result", m.Subtype) }
func (m *ControlRequest) Kind() string {
	if m.Request == nil {
		return "control_request"
	}
	return kind("control_request", m.Request.RequestSubtype())
}
func (m *ControlResponse) Kind() string    { return kind("control_response", m.Response.Subtype) }
func (*ControlCancelRequest) Kind() string { return "control_cancel_request" }
func (*KeepAlive) Kind() string            { return "keep_alive" }
func (*RateLimitEvent) Kind() string       { return "rate_limit_event" }
func (*ToolProgress) Kind() string         { return "tool_progress" }
func (*CommandLifecycle) Kind() string     { return "command_lifecycle" }
func (*ConversationReset) Kind() string    { return "conversation_reset" }
func (*ToolUseSummary) Kind() string       { return "tool_use_summary" }
func (*AuthStatus) Kind() string           { return "auth_status" }
func (*PromptSuggestion) Kind() string     { return "prompt_suggestion" }
func (*ActiveGoal) Kind() string           { return "active_goal" }
func (*AutocompactState) Kind() string     { return "autocompact_state" }
func (*TranscriptMirror) Kind() string     { return "transcript_mirror" }
func (m *Unknown) Kind() string            { return kind(m.Type, m.Subtype) }

func kind(typ, subtype string) string {
	if subtype == "" {
		return typ
	}
	return typ + "/" + subtype
}

func (*Init) constants() []constant                   { return systemKind("init") }
func (*Status) constants() []constant                 { return systemKind("status") }
func (*APIRetry) constants() []constant               { return systemKind("api_retry") }
func (*PermissionDenied) constants() []constant       { return systemKind("permission_denied") }
func (*SessionStateChanged) constants() []constant    { return systemKind("session_state_changed") }
func (*CompactBoundary) constants() []constant        { return systemKind("compact_boundary") }
func (*ControlRequestProgress) constants() []constant { return systemKind("control_request_progress") }
func (*ModelRefusalFallback) constants() []constant   { return systemKind("model_refusal_fallback") }
func (*ModelRefusalNoFallback) constants() []constant { return systemKind("model_refusal_no_fallback") }
func (*LocalCommandOutput) constants() []constant     { return systemKind("local_command_output") }
func (*HookStarted) constants() []constant            { return systemKind("hook_started") }
func (*HookProgress) constants() []constant           { return systemKind("hook_progress") }
func (*HookResponse) constants() []constant           { return systemKind("hook_response") }
func (*PluginInstall) constants() []constant          { return systemKind("plugin_install") }
func (*ThinkingTokens) constants() []constant         { return systemKind("thinking_tokens") }
func (*WorkerShuttingDown) constants() []constant     { return systemKind("worker_shutting_down") }
func (*CommandsChanged) constants() []constant        { return systemKind("commands_changed") }
func (*Notification) constants() []constant           { return systemKind("notification") }
func (*FilesPersisted) constants() []constant         { return systemKind("files_persisted") }
func (*MemoryRecall) constants() []constant           { return systemKind("memory_recall") }
func (*ElicitationComplete) constants() []constant    { return systemKind("elicitation_complete") }
func (*MirrorError) constants() []constant            { return systemKind("mirror_error") }
func (*Informational) constants() []constant          { return systemKind("informational") }
func (*SessionWritesLost) constants() []constant      { return systemKind("session_writes_lost") }
func (*SessionTitleChanged) constants() []constant    { return systemKind("session_title_changed") }
func (*ModelFallback) constants() []constant          { return systemKind("model_fallback") }
func (*ModelConsentFallback) constants() []constant   { return systemKind("model_consent_fallback") }
func (*APIError) constants() []constant               { return systemKind("api_error") }
func (*MemorySaved) constants() []constant            { return systemKind("memory_saved") }
func (*TurnDuration) constants() []constant           { return systemKind("turn_duration") }
func (*TurnPreempted) constants() []constant          { return systemKind("turn_preempted") }
func (*PostTurnSummary) constants() []constant        { return systemKind("post_turn_summary") }
func (*TaskSummary) constants() []constant            { return systemKind("task_summary") }
func (*AwaySummary) constants() []constant            { return systemKind("away_summary") }
func (*SessionMetadata) constants() []constant        { return systemKind("session_metadata") }
func (*ScheduledTaskFire) constants() []constant      { return systemKind("scheduled_task_fire") }
func (*AgentsKilled) constants() []constant           { return systemKind("agents_killed") }
func (*InstructionSizeWarning) constants() []constant { return systemKind("instruction_size_warning") }
func (*ShellCWD) constants() []constant               { return systemKind("shell_cwd") }
func (*VCSStateChanged) constants() []constant        { return systemKind("vcs_state_changed") }
func (*PerTurnEffortChanged) constants() []constant   { return systemKind("per_turn_effort_changed") }
func (*PeerMessageHold) constants() []constant        { return systemKind("peer_message_hold") }
func (*TaskListStatuses) constants() []constant       { return systemKind("task_list_statuses") }
func (*StopHookSummary) constants() []constant        { return systemKind("stop_hook_summary") }
func (*PermissionCheckStatus) constants() []constant  { return systemKind("permission_check_status") }
func (*PermissionRetry) constants() []constant        { return systemKind("permission_retry") }
func (*LateAllowNotRun) constants() []constant        { return systemKind("late_allow_not_run") }
func (*InheritedAsksSettled) constants() []constant   { return systemKind("inherited_asks_settled") }
func (*TaskEvent) constants() []constant              { return messageKind("system") }
func (*Assistant) constants() []constant              { return messageKind("assistant") }
func (*User) constants() []constant                   { return messageKind("user") }
func (*StreamEvent) constants() []constant            { return messageKind("stream_event") }
func (*Result) constants() []constant                 { return messageKind("result") }
func (*ControlRequest) constants() []constant         { return messageKind("control_request") }
func (*ControlResponse) constants() []constant        { return messageKind("control_response") }
func (*ControlCancelRequest) constants() []constant   { return messageKind("control_cancel_request") }
func (*KeepAlive) constants() []constant              { return messageKind("keep_alive") }
func (*RateLimitEvent) constants() []constant         { return messageKind("rate_limit_event") }
func (*ToolProgress) constants() []constant           { return messageKind("tool_progress") }
func (*CommandLifecycle) constants() []constant       { return messageKind("command_lifecycle") }
func (*ConversationReset) constants() []constant      { return messageKind("conversation_reset") }
func (*ToolUseSummary) constants() []constant         { return messageKind("tool_use_summary") }
func (*AuthStatus) constants() []constant             { return messageKind("auth_status") }
func (*PromptSuggestion) constants() []constant       { return messageKind("prompt_suggestion") }
func (*ActiveGoal) constants() []constant             { return messageKind("active_goal") }
func (*AutocompactState) constants() []constant       { return messageKind("autocompact_state") }
func (*TranscriptMirror) constants() []constant       { return messageKind("transcript_mirror") }

func messageKind(t string) []constant { return []constant{{"type", t}} }
func systemKind(s string) []constant  { return []constant{{"type", "system"}, {"subtype", s}} }

// Messages marshal as Encode writes them, so that one can be part of other JSON.

func (m *Init) MarshalJSON() ([]byte, error)                   { return Encode(m) }
func (m *Status) MarshalJSON() ([]byte, error)                 { return Encode(m) }
func (m *APIRetry) MarshalJSON() ([]byte, error)               { return Encode(m) }
func (m *PermissionDenied) MarshalJSON() ([]byte, error)       { return Encode(m) }
func (m *SessionStateChanged) MarshalJSON() ([]byte, error)    { return Encode(m) }
func (m *CompactBoundary) MarshalJSON() ([]byte, error)        { return Encode(m) }
func (m *ControlRequestProgress) MarshalJSON() ([]byte, error) { return Encode(m) }
func (m *ModelRefusalFallback) MarshalJSON() ([]byte, error)   { return Encode(m) }
func (m *ModelRefusalNoFallback) MarshalJSON() ([]byte, error) { return Encode(m) }
func (m *LocalCommandOutput) MarshalJSON() ([]byte, error)     { return Encode(m) }
func (m *HookStarted) MarshalJSON() ([]byte, error)            { return Encode(m) }
func (m *HookProgress) MarshalJSON() ([]byte, error)           { return Encode(m) }
func (m *HookResponse) MarshalJSON() ([]byte, error)           { return Encode(m) }
func (m *PluginInstall) MarshalJSON() ([]byte, error)          { return Encode(m) }
func (m *ThinkingTokens) MarshalJSON() ([]byte, error)         { return Encode(m) }
func (m *WorkerShuttingDown) MarshalJSON() ([]byte, error)     { return Encode(m) }
func (m *CommandsChanged) MarshalJSON() ([]byte, error)        { return Encode(m) }
func (m *Notification) MarshalJSON() ([]byte, error)           { return Encode(m) }
func (m *FilesPersisted) MarshalJSON() ([]byte, error)         { return Encode(m) }
func (m *MemoryRecall) MarshalJSON() ([]byte, error)           { return Encode(m) }
func (m *ElicitationComplete) MarshalJSON() ([]byte, error)    { return Encode(m) }
func (m *MirrorError) MarshalJSON() ([]byte, error)            { return Encode(m) }
func (m *Informational) MarshalJSON() ([]byte, error)          { return Encode(m) }
func (m *SessionWritesLost) MarshalJSON() ([]byte, error)      { return Encode(m) }
func (m *SessionTitleChanged) MarshalJSON() ([]byte, error)    { return Encode(m) }
func (m *ModelFallback) MarshalJSON() ([]byte, error)          { return Encode(m) }
func (m *ModelConsentFallback) MarshalJSON() ([]byte, error)   { return Encode(m) }
func (m *APIError) MarshalJSON() ([]byte, error)               { return Encode(m) }
func (m *MemorySaved) MarshalJSON() ([]byte, error)            { return Encode(m) }
func (m *TurnDuration) MarshalJSON() ([]byte, error)           { return Encode(m) }
func (m *TurnPreempted) MarshalJSON() ([]byte, error)          { return Encode(m) }
func (m *PostTurnSummary) MarshalJSON() ([]byte, error)        { return Encode(m) }
func (m *TaskSummary) MarshalJSON() ([]byte, error)            { return Encode(m) }
func (m *AwaySummary) MarshalJSON() ([]byte, error)            { return Encode(m) }
func (m *SessionMetadata) MarshalJSON() ([]byte, error)        { return Encode(m) }
func (m *ScheduledTaskFire) MarshalJSON() ([]byte, error)      { return Encode(m) }
func (m *AgentsKilled) MarshalJSON() ([]byte, error)           { return Encode(m) }
func (m *InstructionSizeWarning) MarshalJSON() ([]byte, error) { return Encode(m) }
func (m *ShellCWD) MarshalJSON() ([]byte, error)               { return Encode(m) }
func (m *VCSStateChanged) MarshalJSON() ([]byte, error)        { return Encode(m) }
func (m *PerTurnEffortChanged) MarshalJSON() ([]byte, error)   { return Encode(m) }
func (m *PeerMessageHold) MarshalJSON() ([]byte, error)        { return Encode(m) }
func (m *TaskListStatuses) MarshalJSON() ([]byte, error)       { return Encode(m) }
func (m *StopHookSummary) MarshalJSON() ([]byte, error)        { return Encode(m) }
func (m *PermissionCheckStatus) MarshalJSON() ([]byte, error)  { return Encode(m) }
func (m *PermissionRetry) MarshalJSON() ([]byte, error)        { return Encode(m) }
func (m *LateAllowNotRun) MarshalJSON() ([]byte, error)        { return Encode(m) }
func (m *InheritedAsksSettled) MarshalJSON() ([]byte, error)   { return Encode(m) }
func (m *TaskEvent) MarshalJSON() ([]byte, error)              { return Encode(m) }
func (m *Assistant) MarshalJSON() ([]byte, error)              { return Encode(m) }
func (m *User) MarshalJSON() ([]byte, error)                   { return Encode(m) }
func (m *StreamEvent) MarshalJSON() ([]byte, error)            { return Encode(m) }
func (m *Result) MarshalJSON() ([]byte, error)                 { return Encode(m) }
func (m *ControlRequest) MarshalJSON() ([]byte, error)         { return Encode(m) }
func (m *ControlResponse) MarshalJSON() ([]byte, error)        { return Encode(m) }
func (m *ControlCancelRequest) MarshalJSON() ([]byte, error)   { return Encode(m) }
func (m *KeepAlive) MarshalJSON() ([]byte, error)              { return Encode(m) }
func (m *RateLimitEvent) MarshalJSON() ([]byte, error)         { return Encode(m) }
func (m *ToolProgress) MarshalJSON() ([]byte, error)           { return Encode(m) }
func (m *CommandLifecycle) MarshalJSON() ([]byte, error)       { return Encode(m) }
func (m *ConversationReset) MarshalJSON() ([]byte, error)      { return Encode(m) }
func (m *ToolUseSummary) MarshalJSON() ([]byte, error)         { return Encode(m) }
func (m *AuthStatus) MarshalJSON() ([]byte, error)             { return Encode(m) }
func (m *PromptSuggestion) MarshalJSON() ([]byte, error)       { return Encode(m) }
func (m *ActiveGoal) MarshalJSON() ([]byte, error)             { return Encode(m) }
func (m *AutocompactState) MarshalJSON() ([]byte, error)       { return Encode(m) }
func (m *TranscriptMirror) MarshalJSON() ([]byte, error)       { return Encode(m) }
func (m *Unknown) MarshalJSON() ([]byte, error)                { return Encode(m) }

var (
	messagePlans   map[string]*plan // by type, without the system ones
	systemPlans    map[string]*plan // by subtype
	taskEvent      *plan
	unknownMessage *plan
)

func init() {
	of := func(m Message) *plan { return planOf(reflect.TypeOf(m).Elem()) }
	messagePlans = map[string]*plan{}
	systemPlans = map[string]*plan{}
	taskEvent, unknownMessage = of(&TaskEvent{}), of(&Unknown{})
	for _, m := range []Message{
		&Assistant{}, &User{}, &StreamEvent{}, &Result{}, &ControlRequest{}, &ControlResponse{}, &ControlCancelRequest{},
		&KeepAlive{}, &RateLimitEvent{}, &ToolProgress{}, &CommandLifecycle{}, &ConversationReset{}, &ToolUseSummary{},
		&AuthStatus{}, &PromptSuggestion{}, &ActiveGoal{}, &AutocompactState{}, &TranscriptMirror{},
	} {
		p := of(m)
		messagePlans[p.consts[0].value] = p
	}
	for _, m := range []Message{
		&Init{}, &Status{}, &APIRetry{}, &PermissionDenied{}, &SessionStateChanged{}, &CompactBoundary{}, &ControlRequestProgress{},
		&ModelRefusalFallback{}, &ModelRefusalNoFallback{}, &LocalCommandOutput{}, &HookStarted{}, &HookProgress{},
		&HookResponse{}, &PluginInstall{}, &ThinkingTokens{}, &WorkerShuttingDown{}, &CommandsChanged{}, &Notification{},
		&FilesPersisted{}, &MemoryRecall{}, &ElicitationComplete{}, &MirrorError{}, &Informational{}, &SessionWritesLost{},
		&SessionTitleChanged{}, &ModelFallback{}, &ModelConsentFallback{}, &APIError{}, &MemorySaved{}, &TurnDuration{},
		&TurnPreempted{}, &PostTurnSummary{}, &TaskSummary{}, &AwaySummary{}, &SessionMetadata{}, &ScheduledTaskFire{},
		&AgentsKilled{}, &InstructionSizeWarning{}, &ShellCWD{}, &VCSStateChanged{}, &PerTurnEffortChanged{},
		&PeerMessageHold{}, &TaskListStatuses{}, &StopHookSummary{}, &PermissionCheckStatus{}, &PermissionRetry{},
		&LateAllowNotRun{}, &InheritedAsksSettled{},
	} {
		p := of(m)
		systemPlans[p.consts[1].value] = p
	}
	for _, s := range taskSubtypes {
		systemPlans[s] = taskEvent
	}
}

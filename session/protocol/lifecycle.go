package protocol

import "encoding/json"

// CompactBoundary says that what came before it in the conversation was replaced by a summary.
type CompactBoundary struct {
	wire
	CompactMetadata   CompactMetadata `json:"compact_metadata"`
	LogicalParentUUID string          `json:"logical_parent_uuid,omitempty"` // the last message before it
	UUID              string          `json:"uuid"`
	SessionID         string          `json:"session_id"`
}

// CompactMetadata is how a conversation was compacted.
type CompactMetadata struct {
	wire
	Trigger                  string          `json:"trigger"`    // manual, auto
	PreTokens                int64           `json:"pre_tokens"` // in the context before
	PostTokens               *int64          `json:"post_tokens,omitempty"`
	CumulativeDroppedTokens  *int64          `json:"cumulative_dropped_tokens,omitempty"` // by all compactions so far
	DurationMS               *int64          `json:"duration_ms,omitempty"`
	UserContext              string          `json:"user_context,omitempty"` // what /compact was told to keep
	MessagesSummarized       *int            `json:"messages_summarized,omitempty"`
	Precomputed              *bool           `json:"precomputed,omitempty"`
	PreCompactTools          []string        `json:"pre_compact_discovered_tools,omitempty"`
	PreservedSegment         json.RawMessage `json:"preserved_segment,omitempty"`
	PreservedMessages        json.RawMessage `json:"preserved_messages,omitempty"` // those that were kept word for word
	PreCompactArtifactsReads json.RawMessage `json:"pre_compact_artifact_read_versions,omitempty"`
}

// SessionTitleChanged has the session's name after it was given one.
type SessionTitleChanged struct {
	wire
	Title     string `json:"title"`
	UUID      string `json:"uuid"`
	SessionID string `json:"session_id"`
}

// WorkerShuttingDown announces that a remote worker ends the process.
type WorkerShuttingDown struct {
	wire
	Reason    string `json:"reason"`
	UUID      string `json:"uuid"`
	SessionID string `json:"session_id"`
}

// SessionWritesLost says at the end that the disk was full: what is missing in the transcript cannot be resumed.
type SessionWritesLost struct {
	wire
	ErrorCode            string   `json:"error_code"` // ENOSPC, EDQUOT
	Lost                 []string `json:"lost"`       // transcript, global_config
	TranscriptSessionIDs []string `json:"transcript_session_ids,omitempty"`
	UUID                 string   `json:"uuid"`
	SessionID            string   `json:"session_id"`
}

// TranscriptMirror repeats entries of the transcript that were written. Only with --session-mirror; the
// last one comes after the result, when stdin has ended.
type TranscriptMirror struct {
	wire
	FilePath string            `json:"filePath"`
	Entries  []json.RawMessage `json:"entries"`
}

// MirrorError says that mirrored entries were lost. The CLI itself does not send it; the official SDKs do.
type MirrorError struct {
	wire
	Error     string    `json:"error"`
	Key       MirrorKey `json:"key"`
	UUID      string    `json:"uuid"`
	SessionID string    `json:"session_id"`
}

// MirrorKey names a mirrored transcript.
type MirrorKey struct {
	wire
	ProjectKey string `json:"projectKey"`
	SessionID  string `json:"sessionId"`
	Subpath    string `json:"subpath,omitempty"` // of a subagent's
}

// AutocompactState says when the CLI compacts the conversation by itself.
type AutocompactState struct {
	wire
	Value     Autocompact `json:"value"`
	UUID      string      `json:"uuid"`
	SessionID string      `json:"session_id"`
}

// Autocompact is the setting behind AutocompactState, in tokens.
type Autocompact struct {
	wire
	Enabled         bool   `json:"enabled"`
	EffectiveWindow int64  `json:"effective_window"`
	Threshold       int64  `json:"threshold"`
	Enforced        bool   `json:"enforced"`
	Source          string `json:"source"` // env, settings, clientdata, experiment, model-default, unknown-model, auto
}

// TurnDuration says how long a turn took.
type TurnDuration struct {
	wire
	DurationMS                  int64  `json:"duration_ms"`
	BudgetTokens                *int64 `json:"budget_tokens,omitempty"` // output tokens spent of a task budget
	BudgetLimit                 *int64 `json:"budget_limit,omitempty"`
	BudgetNudges                *int   `json:"budget_nudges,omitempty"`
	MessageCount                *int   `json:"message_count,omitempty"`
	PendingBackgroundAgentCount *int   `json:"pending_background_agent_count,omitempty"`
	PendingWorkflowCount        *int   `json:"pending_workflow_count,omitempty"`
	UUID                        string `json:"uuid"`
	SessionID                   string `json:"session_id"`
}

// TurnPreempted says that a turn was ended in favour of a prompt that could not wait.
type TurnPreempted struct {
	wire
	Reason                string   `json:"reason"`
	PreemptedByUUID       string   `json:"preempted_by_uuid"`
	PreemptedMessageUUIDs []string `json:"preempted_message_uuids"`
	UUID                  string   `json:"uuid"`
	SessionID             string   `json:"session_id"`
}

// PostTurnSummary says in a few words how a turn went.
type PostTurnSummary struct {
	wire
	SummarizesUUID string `json:"summarizes_uuid"` // the assistant message
	StatusCategory string `json:"status_category"`
	StatusDetail   string `json:"status_detail"`
	NeedsAction    string `json:"needs_action"`
	UUID           string `json:"uuid"`
	SessionID      string `json:"session_id"`
}

// TaskSummary is what the session is doing, in a few words; nil when it is idle.
type TaskSummary struct {
	wire
	Detail    *string `json:"detail"`
	UUID      string  `json:"uuid"`
	SessionID string  `json:"session_id"`
}

// AwaySummary is what happened while nobody looked.
type AwaySummary struct {
	wire
	Content   string `json:"content"`
	UUID      string `json:"uuid"`
	SessionID string `json:"session_id"`
}

// SessionMetadata is data about the session that a host may show.
type SessionMetadata struct {
	wire
	Metadata  json.RawMessage `json:"metadata"`
	UUID      string          `json:"uuid"`
	SessionID string          `json:"session_id"`
}

// ScheduledTaskFire says that a scheduled prompt is due.
type ScheduledTaskFire struct {
	wire
	Content   string `json:"content"`
	UUID      string `json:"uuid"`
	SessionID string `json:"session_id"`
}

// AgentsKilled says that background agents were ended, as an interrupt does.
type AgentsKilled struct {
	wire
	UUID      string `json:"uuid"`
	SessionID string `json:"session_id"`
}

// InstructionSizeWarning says that the instruction files are longer than what is useful.
type InstructionSizeWarning struct {
	wire
	TotalChars      int64  `json:"total_chars"`
	TotalLimitChars int64  `json:"total_limit_chars"`
	FileCount       int    `json:"file_count"`
	LargestChars    *int64 `json:"largest_chars,omitempty"`
	UUID            string `json:"uuid"`
	SessionID       string `json:"session_id"`
}

// ShellCWD says that the shell of the Bash tool is in another directory now.
type ShellCWD struct {
	wire
	CWD       string `json:"cwd"`
	UUID      string `json:"uuid"`
	SessionID string `json:"session_id"`
}

// VCSStateChanged says that the session did something to a repository.
type VCSStateChanged struct {
	wire
	Action    string `json:"kind"` // commit, push, merge, rebase
	CWD       string `json:"cwd"`
	Branch    string `json:"branch,omitempty"`
	UUID      string `json:"uuid"`
	SessionID string `json:"session_id"`
}

// PerTurnEffortChanged says whether the effort can be chosen per turn.
type PerTurnEffortChanged struct {
	wire
	PerTurnEffortActive bool   `json:"per_turn_effort_active"`
	UUID                string `json:"uuid"`
	SessionID           string `json:"session_id"`
}

// PeerMessageHold follows a message of another session that was held back.
type PeerMessageHold struct {
	wire
	State       string `json:"state"` // held, released, dropped
	MessageUUID string `json:"message_uuid,omitempty"`
	Lane        string `json:"lane"` // bridge, stdin, socket
	From        string `json:"from"`
	FromName    string `json:"from_name,omitempty"`
	Cause       string `json:"cause,omitempty"`   // why it is held
	Outcome     string `json:"outcome,omitempty"` // what became of it
	Reason      string `json:"reason,omitempty"`  // why it was dropped
	UUID        string `json:"uuid"`
	SessionID   string `json:"session_id"`
}

// TaskListStatuses has the state of the entries of the agent's to-do list.
type TaskListStatuses struct {
	wire
	Statuses  []TaskListStatus `json:"statuses"`
	UUID      string           `json:"uuid"`
	SessionID string           `json:"session_id"`
}

// TaskListStatus is one entry of TaskListStatuses.
type TaskListStatus struct {
	wire
	ID     string `json:"id"`
	Status string `json:"status"` // pending, in_progress, completed
}

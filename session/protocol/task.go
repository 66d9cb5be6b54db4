package protocol

import "encoding/json"

// TaskEvent is about the work that goes on beside the turns: background shells and
// subagents. A task that ends can start a turn which nobody asked for.
// Which fields are set depends on Subtype.
type TaskEvent struct {
	wire
	Subtype         string           `json:"subtype"` // TaskStarted and so on
	TaskID          string           `json:"task_id,omitempty"`
	RunID           string           `json:"run_id,omitempty"`
	ToolUseID       string           `json:"tool_use_id,omitempty"` // the call that started it
	TaskType        string           `json:"task_type,omitempty"`   // local_bash, local_agent, local_workflow, mcp_task, …
	SubagentType    string           `json:"subagent_type,omitempty"`
	ParentTaskID    string           `json:"parent_task_id,omitempty"`
	SpawnDepth      *int             `json:"spawn_depth,omitempty"`
	WorkflowName    string           `json:"workflow_name,omitempty"`
	Description     string           `json:"description,omitempty"`
	Prompt          string           `json:"prompt,omitempty"`
	IsBackgrounded  *bool            `json:"is_backgrounded,omitempty"`
	SkipTranscript  bool             `json:"skip_transcript,omitempty"`
	Ambient         bool             `json:"ambient,omitempty"`
	Status          string           `json:"status,omitempty"`      // of TaskNotification: completed, failed, stopped
	Reason          string           `json:"reason,omitempty"`      // of TaskNotification
	OutputFile      string           `json:"output_file,omitempty"` // of TaskNotification
	Summary         string           `json:"summary,omitempty"`     // of TaskNotification and TaskProgress
	SummaryIsReport bool             `json:"summary_is_report,omitempty"`
	ResourceLinks   []ResourceLink   `json:"resource_links,omitempty"` // of TaskNotification
	Awaited         *bool            `json:"awaited,omitempty"`
	LastToolName    string           `json:"last_tool_name,omitempty"` // of TaskProgress
	Usage           *TaskUsage       `json:"usage,omitempty"`
	Patch           *TaskPatch       `json:"patch,omitempty"` // of TaskUpdated
	Tasks           []BackgroundTask `json:"tasks,omitempty"` // of BackgroundTasksChanged: the whole list, which replaces the earlier one
	UUID            string           `json:"uuid"`
	SessionID       string           `json:"session_id"`
}

// The subtypes of TaskEvent.
const (
	TaskStarted            = "task_started"
	TaskProgress           = "task_progress"
	TaskUpdated            = "task_updated"
	TaskNotification       = "task_notification"
	BackgroundTasksChanged = "background_tasks_changed"
)

var taskSubtypes = []string{TaskStarted, TaskProgress, TaskUpdated, TaskNotification, BackgroundTasksChanged}

// TaskUsage is what a task has used so far.
type TaskUsage struct {
	wire
	TotalTokens int64 `json:"total_tokens"`
	ToolUses    int64 `json:"tool_uses"`
	DurationMS  int64 `json:"duration_ms"`
}

// TaskPatch is what has changed about a task; what is absent has not.
type TaskPatch struct {
	wire
	Status         string   `json:"status,omitempty"` // pending, running, completed, failed, killed, paused
	Description    string   `json:"description,omitempty"`
	EndTime        *float64 `json:"end_time,omitempty"` // milliseconds since 1970
	TotalPausedMS  *int64   `json:"total_paused_ms,omitempty"`
	Error          string   `json:"error,omitempty"`
	IsBackgrounded *bool    `json:"is_backgrounded,omitempty"`
}

// BackgroundTask is one entry of BackgroundTasksChanged.
type BackgroundTask struct {
	wire
	TaskID       string `json:"task_id"`
	RunID        string `json:"run_id,omitempty"`
	TaskType     string `json:"task_type"`
	SubagentType string `json:"subagent_type,omitempty"`
	Description  string `json:"description"`
	ParentTaskID string `json:"parent_task_id,omitempty"`
	Ambient      bool   `json:"ambient,omitempty"`
	Awaited      *bool  `json:"awaited,omitempty"`
	OffHost      *bool  `json:"off_host,omitempty"`
	ToolUseID    string `json:"tool_use_id,omitempty"`
}

// ResourceLink is something a task made, by its address.
type ResourceLink struct {
	wire
	URI         string          `json:"uri"`
	Name        string          `json:"name"`
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	MIMEType    string          `json:"mimeType,omitempty"`
	Size        *int64          `json:"size,omitempty"` // bytes
	Annotations json.RawMessage `json:"annotations,omitempty"`
}

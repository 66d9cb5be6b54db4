package session

import (
	"context"
	"encoding/json"
	"time"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session/protocol"
)

// ToolEvent is one tool use, after it ended: what the Elixir SDK's tool_callback is told.
type ToolEvent struct {
	Session         string          // the session's name
	SessionID       string          // the conversation's
	ToolUseID       string          // the CLI's id of this use
	ParentToolUseID string          // the Task that a subagent's tool belongs to; empty otherwise
	Name            string          // Bash, Read, mcp__server__tool, …
	Input           json.RawMessage // what the model asked for
	Result          string          // the text that the model was given
	IsError         bool            // it failed, or was denied
	Denied          bool            // it did not run
	StartedAt       time.Time       // when the model's wish was seen
	EndedAt         time.Time
}

// CanUseTool answers a permission question of the CLI: allow or deny the use of a tool. It runs in a
// goroutine of its own; several may run at once, since subagents ask too. Its context ends when the
// question is withdrawn, when Options.PermissionTimeout is over, and when the process ends. An error, a
// nil result and a panic deny.
type CanUseTool func(ctx context.Context, question *protocol.CanUseTool) (protocol.PermissionResult, error)

// toolUse is a tool use that has not ended.
type toolUse struct {
	name    string
	input   json.RawMessage
	parent  string
	agent   string
	started time.Time
	audited bool         // its intent is in the audit log
	intent  *intentWrite // how it got there, or does; nil if nobody asked
	counted bool         // for max_identical_tool_calls and max_tool_cycles
	decided bool         // so is whether it may run
	denied  bool         // by the permission callback

	// decision is what is known here of whether it may run: decided, or what a hook wants as long as no rule says otherwise.
	decision *audit.Decision
}

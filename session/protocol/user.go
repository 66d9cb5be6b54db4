package protocol

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// User is a prompt on its way to the CLI, and from it: a tool result, text the CLI
// says in the user's name ("[Request interrupted by user]"), or a prompt it plays back.
type User struct {
	wire
	Message         UserMessage `json:"message" wire:"essential"`
	ParentToolUseID *string     `json:"parent_tool_use_id"`
	SessionID       string      `json:"session_id"` // ignored by the CLI in a prompt
	// UUID of a prompt is its idempotency key, across resume too: the CLI drops one it
	// has answered, without a result. Without it a prompt that is sent twice runs twice.
	UUID      string `json:"uuid,omitempty"`
	Timestamp string `json:"timestamp,omitempty"`
	// ToolUseResult is the tool's structured output, of the tool's own shape.
	ToolUseResult   json.RawMessage  `json:"tool_use_result,omitempty"`
	ToolResultMeta  []ToolResultMeta `json:"tool_result_meta,omitempty"`
	IsReplay        bool             `json:"isReplay,omitempty"`
	IsSynthetic     bool             `json:"isSynthetic,omitempty"`
	Priority        string           `json:"priority,omitempty"`        // of a prompt: now, next, later
	ShouldQuery     *bool            `json:"shouldQuery,omitempty"`     // false: added to the conversation without a model call
	ClientComposed  bool             `json:"client_composed,omitempty"` // true: no slash commands, no @file
	AgentID         string           `json:"agent_id,omitempty"`
	SubagentType    string           `json:"subagent_type,omitempty"`
	TaskDescription string           `json:"task_description,omitempty"`
	PastedContent   json.RawMessage  `json:"pasted_content,omitempty"` // of a prompt: what was pasted into it
	InlinePastes    []string         `json:"inline_pastes,omitempty"`
	FileAttachments json.RawMessage  `json:"file_attachments,omitempty"` // of a prompt that is played back
	Origin          *Origin          `json:"origin,omitempty"`
}

// UserMessage is the content of a user frame.
type UserMessage struct {
	wire
	Role    string  `json:"role"`
	Content Content `json:"content"`
}

func (m *UserMessage) check() error {
	if m.Role != "user" {
		return fmt.Errorf("message.role is %q: the CLI exits on anything but %q", m.Role, "user")
	}
	return nil
}

// ToolResultMeta tells how a tool result came about, by tool use id.
type ToolResultMeta struct {
	wire
	ID                 string              `json:"id"`
	PermissionDecision *PermissionDecision `json:"permission_decision,omitempty"`
	NonExecutionKind   string              `json:"non_execution_kind,omitempty"` // why the tool did not run, such as permission-rule
}

// PermissionDecision is what was decided about a tool, and by whom.
type PermissionDecision struct {
	wire
	Decision   string `json:"decision"` // accept, reject
	Source     string `json:"source"`   // config, hook, user_temporary, …
	ReasonType string `json:"reason_type,omitempty"`
}

// Origin marks what nobody typed.
type Origin struct {
	wire
	// Kind is task-notification for a background task that ended, human for what a host has somebody type, and one of
	// channel, peer, coordinator, observer, auto-continuation, observer-activity, unclassified.
	Kind       string          `json:"kind"`
	Subkind    string          `json:"subkind,omitempty"` // of task-notification: scheduled-trigger, peer-send-message, …
	FireReason string          `json:"fireReason,omitempty"`
	RunID      string          `json:"runId,omitempty"`
	Producer   json.RawMessage `json:"producer,omitempty"` // what brought it about
	Server     string          `json:"server,omitempty"`   // of channel
	From       string          `json:"from,omitempty"`     // of peer and observer
	FromMode   string          `json:"fromMode,omitempty"`
	Name       string          `json:"name,omitempty"`
}

// NewUserText makes a prompt. The uuid is its idempotency key (see User.UUID);
// empty sends none.
func NewUserText(uuid, text string) *User {
	return &User{Message: UserMessage{Role: "user", Content: TextContent(text)}, UUID: uuid}
}

// NewUserBlocks makes a prompt of blocks, for images and documents.
func NewUserBlocks(uuid string, blocks ...ContentBlock) *User {
	return &User{Message: UserMessage{Role: "user", Content: BlockContent(blocks...)}, UUID: uuid}
}

// NewText makes a text block.
func NewText(text string) *TextBlock { return &TextBlock{Text: text} }

// NewImage makes an image block. The media type is image/png, image/jpeg, image/gif or image/webp.
func NewImage(mediaType string, data []byte) *ImageBlock {
	return &ImageBlock{Source: Source{Type: "base64", MediaType: mediaType, Data: base64.StdEncoding.EncodeToString(data)}}
}

// NewPDF makes a document block of a PDF. The title may be empty.
func NewPDF(title string, data []byte) *DocumentBlock {
	return &DocumentBlock{
		Source: Source{Type: "base64", MediaType: "application/pdf", Data: base64.StdEncoding.EncodeToString(data)}, Title: optional(title),
	}
}

// NewTextDocument makes a document block of text. The title may be empty.
func NewTextDocument(title, text string) *DocumentBlock {
	return &DocumentBlock{Source: Source{Type: "text", MediaType: "text/plain", Data: text}, Title: optional(title)}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

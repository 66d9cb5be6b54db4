package protocol

import "encoding/json"

// Assistant is one completed content block of the model's answer: several frames
// share one Message.ID. It is also how the CLI shows an API failure, with Error set.
type Assistant struct {
	wire
	Message         AssistantMessage  `json:"message" wire:"essential"`
	ParentToolUseID *string           `json:"parent_tool_use_id"` // the Task call a subagent belongs to; nil for the main conversation
	SessionID       string            `json:"session_id"`
	UUID            string            `json:"uuid"`
	RequestID       string            `json:"request_id,omitempty"` // the API's
	Timestamp       string            `json:"timestamp,omitempty"`  // RFC 3339
	Error           string            `json:"error,omitempty"`      // ErrorOverloaded and so on; empty for a real answer
	AgentID         string            `json:"agent_id,omitempty"`   // of a subagent
	Details         *AssistantDetails `json:"-" wire:"inline"`      // what few of them say, nil if this one says none of it
}

// AssistantDetails is what few assistant frames say.
type AssistantDetails struct {
	APIErrorStatus   *int            `json:"api_error_status,omitempty"`
	Aborted          bool            `json:"aborted,omitempty"` // cut off by an interrupt
	Supersedes       []string        `json:"supersedes,omitempty"`
	SubagentType     string          `json:"subagent_type,omitempty"`
	TaskDescription  string          `json:"task_description,omitempty"`
	UserMessageUUID  string          `json:"user_message_uuid,omitempty"`  // the prompt this answers
	UserMessageUUIDs []string        `json:"user_message_uuids,omitempty"` // the prompts, if several were merged
	ResumeReason     string          `json:"resume_reason,omitempty"`
	ToolUseMeta      []ToolUseMeta   `json:"tool_use_meta,omitempty"`
	ContextUsage     json.RawMessage `json:"context_usage,omitempty"` // with context usage switched on
	UsageReport      json.RawMessage `json:"usage_report,omitempty"`
	// ResumedFromIncompleteThinking: the answer goes on where an earlier process was cut off.
	ResumedFromIncompleteThinking bool   `json:"resumed_from_incomplete_thinking,omitempty"`
	IsAPIErrorMessage             bool   `json:"is_api_error_message,omitempty"`
	APIErrorType                  string `json:"api_error_type,omitempty"` // overloaded_error, authentication_error, …
}

// Text joins the text blocks of the message.
func (m *Assistant) Text() string { return TextOf(m.Message.Content) }

// AssistantMessage is the API's message as far as it is complete.
type AssistantMessage struct {
	part
	ID           string          `json:"id"`
	Role         string          `json:"role"`
	Model        string          `json:"model"` // SyntheticModel if the CLI wrote the text itself
	Content      []ContentBlock  `json:"content"`
	StopReason   *string         `json:"stop_reason"` // nil in most frames: the result says why it stopped
	StopSequence *string         `json:"stop_sequence"`
	Usage        Usage           `json:"usage"`           // as of the message's start, not final
	Details      *MessageDetails `json:"-" wire:"inline"` // what few of them say, nil if this one says none of it
}

// MessageDetails is what the API says of few messages, as it says it.
type MessageDetails struct {
	StopDetails       json.RawMessage `json:"stop_details,omitempty"` // of a refusal
	Container         json.RawMessage `json:"container,omitempty"`
	ContextManagement json.RawMessage `json:"context_management,omitempty"`
	Diagnostics       json.RawMessage `json:"diagnostics,omitempty"`
}

func (*AssistantMessage) constants() []constant { return []constant{{"type", "message"}} }

// SyntheticModel is the model of text that the CLI wrote.
const SyntheticModel = "<synthetic>"

// ToolUseMeta names the tool of a tool use block for people.
type ToolUseMeta struct {
	wire
	ID                string `json:"id"`
	DisplayName       string `json:"display_name,omitempty"`
	ServerDisplayName string `json:"server_display_name,omitempty"`
	ToolName          string `json:"tool_name,omitempty"`
}

// The values of Assistant.Error and APIRetry.Error.
const (
	ErrorAuthentication       = "authentication_failed"
	ErrorOAuthOrgNotAllowed   = "oauth_org_not_allowed"
	ErrorAccountOnHold        = "account_on_hold"
	ErrorVerificationRequired = "verification_required"
	ErrorBilling              = "billing_error"
	ErrorRateLimit            = "rate_limit"
	ErrorOverloaded           = "overloaded"
	ErrorInvalidRequest       = "invalid_request"
	ErrorModelNotFound        = "model_not_found"
	ErrorServer               = "server_error"
	ErrorUnknown              = "unknown"
	ErrorMaxOutputTokens      = "max_output_tokens"
	ErrorCloudCredential      = "cloud_credential_error"
)

// Usage counts tokens.
type Usage struct {
	part
	InputTokens              int64         `json:"input_tokens"`
	OutputTokens             int64         `json:"output_tokens"`
	CacheCreationInputTokens int64         `json:"cache_creation_input_tokens"`
	CacheReadInputTokens     int64         `json:"cache_read_input_tokens"`
	Details                  *UsageDetails `json:"-" wire:"inline"` // what not all of them say, nil if this one says none of it
}

// UsageDetails is what the API says besides the counts.
type UsageDetails struct {
	ServiceTier  *string `json:"service_tier,omitempty"`
	Speed        *string `json:"speed,omitempty"` // standard, fast
	InferenceGeo *string `json:"inference_geo,omitempty"`
	// As the API says it.
	ServerToolUse       json.RawMessage `json:"server_tool_use,omitempty"` // web_search_requests, web_fetch_requests
	CacheCreation       json.RawMessage `json:"cache_creation,omitempty"`  // by lifetime
	OutputTokensDetails json.RawMessage `json:"output_tokens_details,omitempty"`
	Iterations          json.RawMessage `json:"iterations,omitempty"`
	FallbackCredit      json.RawMessage `json:"fallback_credit,omitempty"`
}

// UnmarshalJSON reads a message of the API, such as the one in a message_start event.
func (m *AssistantMessage) UnmarshalJSON(data []byte) error { return unmarshal(data, m) }

// MarshalJSON writes the message with the keys it was read with.
func (m *AssistantMessage) MarshalJSON() ([]byte, error) { return marshal(m) }

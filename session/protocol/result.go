package protocol

import "encoding/json"

// Result ends a turn. It does not end a run: a background task may open another
// turn. Several prompts can share one result, and a prompt the CLI has already answered gets none.
type Result struct {
	wire
	Subtype          string          `json:"subtype"`                     // ResultSuccess and so on; also ResultSuccess for an API failure
	IsError          bool            `json:"is_error" wire:"failsafe"`    // what says that the turn failed
	Result           string          `json:"result,omitempty"`            // the answer's text, or the text of an API failure
	StructuredOutput json.RawMessage `json:"structured_output,omitempty"` // with a schema; may be absent on success
	Errors           []string        `json:"errors,omitempty"`
	StopReason       *string         `json:"stop_reason"`
	TerminalReason   string          `json:"terminal_reason,omitempty"` // completed, max_turns, budget_exhausted, aborted_tools, …
	APIErrorStatus   *int            `json:"api_error_status,omitempty"`
	DurationMS       int64           `json:"duration_ms"`
	DurationAPIMS    int64           `json:"duration_api_ms"`
	NumTurns         int             `json:"num_turns"`
	// TotalCostUSD and ModelUsage count from the start of the process, going on from the saved
	// total after a clean resume: never add them up. Usage is of this turn.
	TotalCostUSD              float64               `json:"total_cost_usd"`
	Usage                     Usage                 `json:"usage"`
	ModelUsage                map[string]ModelUsage `json:"modelUsage"`
	ModelUsageSinceLastResult map[string]ModelUsage `json:"model_usage_since_last_result,omitempty"`
	PermissionDenials         []PermissionDenial    `json:"permission_denials"`
	SessionID                 string                `json:"session_id"`
	UUID                      string                `json:"uuid"`
	UserMessageUUID           string                `json:"user_message_uuid,omitempty"`
	UserMessageUUIDs          []string              `json:"user_message_uuids,omitempty"` // the prompts this turn answered
	Origin                    *Origin               `json:"origin,omitempty"`             // set for a turn nobody sent
	QueuedTurnCount           *int                  `json:"queued_turn_count,omitempty"`
	ResultIndex               *int                  `json:"result_index,omitempty"`
	ResumeReason              string                `json:"resume_reason,omitempty"`
	LocalCommand              string                `json:"local_command,omitempty"`
	StartupFailureReason      string                `json:"startup_failure_reason,omitempty"`
	DeferredToolUse           json.RawMessage       `json:"deferred_tool_use,omitempty"`
	SubagentStats             json.RawMessage       `json:"subagent_stats,omitempty"`
	SafetyStops               json.RawMessage       `json:"safety_stops,omitempty"`
	BegunMessageIDs           []string              `json:"begun_message_ids,omitempty"`
	APIErrorType              string                `json:"api_error_type,omitempty"` // overloaded_error, authentication_error, …
	InvalidConfigFile         json.RawMessage       `json:"invalid_config_file,omitempty"`
	CredentialExpiresAt       string                `json:"credential_expires_at,omitempty"`
	FastModeState             string                `json:"fast_mode_state,omitempty"` // off, cooldown, on
	FastModeDisabledReason    string                `json:"fast_mode_disabled_reason,omitempty"`
	// Milliseconds from the prompt to the API request, the first token, the first frame with content.
	TimeToRequestMS     *float64 `json:"time_to_request_ms,omitempty"`
	TTFTMS              *float64 `json:"ttft_ms,omitempty"`
	TTFTStreamMS        *float64 `json:"ttft_stream_ms,omitempty"`
	FirstContentFrameMS *float64 `json:"first_content_frame_ms,omitempty"`
	RequestSentWallMS   *float64 `json:"request_sent_wall_ms,omitempty"` // since 1970
	// Tokens of the turn's first API request.
	FirstRequestInputTokens     *int64 `json:"first_request_input_tokens,omitempty"`
	FirstRequestCacheReadTokens *int64 `json:"first_request_cache_read_input_tokens,omitempty"`
	// Of CLIs that post their stream elsewhere, in milliseconds; those named wall since 1970.
	TimeOriginMS               *float64 `json:"time_origin_ms,omitempty"`
	TimeToRequestFromSpawnMS   *float64 `json:"time_to_request_from_spawn_ms,omitempty"`
	WarmSpareClaimed           *bool    `json:"warm_spare_claimed,omitempty"`
	FirstStreamPostMS          *float64 `json:"first_stream_post_ms,omitempty"`
	FirstStreamPostAckMS       *float64 `json:"first_stream_post_ack_ms,omitempty"`
	FirstStreamPostQueueWaitMS *float64 `json:"first_stream_post_queue_wait_ms,omitempty"`
	FirstStreamPostBehind      string   `json:"first_stream_post_queued_behind,omitempty"`
	FirstStreamPostWallMS      *float64 `json:"first_stream_post_wall_ms,omitempty"`
	FirstTextPostMS            *float64 `json:"first_text_post_ms,omitempty"`
	FirstTextPostQueueWaitMS   *float64 `json:"first_text_post_queue_wait_ms,omitempty"`
	FirstTextPostBehind        string   `json:"first_text_post_queued_behind,omitempty"`
	FirstTextPostWallMS        *float64 `json:"first_text_post_wall_ms,omitempty"`
}

// The subtypes of Result.
const (
	ResultSuccess              = "success"
	ResultErrorDuringExecution = "error_during_execution"
	ResultErrorMaxTurns        = "error_max_turns"
	ResultErrorMaxBudget       = "error_max_budget_usd"
	ResultErrorMaxRetries      = "error_max_structured_output_retries"
)

// Failed says whether the turn went wrong: the flag is set, or the subtype is none that succeeds.
func (m *Result) Failed() bool { return m.IsError || m.Subtype != ResultSuccess }

// ModelUsage is what one model has used, by model in Result.ModelUsage.
type ModelUsage struct {
	wire
	InputTokens              int64   `json:"inputTokens"`
	OutputTokens             int64   `json:"outputTokens"`
	CacheReadInputTokens     int64   `json:"cacheReadInputTokens"`
	CacheCreationInputTokens int64   `json:"cacheCreationInputTokens"`
	WebSearchRequests        int64   `json:"webSearchRequests"`
	CostUSD                  float64 `json:"costUSD"`
	ContextWindow            int64   `json:"contextWindow"` // tokens
	MaxOutputTokens          int64   `json:"maxOutputTokens"`
	ThinkingTokens           int64   `json:"thinkingTokens,omitempty"`
	CanonicalModel           string  `json:"canonicalModel,omitempty"`
	Provider                 string  `json:"provider,omitempty"`
	CostBasis                string  `json:"costBasis,omitempty"` // list, managed, unknown
	CacheCreationEphemeral5m *int64  `json:"cacheCreationEphemeral5mInputTokens,omitempty"`
	CacheCreationEphemeral1h *int64  `json:"cacheCreationEphemeral1hInputTokens,omitempty"`
}

// PermissionDenial is one tool that was not allowed in the turn.
type PermissionDenial struct {
	wire
	ToolName  string          `json:"tool_name"`
	ToolUseID string          `json:"tool_use_id"`
	ToolInput json.RawMessage `json:"tool_input" wire:"object"`
}

package protocol

import "encoding/json"

// RateLimitEvent reports the state of a subscription's limits. With an API key there is none.
type RateLimitEvent struct {
	wire
	RateLimitInfo RateLimitInfo `json:"rate_limit_info"`
	UUID          string        `json:"uuid"`
	SessionID     string        `json:"session_id"`
}

// RateLimitInfo is one limit and how much of it is used.
type RateLimitInfo struct {
	wire
	Status                          string          `json:"status"`                  // allowed, allowed_warning, rejected
	ResetsAt                        *float64        `json:"resetsAt,omitempty"`      // seconds since 1970
	RateLimitType                   string          `json:"rateLimitType,omitempty"` // five_hour, seven_day, …
	Utilization                     *float64        `json:"utilization,omitempty"`
	OverageStatus                   string          `json:"overageStatus,omitempty"`
	IsUsingOverage                  bool            `json:"isUsingOverage,omitempty"`
	OverageResetsAt                 *float64        `json:"overageResetsAt,omitempty"` // seconds since 1970
	OverageDisabledReason           string          `json:"overageDisabledReason,omitempty"`
	OverageInUse                    *bool           `json:"overageInUse,omitempty"`
	OverageEnabled                  *bool           `json:"overageEnabled,omitempty"`
	SurpassedThreshold              *float64        `json:"surpassedThreshold,omitempty"`
	LimitScope                      string          `json:"limitScope,omitempty"` // service, channel, group_pool
	ErrorCode                       string          `json:"errorCode,omitempty"`  // credits_required
	CanUserPurchaseCredits          *bool           `json:"canUserPurchaseCredits,omitempty"`
	HasChargeableSavedPaymentMethod *bool           `json:"hasChargeableSavedPaymentMethod,omitempty"`
	UnifiedWindows                  json.RawMessage `json:"unifiedWindows,omitempty"`
}

// ToolProgress says that a tool is still running. While a hook callback is open it comes as a
// heartbeat: ToolUseID is made up then and ParentToolUseID is the real tool's.
type ToolProgress struct {
	wire
	ToolUseID          string          `json:"tool_use_id"`
	ToolName           string          `json:"tool_name"`
	ParentToolUseID    *string         `json:"parent_tool_use_id"`
	ElapsedTimeSeconds float64         `json:"elapsed_time_seconds"`
	Heartbeat          bool            `json:"heartbeat,omitempty"`
	TaskID             string          `json:"task_id,omitempty"`
	SubagentType       string          `json:"subagent_type,omitempty"`
	SubagentRetry      json.RawMessage `json:"subagent_retry,omitempty"` // an API request of the subagent that is tried again
	UUID               string          `json:"uuid"`
	SessionID          string          `json:"session_id"`
}

// CommandLifecycle follows a prompt that was sent with a uuid.
type CommandLifecycle struct {
	wire
	CommandUUID  string   `json:"command_uuid"`
	State        string   `json:"state"`                   // queued, started, completed (after the result), cancelled, discarded, refused
	WakeupSource string   `json:"wakeup_source,omitempty"` // loop_wakeup, schedule_wakeup
	ScheduledFor *float64 `json:"scheduled_for,omitempty"`
	RanAhead     bool     `json:"ran_ahead,omitempty"`
	UUID         string   `json:"uuid,omitempty"`
	SessionID    string   `json:"session_id,omitempty"`
}

// ConversationReset reports /clear: the frames after it carry another session id.
type ConversationReset struct {
	wire
	NewConversationID    string `json:"new_conversation_id"`
	Trigger              string `json:"trigger,omitempty"` // clear, plan_mode_exit, fresh_session, onboarding
	UserMessageUUID      string `json:"user_message_uuid,omitempty"`
	Timestamp            string `json:"timestamp,omitempty"`
	UserMessageFromHuman bool   `json:"user_message_from_human,omitempty"`
	UUID                 string `json:"uuid"`
	SessionID            string `json:"session_id"` // the old one
}

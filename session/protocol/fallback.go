package protocol

import "encoding/json"

// ModelRefusalFallback says that the model would not answer and another one took over.
type ModelRefusalFallback struct {
	wire
	Trigger                string          `json:"trigger"`         // refusal
	Direction              string          `json:"direction"`       // retry, revert, sticky
	Scope                  string          `json:"scope,omitempty"` // session, local
	OriginalModel          string          `json:"original_model"`
	FallbackModel          string          `json:"fallback_model"`
	RequestID              *string         `json:"request_id"`
	APIRefusalCategory     *string         `json:"api_refusal_category,omitempty"`
	APIRefusalExplanation  *string         `json:"api_refusal_explanation,omitempty"`
	SawCyberRefusal        bool            `json:"saw_cyber_refusal,omitempty"`
	CyberVerification      json.RawMessage `json:"api_refusal_cyber_verification,omitempty"`
	RetractedMessageUUIDs  []string        `json:"retracted_message_uuids,omitempty"` // frames to take back
	RefusedUserMessageUUID *string         `json:"refused_user_message_uuid,omitempty"`
	Content                string          `json:"content"` // text for people
	UUID                   string          `json:"uuid"`
	SessionID              string          `json:"session_id"`
}

// ModelRefusalNoFallback says that the model would not answer, and no other one was tried.
type ModelRefusalNoFallback struct {
	wire
	OriginalModel          string  `json:"original_model"`
	RequestID              *string `json:"request_id"`
	APIRefusalCategory     *string `json:"api_refusal_category,omitempty"`
	APIRefusalExplanation  *string `json:"api_refusal_explanation,omitempty"`
	RefusedUserMessageUUID *string `json:"refused_user_message_uuid,omitempty"`
	Content                string  `json:"content"`
	UUID                   string  `json:"uuid"`
	SessionID              string  `json:"session_id"`
}

// ModelFallback says that the model failed and the configured fallback took over for the turn.
type ModelFallback struct {
	wire
	Trigger       string `json:"trigger"` // model_not_found, permission_denied, overloaded, server_error, last_resort, model_blocked
	OriginalModel string `json:"original_model"`
	FallbackModel string `json:"fallback_model"`
	Content       string `json:"content"`
	UUID          string `json:"uuid"`
	SessionID     string `json:"session_id"`
}

// ModelConsentFallback says what was chosen when a model wanted consent first.
type ModelConsentFallback struct {
	wire
	Choice             string `json:"choice"` // consent, switch_default, cancelled
	OriginalModel      string `json:"original_model"`
	OriginalModelName  string `json:"original_model_name,omitempty"`
	FallbackModel      string `json:"fallback_model"`
	PersistedAsDefault bool   `json:"persisted_as_default"`
	Content            string `json:"content"`
	UUID               string `json:"uuid"`
	SessionID          string `json:"session_id"`
}

// APIError is the older form of APIRetry, which transcripts have.
type APIError struct {
	wire
	Error        json.RawMessage `json:"error"` // message, status, formatted, …
	RetryInMS    int64           `json:"retry_in_ms"`
	RetryAttempt int             `json:"retry_attempt"`
	MaxRetries   int             `json:"max_retries"`
	UUID         string          `json:"uuid"`
	SessionID    string          `json:"session_id"`
}

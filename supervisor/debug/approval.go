package debug

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// ApprovalBackend is a Backend whose sessions ask people.
type ApprovalBackend interface {
	Backend
	// Approvals are the questions that wait, oldest first.
	Approvals(ctx context.Context) ([]Approval, error)
	// Answer answers one of them. An *Error with the code NoSuchApproval says that it does not wait any more, and what
	// became of it; BadRequest that the answer does not fit.
	Answer(ctx context.Context, id, principal string, answer ApprovalAnswer) error
}

// NoSuchApproval is the code of an approval that is none, or none any more: 404.
const NoSuchApproval Code = "no_such_approval"

// Approval is a question to people: whether a tool may run, or the agent's own.
type Approval struct {
	ID          string          `json:"id"`
	Session     string          `json:"session"`
	SessionID   string          `json:"session_id"`
	Generation  int             `json:"generation"`
	Turn        int             `json:"turn,omitempty"`
	Tool        string          `json:"tool"`
	ToolUseID   string          `json:"tool_use_id"`
	AgentID     string          `json:"agent_id,omitempty"`
	Input       json.RawMessage `json:"input"`
	Argument    string          `json:"argument,omitempty"` // the main one of the input, cut
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	Reason      string          `json:"reason,omitempty"`
	BlockedPath string          `json:"blocked_path,omitempty"`
	Suggestions json.RawMessage `json:"suggestions,omitempty"` // what "always" would change
	Questions   []Question      `json:"questions,omitempty"`   // of the agent; they need answers
	AskedAt     time.Time       `json:"asked_at"`
	ExpiresAt   time.Time       `json:"expires_at"`
}

// Question is one question of the agent to a person.
type Question struct {
	Question    string           `json:"question"`
	Header      string           `json:"header,omitempty"`
	MultiSelect bool             `json:"multi_select,omitempty"`
	Options     []QuestionOption `json:"options,omitempty"`
}

// QuestionOption is an answer that the agent offers.
type QuestionOption struct {
	Label       string `json:"label"`
	Description string `json:"description,omitempty"`
}

// ApprovalAnswer answers an Approval.
type ApprovalAnswer struct {
	Decision string `json:"decision"` // allow, deny
	// With allow: another input for the tool, answers by question, and whether the suggestions become rules.
	Input   json.RawMessage   `json:"input,omitempty"`
	Answers map[string]string `json:"answers,omitempty"`
	Always  bool              `json:"always,omitempty"`
	// With deny: what the model is told, and whether the turn ends.
	Message   string `json:"message,omitempty"`
	Interrupt bool   `json:"interrupt,omitempty"`
}

// approvals lists what waits. Inputs are what sessions say.
func (h *handler) approvals(w http.ResponseWriter, r *http.Request) {
	if err := h.guard.reads(r); err != nil {
		refuse(w, err)
		return
	}
	b, ok := h.backend.(ApprovalBackend)
	if !ok {
		writeJSON(w, http.StatusOK, []Approval{})
		return
	}
	list, err := b.Approvals(r.Context())
	if err != nil {
		refuse(w, err)
		return
	}
	if list == nil {
		list = []Approval{}
	}
	writeJSON(w, http.StatusOK, list)
}

// answerApproval answers one.
func (h *handler) answerApproval(w http.ResponseWriter, r *http.Request) {
	b, ok := h.backend.(ApprovalBackend)
	if !ok {
		refuse(w, &Error{NoSuchApproval, "there are no approvals here"})
		return
	}
	answer, err := h.answerOf(w, r)
	if err != nil {
		refuse(w, err)
		return
	}
	if answer.Decision != "allow" && answer.Decision != "deny" {
		refuse(w, &Error{BadRequest, fmt.Sprintf("decision %q: expected allow or deny", cut(answer.Decision, 40))})
		return
	}
	patient(w)
	id := r.PathValue("id")
	err = h.recorded(r, answer.Decision+" approval", id, func() error { return b.Answer(r.Context(), id, h.guard.principal(r), answer) })
	if err != nil {
		refuse(w, err)
		return
	}
	done(w, r, "../")
}

// Approvals are the questions that wait for somebody, oldest first.
func (c *Client) Approvals(ctx context.Context) ([]Approval, error) {
	var list []Approval
	err := c.read(ctx, "approvals", &list)
	return list, err
}

// Answer answers an approval.
func (c *Client) Answer(ctx context.Context, id string, answer ApprovalAnswer) error {
	if id == "" || id == "." || id == ".." {
		return &Error{NoSuchApproval, fmt.Sprintf("no approval %q", id)}
	}
	return c.do(ctx, "approvals/"+url.PathEscape(id), answer)
}

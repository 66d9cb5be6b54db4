package debug

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asking is a backend with one question.
type asking struct {
	*fake
	id, principal string
	answer        ApprovalAnswer
	err           error
}

func (a *asking) Approvals(context.Context) ([]Approval, error) {
	return []Approval{{ID: "k3v7", Session: "reviewer", Tool: "Bash", Input: json.RawMessage(`{"command":"ls"}`), AskedAt: noon, ExpiresAt: noon}}, a.err
}

func (a *asking) Answer(_ context.Context, id, principal string, answer ApprovalAnswer) error {
	a.id, a.principal, a.answer = id, principal, answer
	return a.err
}

// The other tests' backend has one too.
func (f *fake) Approvals(ctx context.Context) ([]Approval, error) { return (&asking{}).Approvals(ctx) }

func (f *fake) Answer(context.Context, string, string, ApprovalAnswer) error { return nil }

func TestApprovals(t *testing.T) {
	b := &asking{fake: newFake()}
	h := fixed(b, Options{Actions: true, Token: "t"})
	refused(t, ask(h, "GET", Path+"approvals", ""), Unauthorized, "the endpoint's token")
	w := ask(h, "GET", Path+"approvals", "", token("t"))
	require.Equal(t, http.StatusOK, w.Code)
	var list []Approval
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &list))
	require.Len(t, list, 1)
	assert.Equal(t, "k3v7", list[0].ID)

	body := `{"decision":"allow","input":{"command":"pwd"},"answers":{"q":"a"},"always":true}`
	refused(t, ask(h, "POST", Path+"approvals/k3v7", body), Unauthorized, "token")
	w = ask(h, "POST", Path+"approvals/k3v7", body, token("t"))
	require.Equal(t, http.StatusNoContent, w.Code, w.Body.String())
	assert.Equal(t, "k3v7", b.id)
	assert.Contains(t, b.principal, "token")
	assert.Equal(t, ApprovalAnswer{Decision: "allow", Input: json.RawMessage(`{"command":"pwd"}`), Answers: map[string]string{"q": "a"}, Always: true}, b.answer)

	b.id = ""
	for body, want := range map[string]string{
		`{"decision":"maybe"}`:          `decision "maybe": expected allow or deny`,
		`{"decision":"deny","why":"x"}`: `unknown field "why"`,
		`[]`:                            "JSON object",
	} {
		refused(t, ask(h, "POST", Path+"approvals/k3v7", body, token("t")), BadRequest, want)
	}
	assert.Empty(t, b.id)
	b.err = &Error{NoSuchApproval, "it was allowed by ann"}
	refused(t, ask(h, "POST", Path+"approvals/k3v7", `{"decision":"deny"}`, token("t")), NoSuchApproval, "by ann")

	refused(t, ask(fixed(b, Options{}), "POST", Path+"approvals/k3v7", `{"decision":"deny"}`), Forbidden, "read-only")
	assert.JSONEq(t, `[]`, ask(fixed(struct{ Backend }{newFake()}, Options{Socket: true}), "GET", Path+"approvals", "").Body.String())
}

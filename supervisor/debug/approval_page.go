package debug

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// need is something that waits for a person.
type need struct {
	ID, Session, Href string
	Address           string // of its own page, and where it is answered; empty if it cannot be
	What, Argument    string
	Title, Reason     string
	Since             *moment
	Until             *moment // when it is denied
	Questions         []questionItem
	One               *questionItem // the only one, with one answer: its options are buttons
	CanAct            bool
}

type questionItem struct {
	Field, Text string
	Many        bool
	Options     []QuestionOption
}

// answerField begins the name of a form's field that answers a question.
const answerField = "answer:"

func (h *handler) needOf(a Approval, base string, now time.Time) need {
	n := need{
		ID: "need-" + url.PathEscape(a.ID), Session: a.Session, Href: base + "sessions/" + url.PathEscape(a.Session),
		Address: base + "approvals/" + url.PathEscape(a.ID), What: a.Tool, Argument: a.Argument, Title: a.Title, Reason: a.Reason,
		Since: since(a.AskedAt, now), Until: until(&a.ExpiresAt, now), CanAct: h.options.Actions,
	}
	for _, q := range a.Questions {
		n.Questions = append(n.Questions, questionItem{answerField + q.Question, q.Question, q.MultiSelect, q.Options})
	}
	if len(n.Questions) == 1 && !n.Questions[0].Many && len(n.Questions[0].Options) > 0 {
		n.One = &n.Questions[0]
	}
	return n
}

// asked are the questions that wait, the oldest first; none where a backend has none.
func (h *handler) asked(ctx context.Context) ([]Approval, error) {
	b, ok := h.backend.(ApprovalBackend)
	if !ok {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return b.Approvals(ctx)
}

// approvalView is the page of one question.
type approvalView struct {
	frame
	Need  need
	Input string
	Facts []fact
}

// approval shows one question. Its input is what a session says.
func (h *handler) approval(w http.ResponseWriter, r *http.Request) {
	if err := h.guard.reads(r); err != nil {
		if CodeOf(err) == Unauthorized {
			challenge(w, true)
		}
		refuse(w, err)
		return
	}
	list, err := h.asked(r.Context())
	if err != nil {
		refuse(w, err)
		return
	}
	id := r.PathValue("id")
	for _, a := range list {
		if a.ID != id {
			continue
		}
		w.Header().Set("Vary", "Accept")
		if !prefers(r, "text/html", "application/json") {
			writeJSON(w, http.StatusOK, a)
			return
		}
		v := approvalView{frame: h.frame(a.Session+" asks", "approval", "../"), Need: h.needOf(a, "../", h.now()), Input: indented(a.Input)}
		add := func(name, value string, code bool) {
			if value != "" {
				v.Facts = append(v.Facts, fact{name, value, code})
			}
		}
		add("description", a.Description, false)
		add("why it has to be asked", a.Reason, false)
		add("blocked path", a.BlockedPath, true)
		add("turn", positive(a.Turn), false)
		add("generation", positive(a.Generation), false)
		add("subagent", a.AgentID, true)
		add("tool use", a.ToolUseID, true)
		add("would always be allowed by", string(a.Suggestions), true)
		h.render(w, r, "approval", v)
		return
	}
	refuse(w, &Error{NoSuchApproval, fmt.Sprintf("approval %q does not wait: it was answered, has timed out or was withdrawn; `understudy approvals` lists what waits", cut(id, 80))})
}

func indented(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}

// answerOf reads an answer: JSON, or a form of the page.
func (h *handler) answerOf(w http.ResponseWriter, r *http.Request) (ApprovalAnswer, error) {
	var answer ApprovalAnswer
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/x-www-form-urlencoded" {
		err := h.body(w, r, &answer)
		return answer, err
	}
	r.Body = http.MaxBytesReader(w, r.Body, h.options.MaxBody)
	if err := r.ParseForm(); err != nil {
		return answer, &Error{BadRequest, fmt.Sprintf("the form cannot be read: %v", err)}
	}
	answer.Decision, answer.Message = r.PostForm.Get("decision"), r.PostForm.Get("message")
	answer.Always = r.PostForm.Get("always") == "1"
	if answer.Decision == "deny" {
		return answer, nil
	}
	answer.Message = ""
	for field, values := range r.PostForm {
		if question, ok := strings.CutPrefix(field, answerField); ok {
			var given []string
			for _, value := range values {
				if value = strings.TrimSpace(value); value != "" {
					given = append(given, value)
				}
			}
			if len(given) > 0 {
				if answer.Answers == nil {
					answer.Answers = make(map[string]string)
				}
				answer.Answers[question] = strings.Join(given, ", ")
			}
		}
	}
	return answer, nil
}

package session

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/toolname"
)

// Approval is a permission question that waits for somebody: whether a tool may run, or the agent's own question
// (AskUserQuestion), or whether its plan is good (ExitPlanMode). Sessions have them where Options.PermissionPrompts is host
// and there is no CanUseTool. One that nobody answers within Options.PermissionTimeout is denied; an interrupt and the end of
// the process withdraw it.
type Approval struct {
	ID         string `json:"id"` // random, and never used again
	Session    string `json:"session"`
	SessionID  string `json:"session_id"`
	Generation int    `json:"generation"` // the process that asks
	Turn       int    `json:"turn,omitempty"`

	Tool        string                      `json:"tool"`
	ToolUseID   string                      `json:"tool_use_id"`
	AgentID     string                      `json:"agent_id,omitempty"` // the subagent that asks
	Input       json.RawMessage             `json:"input"`
	Argument    string                      `json:"argument,omitempty"` // the main one of Input, in one line, cut
	Title       string                      `json:"title,omitempty"`
	Description string                      `json:"description,omitempty"`
	Reason      string                      `json:"reason,omitempty"` // why it has to be asked
	BlockedPath string                      `json:"blocked_path,omitempty"`
	Suggestions []protocol.PermissionUpdate `json:"suggestions,omitempty"` // what "always" would change
	// Questions are those of AskUserQuestion; they need answers.
	Questions []Question `json:"questions,omitempty"`

	AskedAt   time.Time `json:"asked_at"`
	ExpiresAt time.Time `json:"expires_at"` // when it is denied
}

// Question is one question of the agent to a person.
type Question struct {
	Question    string           `json:"question"`
	Header      string           `json:"header,omitempty"`
	MultiSelect bool             `json:"multiSelect,omitempty"`
	Options     []QuestionOption `json:"options,omitempty"`
}

// QuestionOption is an answer that the agent offers.
type QuestionOption struct {
	Label       string `json:"label"`
	Description string `json:"description,omitempty"`
}

// ApprovalAnswer answers an Approval.
type ApprovalAnswer struct {
	// Allow lets the tool run; without it the tool is denied.
	Allow bool
	// Input, with Allow, takes the place of the tool's whole input: a JSON object.
	Input json.RawMessage
	// Answers, with Allow, are the answers to Questions, by question: a label, labels separated by ", ", or own words.
	Answers map[string]string
	// Permissions, with Allow, change the rules from now on: Suggestions, for "always".
	Permissions []protocol.PermissionUpdate
	// Message, without Allow, is for the model. Empty: "denied by the operator".
	Message string
	// Interrupt, without Allow, ends the turn as well.
	Interrupt bool
	// By is who answers, for the audit log.
	By string
}

// What answering an approval may end with.
var (
	// ErrNoApproval says that there is no such approval, or none any more: it was answered, has timed out, or was withdrawn.
	// The error that wraps it says which, for the last ones.
	ErrNoApproval = errors.New("no such approval")
	// ErrBadAnswer says that an answer does not fit its approval, which goes on waiting.
	ErrBadAnswer = errors.New("answer does not fit")
)

// pendingApproval is a question that the actor holds.
type pendingApproval struct {
	approval Approval
	question *protocol.CanUseTool
	timer    *actor.Timer
}

// maxSettled is how many approvals are remembered that do not wait any more.
const maxSettled = 64

// board is the part of the desk that shows approvals.
type board struct {
	pending []Approval
	owner   *loop           // who holds them
	settled []settledAnswer // the last of them, oldest first
}

type settledAnswer struct{ id, how string }

// Approvals are the questions that wait, oldest first.
func (s *Session) Approvals() []Approval {
	s.desk.mu.Lock()
	defer s.desk.mu.Unlock()
	return slices.Clone(s.desk.board.pending)
}

// Asked reports whether an approval is this session's, as far back as is remembered: the last 64 that do not wait any more.
func (s *Session) Asked(id string) bool {
	s.desk.mu.Lock()
	defer s.desk.mu.Unlock()
	return slices.ContainsFunc(s.desk.board.pending, func(a Approval) bool { return a.ID == id }) ||
		slices.ContainsFunc(s.desk.board.settled, func(a settledAnswer) bool { return a.id == id })
}

// Answer answers an approval. It returns when the answer is on its way to the CLI.
func (s *Session) Answer(ctx context.Context, id string, answer ApprovalAnswer) error {
	s.desk.mu.Lock()
	waits := slices.ContainsFunc(s.desk.board.pending, func(a Approval) bool { return a.ID == id })
	err := s.desk.board.gone(s.name, id)
	ref := s.desk.actor
	s.desk.mu.Unlock()
	if !waits {
		return err
	}
	_, err = actor.Ask(ctx, ref, func(r actor.Reply[struct{}]) message { return answered{id, answer, r} })
	if errors.Is(err, actor.ErrStopped) {
		return fmt.Errorf("session %s: approval %s: %w: its process has ended", s.name, id, ErrNoApproval)
	}
	return err
}

// gone says why an approval does not wait.
func (b *board) gone(session, id string) error {
	for _, s := range b.settled {
		if s.id == id {
			return fmt.Errorf("session %s: approval %s: %w: %s", session, id, ErrNoApproval, s.how)
		}
	}
	return fmt.Errorf("session %s: approval %q: %w", session, cut(id, 60), ErrNoApproval)
}

// take takes approvals off the board.
func (b *board) take(how string, which func(Approval) bool) {
	b.pending = slices.DeleteFunc(slices.Clone(b.pending), func(a Approval) bool {
		if !which(a) {
			return false
		}
		b.settled = append(b.settled, settledAnswer{a.ID, how})
		return true
	})
	if n := len(b.settled) - maxSettled; n > 0 {
		b.settled = slices.Delete(b.settled, 0, n)
	}
}

// askPeople makes a permission question an approval.
func (l *loop) askPeople(c *actor.Context[message], request string, q *protocol.CanUseTool) {
	kept, _ := l.desk.snapshot()
	now := time.Now()
	a := Approval{
		ID: strings.ToLower(rand.Text())[:16], Session: l.session.name, SessionID: kept.SessionID, Generation: l.record.Generation,
		Tool: toolname.Now(q.ToolName), ToolUseID: q.ToolUseID, AgentID: q.AgentID, Input: q.Input, Argument: mainArgument(q.Input),
		Title: q.Title, Description: q.Description, Reason: q.DecisionReason, BlockedPath: q.BlockedPath,
		Suggestions: q.PermissionSuggestions, AskedAt: now, ExpiresAt: now.Add(l.options.PermissionTimeout),
	}
	if l.turns.open {
		a.Turn = kept.Turns + 1
	}
	if q.ToolName == questionTool {
		var in struct{ Questions []Question }
		if json.Unmarshal(q.Input, &in) == nil && len(in.Questions) > 0 { // else it is shown as any other tool's
			a.Questions, a.Argument = in.Questions, cut(strings.Join(strings.Fields(in.Questions[0].Question), " "), 80)
		}
	}
	l.approvals[request] = &pendingApproval{a, q, c.After(l.options.PermissionTimeout, unanswered{request})}
	l.desk.mu.Lock()
	l.desk.board.pending = append(slices.Clone(l.desk.board.pending), a)
	l.desk.board.owner = l
	l.desk.info.Approvals = len(l.desk.board.pending)
	l.desk.mu.Unlock()
	l.audit(l.approvalRecord(a).Asked())
	l.tell(Moment{Kind: PermissionAsked, Tool: a.Tool, ToolUseID: a.ToolUseID, Argument: a.Argument, Detail: a.ID})
	l.log.Warn().Str("approval", a.ID).Str("tool", a.Tool).Time("expires", a.ExpiresAt).
		Msg("waits for approval: understudy approvals shows it, approve and deny answer it")
}

// questionTool is the agent's question to a person.
const questionTool = "AskUserQuestion"

func (l *loop) approvalRecord(a Approval) audit.Approval {
	r := audit.Approval{
		ID: a.ID, Tool: a.Tool, ToolUseID: a.ToolUseID, AgentID: a.AgentID, Input: a.Input, Reason: a.Reason, Expires: a.ExpiresAt,
	}
	if use := l.tools[a.ToolUseID]; use != nil {
		r.ParentToolUseID = use.parent
	}
	return r
}

// onAnswered takes an answer from a person.
func (l *loop) onAnswered(c *actor.Context[message], m answered) {
	for request, p := range l.approvals {
		if p.approval.ID != m.id {
			continue
		}
		result, err := p.result(m.answer)
		if err != nil {
			m.reply.Fail(fmt.Errorf("session %s: approval %s: %w: %w", l.session.name, m.id, ErrBadAnswer, err))
			return
		}
		by := m.answer.By
		if by == "" {
			by = "an operator"
		}
		how, decision := "it was allowed by "+by, audit.Decision{Outcome: audit.Allow, By: "operator"}
		if deny, isDeny := result.(protocol.Deny); isDeny {
			how, decision = "it was denied by "+by, audit.Decision{Outcome: audit.Deny, By: "operator", Reason: deny.Message}
		} else if len(m.answer.Input) > 0 {
			decision.Reason = "with a changed input"
		}
		l.settleApproval(request, how, decision, byOperator, m.answer.By)
		l.reply(c, request, result)
		m.reply.Send(struct{}{})
		return
	}
	l.desk.mu.Lock()
	err := l.desk.board.gone(l.session.name, m.id)
	l.desk.mu.Unlock()
	m.reply.Fail(err)
}

// result is an answer as the CLI wants it.
func (p *pendingApproval) result(answer ApprovalAnswer) (protocol.PermissionResult, error) {
	if !answer.Allow {
		if answer.Input != nil || answer.Answers != nil || answer.Permissions != nil {
			return nil, errors.New("a denial has no input, answers or permissions; allow it to give them")
		}
		message := strings.TrimSpace(answer.Message)
		if message == "" {
			message = "denied by the operator"
		}
		return protocol.Deny{Message: message, Interrupt: answer.Interrupt}, nil
	}
	if answer.Message != "" || answer.Interrupt {
		return nil, errors.New("a message and an interrupt go with a denial")
	}
	input := p.question.Input
	if len(answer.Input) > 0 {
		input = answer.Input
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(input, &fields); err != nil || fields == nil {
		return nil, errors.New("the input is no JSON object; it takes the place of the tool's whole input")
	}
	if err := p.answer(fields, answer.Answers); err != nil {
		return nil, err
	}
	if answer.Answers != nil {
		var err error
		if input, err = json.Marshal(fields); err != nil {
			return nil, fmt.Errorf("answers: %w", err)
		}
	}
	return protocol.Allow{UpdatedInput: input, UpdatedPermissions: answer.Permissions}, nil
}

// answer puts answers to the agent's questions into the input.
func (p *pendingApproval) answer(input map[string]json.RawMessage, answers map[string]string) error {
	var asked []string
	for _, q := range p.approval.Questions {
		asked = append(asked, q.Question)
	}
	if len(asked) == 0 {
		if answers != nil {
			return fmt.Errorf("%s asks no questions; answers are for %s", p.approval.Tool, questionTool)
		}
		return nil
	}
	if answers == nil && input["answers"] != nil {
		return nil // the changed input has them
	}
	for _, q := range asked {
		if strings.TrimSpace(answers[q]) == "" {
			return fmt.Errorf("no answer to %q", q)
		}
	}
	for q := range answers {
		if !slices.Contains(asked, q) {
			return fmt.Errorf("%q is none of the questions, which are %q", cut(q, 100), asked)
		}
	}
	raw, err := json.Marshal(answers)
	input["answers"] = raw
	return err
}

// onUnanswered denies what nobody has answered in time.
func (l *loop) onUnanswered(c *actor.Context[message], request string) {
	if l.approvals[request] == nil {
		return
	}
	text := fmt.Sprintf("nobody answered within %v", l.options.PermissionTimeout)
	l.settleApproval(request, "it was denied: "+text, audit.Decision{Outcome: audit.Deny, By: "default", Reason: text}, byTimeout, "")
	l.reply(c, request, protocol.Deny{Message: "Denied: " + text + "."})
}

// withdrawApproval takes back a question that the CLI does not ask any more.
func (l *loop) withdrawApproval(request, why string) {
	if l.approvals[request] != nil {
		l.settleApproval(request, withdrawn+why, audit.Decision{Outcome: audit.Deny, By: "default", Reason: "withdrawn: " + why}, byNobody, "")
	}
}

const withdrawn = "it was withdrawn: "

// withdrawApprovals takes back all of them.
func (l *loop) withdrawApprovals(why string) {
	for request := range l.approvals {
		l.withdrawApproval(request, why)
	}
}

// orphanApprovals is called when an actor has ended, which may have been killed and then has not taken back what it asked.
func (s *Session) orphanApprovals(holder *loop) {
	const why = "the actor that asked has ended"
	s.desk.mu.Lock()
	var left []Approval
	if s.desk.board.owner == holder {
		left = s.desk.board.pending
		s.desk.board.take(withdrawn+why, func(Approval) bool { return true })
		s.desk.info.Approvals = 0
	}
	s.desk.mu.Unlock()
	for _, a := range left {
		s.desk.tell(Moment{
			Kind: PermissionNone, Generation: a.Generation, Turn: a.Turn, Tool: a.Tool, ToolUseID: a.ToolUseID, Argument: a.Argument,
			Outcome: string(audit.Deny), By: byNobody, Detail: a.ID + ": " + withdrawn + why, Took: time.Since(a.AskedAt),
		})
		s.spec.Logger.Warn().Str("session", s.name).Str("approval", a.ID).Msg("approval is withdrawn: " + why)
		if s.spec.Audit == nil {
			continue
		}
		r := audit.Approval{ID: a.ID, Tool: a.Tool, ToolUseID: a.ToolUseID, AgentID: a.AgentID, Reason: a.Reason, Expires: a.ExpiresAt}.
			Answered(audit.Decision{Outcome: audit.Deny, By: "default", Reason: "withdrawn: " + why}, "")
		r.Actor, r.Session, r.SessionID, r.Generation, r.Turn = s.spec.Path, s.name, a.SessionID, a.Generation, a.Turn
		s.spec.Audit.Post(r)
	}
}

// Who answers a permission question: Moment.By.
const (
	byOperator = "operator"
	byCallback = "callback"
	byTimeout  = "timeout"
	byNobody   = "withdrawn"
)

// settleApproval takes an approval off the list, and says what became of it.
func (l *loop) settleApproval(request, how string, decision audit.Decision, by, principal string) {
	p := l.approvals[request]
	delete(l.approvals, request)
	p.timer.Stop()
	a := p.approval
	l.desk.mu.Lock()
	l.desk.board.take(how, func(other Approval) bool { return other.ID == a.ID })
	l.desk.info.Approvals = len(l.desk.board.pending)
	l.desk.mu.Unlock()
	l.audit(l.approvalRecord(a).Answered(decision, principal))
	if by != byNobody { // what is withdrawn is not decided any more
		l.auditDecision(a.ToolUseID, a.Tool, a.AgentID, &decision)
	} else if use := l.tools[a.ToolUseID]; use != nil {
		use.denied = decision.Outcome == audit.Deny
	}
	l.tell(Moment{
		Kind: settledKind(decision), Tool: a.Tool, ToolUseID: a.ToolUseID, Argument: a.Argument, Outcome: string(decision.Outcome), By: by,
		Detail: a.ID + ": " + how, Took: time.Since(a.AskedAt),
	})
	l.log.Info().Str("approval", a.ID).Str("tool", a.Tool).Str("outcome", string(decision.Outcome)).Str("principal", principal).
		Str("reason", decision.Reason).Msg("approval is settled")
}

func settledKind(d audit.Decision) MomentKind {
	if d.Outcome == audit.Allow {
		return PermissionGiven
	}
	return PermissionNone
}

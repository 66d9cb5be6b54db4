package audit

import (
	"encoding/json"
	"time"
)

// The types here make the records of events whose details several parts of a program have to agree on. Give
// what they return to [Trail.Post] or [Trail.Append]; whose record it is, the caller fills in.

// Approval is a question to people whether a tool may run.
type Approval struct {
	// ID is what it is answered by.
	ID string
	// Tool, ToolUseID, ParentToolUseID and AgentID say which tool use it is about, Input is its input.
	Tool, ToolUseID, ParentToolUseID, AgentID string
	Input                                     json.RawMessage
	// Reason is why it has to be asked, in the CLI's words.
	Reason string
	// Expires is when it is denied if nobody answers; zero means never.
	Expires time.Time
}

func (a Approval) record(kind Kind) Record {
	detail := map[string]any{"approval_id": a.ID}
	if a.Reason != "" {
		detail["reason"] = a.Reason
	}
	if !a.Expires.IsZero() {
		detail["expires"] = a.Expires.UTC().Format(time.RFC3339Nano)
	}
	return Record{
		Kind: kind, Tool: a.Tool, ToolUseID: a.ToolUseID, ParentToolUseID: a.ParentToolUseID, AgentID: a.AgentID,
		Input: a.Input, Detail: detail,
	}
}

// Asked is the record of the question.
func (a Approval) Asked() Record { return a.record(ApprovalAsked) }

// Answered is the record of its answer. By is operator if a person said so, and principal names that person;
// default if nobody did in time. It does not repeat the input.
func (a Approval) Answered(d Decision, principal string) Record {
	a.Input = nil
	r := a.record(ApprovalAnswered)
	r.Outcome, r.Decision, r.Principal = d.Outcome, &d, principal
	return r
}

// Budget is a limit on spending.
type Budget struct {
	// Name is that of a budget that sessions share; empty means the session's own.
	Name string
	// SpentUSD is what was spent of LimitUSD, in US dollars.
	SpentUSD, LimitUSD float64
	// Window is the time that the limit is for; 0 means for ever.
	Window time.Duration
}

func (b Budget) record(kind Kind) Record {
	detail := map[string]any{"spent_usd": b.SpentUSD, "limit_usd": b.LimitUSD}
	if b.Name != "" {
		detail["budget"] = b.Name
	}
	if b.Window > 0 {
		detail["window_s"] = b.Window.Seconds()
	}
	return Record{Kind: kind, Detail: detail}
}

// Warned is the record that spending gets near the limit: that it has reached that share of it, such as 0.8.
func (b Budget) Warned(share float64) Record {
	r := b.record(BudgetWarned)
	r.Detail["share"] = share
	return r
}

// Exhausted is the record that the limit is reached.
func (b Budget) Exhausted() Record { return b.record(BudgetExhausted) }

// Lint is a finding: what a check of the configuration has to say.
type Lint struct {
	// Rule is the rule's name, Severity how bad it is, Message what is wrong.
	Rule, Severity, Message string
	// Where is the place, such as FILE:LINE or sessions.reviewer.sandbox.
	Where string
	// Session is the session it is about, if it is about one.
	Session string
	// Accepted is the reason for which the configuration accepts it, if it does.
	Accepted string
}

// Record is the record of the finding.
func (f Lint) Record() Record {
	detail := map[string]any{"rule": f.Rule, "severity": f.Severity, "message": f.Message}
	if f.Where != "" {
		detail["where"] = f.Where
	}
	if f.Accepted != "" {
		detail["accepted"] = f.Accepted
	}
	return Record{Kind: LintFinding, Session: f.Session, Detail: detail}
}

// Supervision is what a supervisor did with a child, or with itself.
type Supervision struct {
	// Event says what, such as "child exited".
	Event string
	// Supervisor is its path, Child the child's name there.
	Supervisor, Child string
	// Session is set if the child is one.
	Session string
	// Attempt counts the child's starts, Restarts those that its intensity counts.
	Attempt, Restarts int
	// Delay is how long the restart waits.
	Delay time.Duration
	// Reason is why the child ended, or did not start.
	Reason error
}

// Record is the record of the event.
func (s Supervision) Record() Record {
	r := Record{Kind: SupervisorEvent, Actor: s.Supervisor, Session: s.Session, Detail: map[string]any{"event": s.Event}}
	if s.Child != "" {
		r.Detail["child"] = s.Child
	}
	if s.Attempt > 0 {
		r.Detail["attempt"] = s.Attempt
	}
	if s.Restarts > 0 {
		r.Detail["restarts"] = s.Restarts
	}
	if s.Delay > 0 {
		r.Detail["delay_ms"] = s.Delay.Milliseconds()
	}
	if s.Reason != nil {
		r.Detail["reason"] = s.Reason.Error()
	}
	return r
}

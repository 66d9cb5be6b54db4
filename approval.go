package understudy

import (
	"context"
	"fmt"
	"slices"

	"github.com/understudy-run/understudy/session"
)

// Approvals are the permission questions of all sessions that wait for somebody, oldest first.
func (rt *Runtime) Approvals() []session.Approval {
	var all []session.Approval
	for _, s := range rt.Sessions() {
		all = append(all, s.Approvals()...)
	}
	slices.SortStableFunc(all, func(a, b session.Approval) int { return a.AskedAt.Compare(b.AskedAt) })
	return all
}

// Approve lets the tool of an approval run, as it was asked about.
func (rt *Runtime) Approve(ctx context.Context, id string) error {
	return rt.Answer(ctx, id, session.ApprovalAnswer{Allow: true})
}

// Deny keeps the tool of an approval from running. The message is for the model.
func (rt *Runtime) Deny(ctx context.Context, id, message string) error {
	return rt.Answer(ctx, id, session.ApprovalAnswer{Message: message})
}

// Answer answers an approval of any session, with a changed input, answers to the agent's questions, or a denial. An error
// that is session.ErrNoApproval says that it does not wait any more, and what became of it, where that is known.
func (rt *Runtime) Answer(ctx context.Context, id string, answer session.ApprovalAnswer) error {
	for _, s := range rt.Sessions() {
		if s.Asked(id) {
			return s.Answer(ctx, id, answer)
		}
	}
	return fmt.Errorf("approval %q: %w", id, session.ErrNoApproval)
}

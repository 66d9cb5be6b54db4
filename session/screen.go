package session

import (
	"context"

	"github.com/understudy-run/understudy/session/protocol"
)

// The methods here ask for what a CLI in a terminal shows on its screens. They are asked as those of request.go are.

// HooksListing is what /hooks shows: the hooks of settings and plugins. Options.Hooks are not among them.
func (s *Session) HooksListing(ctx context.Context) (*protocol.HooksListingResponse, error) {
	return ask[protocol.HooksListingResponse](ctx, s, &protocol.GetHooksListing{})
}

// CostText is what /cost shows. Usage has the numbers.
func (s *Session) CostText(ctx context.Context) (string, error) {
	r, err := ask[protocol.TextResponse](ctx, s, &protocol.GetSessionCost{})
	if err != nil {
		return "", err
	}
	return r.Text, nil
}

// BinaryVersion is the version that the running CLI gives.
func (s *Session) BinaryVersion(ctx context.Context) (string, error) {
	r, err := ask[protocol.BinaryVersionResponse](ctx, s, &protocol.GetBinaryVersion{})
	if err != nil {
		return "", err
	}
	return r.Version, nil
}

// Status is what /status shows.
func (s *Session) Status(ctx context.Context) (*protocol.StatusResponse, error) {
	return ask[protocol.StatusResponse](ctx, s, &protocol.GetStatus{})
}

// Plan is the plan of plan mode.
func (s *Session) Plan(ctx context.Context) (*protocol.PlanResponse, error) {
	return ask[protocol.PlanResponse](ctx, s, &protocol.GetPlan{})
}

// Memory is what /memory shows: where instructions and notes are.
func (s *Session) Memory(ctx context.Context) (*protocol.MemoryDialogResponse, error) {
	return ask[protocol.MemoryDialogResponse](ctx, s, &protocol.GetMemoryDialog{})
}

// Skills is what /skills shows.
func (s *Session) Skills(ctx context.Context) (*protocol.SkillsDialogResponse, error) {
	return ask[protocol.SkillsDialogResponse](ctx, s, &protocol.GetSkillsDialog{})
}

// Sandbox is what /sandbox shows.
func (s *Session) Sandbox(ctx context.Context) (*protocol.SandboxDialogResponse, error) {
	return ask[protocol.SandboxDialogResponse](ctx, s, &protocol.GetSandboxDialog{})
}

// Export is the conversation as a text, as /export writes it. Package transcript reads it message by message.
func (s *Session) Export(ctx context.Context) (*protocol.ExportResponse, error) {
	return ask[protocol.ExportResponse](ctx, s, &protocol.ExportConversation{})
}

// WorkspaceDiff is what has changed in the working directory, as git sees it.
func (s *Session) WorkspaceDiff(ctx context.Context) (*protocol.WorkspaceDiffResponse, error) {
	return ask[protocol.WorkspaceDiffResponse](ctx, s, &protocol.GetWorkspaceDiff{})
}

// FileSuggestions are files whose path is like the query, the best first. The CLI gathers them in the background: right after
// a start it knows none.
func (s *Session) FileSuggestions(ctx context.Context, query string) (*protocol.FileSuggestionsResponse, error) {
	return ask[protocol.FileSuggestionsResponse](ctx, s, &protocol.FileSuggestions{Query: query})
}

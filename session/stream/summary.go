package stream

import (
	"strings"

	"github.com/understudy-run/understudy/session/protocol"
)

// Summary is a turn, collected.
type Summary struct {
	Text     string     // the answer's text, all blocks
	Thinking string     // the model's reasoning
	Tools    []ToolCall // in the order in which the model asked for them
	Result   *protocol.Result

	// From the result; zero if there was none.
	SessionID    string
	IsError      bool
	NumTurns     int
	StopReason   string  // end_turn, max_tokens, refusal, …; empty if the CLI does not say
	TotalCostUSD float64 // of the process so far, not of the turn
	Usage        protocol.Usage
}

// Collect reads to the end. The summary is what there is of it also when there is an error.
func Collect(messages Messages, options ...Option) (Summary, error) {
	s := scopeOf(options)
	var summary Summary
	var text, thinking strings.Builder
	at := make(map[string]int) // of a tool use, in summary.Tools
	finish := func(err error) (Summary, error) {
		summary.Text, summary.Thinking = text.String(), thinking.String()
		return summary, err
	}
	for m, err := range messages {
		if err != nil {
			return finish(err)
		}
		switch m := m.(type) {
		case *protocol.Assistant:
			if !s.from(m.ParentToolUseID) {
				continue
			}
			for _, block := range m.Message.Content {
				switch b := block.(type) {
				case *protocol.TextBlock:
					text.WriteString(b.Text)
				case *protocol.ThinkingBlock:
					thinking.WriteString(b.Thinking)
				case *protocol.ToolUseBlock:
					at[b.ID] = len(summary.Tools)
					summary.Tools = append(summary.Tools, ToolCall{Use: b})
				default: // in the messages themselves
				}
			}
		case *protocol.User:
			for _, block := range m.Message.Content.Blocks() {
				if result, ok := block.(*protocol.ToolResultBlock); ok {
					if i, known := at[result.ToolUseID]; known {
						summary.Tools[i].Result, summary.Tools[i].Message = result, m
					}
				}
			}
		case *protocol.Result:
			summary.Result, summary.SessionID, summary.IsError = m, m.SessionID, m.Failed()
			summary.NumTurns, summary.TotalCostUSD, summary.Usage = m.NumTurns, m.TotalCostUSD, m.Usage
			summary.StopReason = key(m.StopReason)
		default:
		}
	}
	if summary.Result == nil {
		return finish(ErrNoResult)
	}
	return finish(nil)
}

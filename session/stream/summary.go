package stream

import (
	"slices"
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

// said is what the summary has of one frame of the assistant.
type said struct {
	uuid           string
	text, thinking string
	tools          []*ToolCall
}

// Collect reads to the end. The summary is what there is of it also when there is an error. What was retracted is not in it
// (see protocol.Retracted). Of messages of several turns it has all that was said, and the last result.
func Collect(messages Messages, options ...Option) (Summary, error) {
	s := scopeOf(options)
	var summary Summary
	var all []said
	calls := make(map[string]*ToolCall) // by the id of the tool use
	finish := func(err error) (Summary, error) {
		var text, thinking strings.Builder
		for _, a := range all {
			text.WriteString(a.text)
			thinking.WriteString(a.thinking)
			for _, call := range a.tools {
				summary.Tools = append(summary.Tools, *call)
			}
		}
		summary.Text, summary.Thinking = text.String(), thinking.String()
		return summary, err
	}
	for m, err := range messages {
		if err != nil {
			return finish(err)
		}
		if gone := protocol.Retracted(m); len(gone) > 0 {
			all = slices.DeleteFunc(all, func(a said) bool { return slices.Contains(gone, a.uuid) })
			for _, call := range calls {
				if call.Message != nil && slices.Contains(gone, call.Message.UUID) {
					call.Result, call.Message = nil, nil
				}
			}
		}
		switch m := m.(type) {
		case *protocol.Assistant:
			if !s.from(m.ParentToolUseID) {
				continue
			}
			a := said{uuid: m.UUID}
			for _, block := range m.Message.Content {
				switch b := block.(type) {
				case *protocol.TextBlock:
					a.text += b.Text
				case *protocol.ThinkingBlock:
					a.thinking += b.Thinking
				case *protocol.ToolUseBlock:
					calls[b.ID] = &ToolCall{Use: b}
					a.tools = append(a.tools, calls[b.ID])
				default: // in the messages themselves
				}
			}
			all = append(all, a)
		case *protocol.User:
			for _, block := range m.Message.Content.Blocks() {
				if result, ok := block.(*protocol.ToolResultBlock); ok {
					if call := calls[result.ToolUseID]; call != nil {
						call.Result, call.Message = result, m
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

package stream

import (
	"iter"
	"slices"

	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/toolname"
)

// ToolCall is a tool that the model asked for, and what came of it.
type ToolCall struct {
	Use    *protocol.ToolUseBlock
	Result *protocol.ToolResultBlock // nil if none came
	// Message is the frame that the result came in: ToolUseResult and ToolResultMeta are there. nil if none came.
	Message *protocol.User
}

// ToolCalls gives each tool with its result, when the result is there; with names, those tools alone, whichever of its names a
// renamed tool was called by. Tools that
// were cut off come at the end without one, unless they were retracted. Results of parallel tools come in the order in which they finish.
func ToolCalls(messages Messages, names []string, options ...Option) iter.Seq2[ToolCall, error] {
	s := scopeOf(options)
	return func(yield func(ToolCall, error) bool) {
		names := toolname.Of(names)
		type asked struct {
			use   *protocol.ToolUseBlock
			frame string // the id of the message it came in
		}
		var open []asked // in order
		var failure error
		for m, err := range messages {
			if err != nil {
				failure = err
				break
			}
			if gone := protocol.Retracted(m); len(gone) > 0 {
				open = slices.DeleteFunc(open, func(a asked) bool { return slices.Contains(gone, a.frame) })
			}
			switch m := m.(type) {
			case *protocol.Assistant:
				if !s.from(m.ParentToolUseID) {
					continue
				}
				for _, block := range m.Message.Content {
					if use, ok := block.(*protocol.ToolUseBlock); ok && (len(names) == 0 || slices.Contains(names, toolname.Now(use.Name))) {
						open = append(open, asked{use, m.UUID})
					}
				}
			case *protocol.User:
				for _, block := range m.Message.Content.Blocks() {
					result, ok := block.(*protocol.ToolResultBlock)
					if !ok {
						continue
					}
					i := slices.IndexFunc(open, func(a asked) bool { return a.use.ID == result.ToolUseID })
					if i < 0 {
						continue
					}
					call := ToolCall{Use: open[i].use, Result: result, Message: m}
					open = slices.Delete(open, i, i+1)
					if !yield(call, nil) {
						return
					}
				}
			default:
			}
		}
		for _, a := range open {
			if !yield(ToolCall{Use: a.use}, nil) {
				return
			}
		}
		if failure != nil {
			yield(ToolCall{}, failure)
		}
	}
}

// ToolResults gives the results of tools; with names, of those tools alone.
func ToolResults(messages Messages, names []string, options ...Option) iter.Seq2[*protocol.ToolResultBlock, error] {
	return func(yield func(*protocol.ToolResultBlock, error) bool) {
		for call, err := range ToolCalls(messages, names, options...) {
			if err != nil {
				yield(nil, err)
				return
			}
			if call.Result != nil && !yield(call.Result, nil) {
				return
			}
		}
	}
}

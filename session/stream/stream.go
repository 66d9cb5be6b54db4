package stream

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/understudy-run/understudy/session/protocol"
)

// Messages are the messages of a turn, as Session.Query returns them.
type Messages = iter.Seq2[protocol.Message, error]

// Option says whose messages a helper looks at.
type Option func(*scope)

type scope struct{ from func(parent *string) bool }

// Everyone has the subagents' messages looked at as well as the main conversation's.
func Everyone() Option {
	return func(s *scope) { s.from = func(*string) bool { return true } }
}

// Subagent has the messages of one subagent looked at alone: of the one that the tool use of that id started.
func Subagent(toolUseID string) Option {
	return func(s *scope) { s.from = func(parent *string) bool { return parent != nil && *parent == toolUseID } }
}

func scopeOf(options []Option) scope {
	s := scope{from: func(parent *string) bool { return parent == nil }}
	for _, o := range options {
		o(&s)
	}
	return s
}

// each gives what f finds in each message. f returns false to end the sequence.
func each[T any](messages Messages, f func(m protocol.Message, yield func(T) bool) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for m, err := range messages {
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			if !f(m, func(v T) bool { return yield(v, nil) }) {
				return
			}
		}
	}
}

// OfType gives the messages of one type:
//
//	for event, err := range stream.OfType[*protocol.TaskEvent](messages) { … }
func OfType[M protocol.Message](messages Messages) iter.Seq2[M, error] {
	return each(messages, func(m protocol.Message, yield func(M) bool) bool {
		if found, ok := m.(M); ok {
			return yield(found)
		}
		return true
	})
}

// OfKind gives the messages of these kinds, such as assistant or system/init; a type alone stands for all its subtypes.
func OfKind(messages Messages, kinds ...string) Messages {
	return each(messages, func(m protocol.Message, yield func(protocol.Message) bool) bool {
		kind := m.Kind()
		for _, k := range kinds {
			if kind == k || strings.HasPrefix(kind, k+"/") {
				return yield(m)
			}
		}
		return true
	})
}

// UntilResult ends behind the first result. What Session.Query returns does so by itself; use it for what Watch gives,
// or for messages from a file.
func UntilResult(messages Messages) Messages {
	return each(messages, func(m protocol.Message, yield func(protocol.Message) bool) bool {
		_, last := m.(*protocol.Result)
		return yield(m) && !last
	})
}

// Tap calls f with each message before it is passed on.
func Tap(messages Messages, f func(protocol.Message)) Messages {
	return each(messages, func(m protocol.Message, yield func(protocol.Message) bool) bool {
		f(m)
		return yield(m)
	})
}

// Events gives the events of partial messages (IncludePartialMessages); with types, such as content_block_delta, those
// alone. An event that cannot be read is an error that ends the sequence.
func Events(messages Messages, types []string, options ...Option) iter.Seq2[protocol.Event, error] {
	s := scopeOf(options)
	return func(yield func(protocol.Event, error) bool) {
		for m, err := range OfType[*protocol.StreamEvent](messages) {
			if err != nil {
				yield(protocol.Event{}, err)
				return
			}
			if !s.from(m.ParentToolUseID) {
				continue
			}
			e, err := m.Parse()
			if err != nil {
				yield(protocol.Event{}, fmt.Errorf("read partial message: %w", err))
				return
			}
			if (len(types) == 0 || slices.Contains(types, e.Type)) && !yield(e, nil) {
				return
			}
		}
	}
}

// Blocks gives the content blocks of the assistant's messages, each when it is complete.
func Blocks(messages Messages, options ...Option) iter.Seq2[protocol.ContentBlock, error] {
	s := scopeOf(options)
	return each(messages, func(m protocol.Message, yield func(protocol.ContentBlock) bool) bool {
		a, ok := m.(*protocol.Assistant)
		if !ok || !s.from(a.ParentToolUseID) {
			return true
		}
		for _, b := range a.Message.Content {
			if !yield(b) {
				return false
			}
		}
		return true
	})
}

// blocks gives the blocks of one type.
func blocks[B protocol.ContentBlock, T any](messages Messages, options []Option, value func(B) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for block, err := range Blocks(messages, options...) {
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			if b, ok := block.(B); ok && !yield(value(b), nil) {
				return
			}
		}
	}
}

// Text gives the text of the answer, block by block.
func Text(messages Messages, options ...Option) iter.Seq2[string, error] {
	return blocks(messages, options, func(b *protocol.TextBlock) string { return b.Text })
}

// Thinking gives the model's reasoning, block by block.
func Thinking(messages Messages, options ...Option) iter.Seq2[string, error] {
	return blocks(messages, options, func(b *protocol.ThinkingBlock) string { return b.Thinking })
}

// ToolUses gives the tools that the model asked for. Whether one ran, its result says.
func ToolUses(messages Messages, options ...Option) iter.Seq2[*protocol.ToolUseBlock, error] {
	return blocks(messages, options, func(b *protocol.ToolUseBlock) *protocol.ToolUseBlock { return b })
}

// TextDeltas gives the text of the answer as it is written. Without partial messages (IncludePartialMessages) in the
// stream, it gives what Text gives; nothing comes twice.
func TextDeltas(messages Messages, options ...Option) iter.Seq2[string, error] {
	return deltas(messages, options, (*protocol.StreamEvent).TextDelta, func(b *protocol.TextBlock) string { return b.Text })
}

// ThinkingDeltas gives the model's reasoning as it is written, or block by block, as TextDeltas does.
func ThinkingDeltas(messages Messages, options ...Option) iter.Seq2[string, error] {
	return deltas(messages, options, (*protocol.StreamEvent).ThinkingDelta, func(b *protocol.ThinkingBlock) string { return b.Thinking })
}

func deltas[B protocol.ContentBlock](messages Messages, options []Option,
	delta func(*protocol.StreamEvent) (string, bool), text func(B) string) iter.Seq2[string, error] {
	s := scopeOf(options)
	return func(yield func(string, error) bool) {
		// By conversation: the message of which a block is being written. Its frame comes behind its last delta. If it never
		// comes, as the connection to the API broke, the next frame is another message's, or the CLI's own.
		written := make(map[string]string)
		for m, err := range messages {
			if err != nil {
				yield("", err)
				return
			}
			switch m := m.(type) {
			case *protocol.StreamEvent:
				if !s.from(m.ParentToolUseID) {
					continue
				}
				if d, ok := delta(m); ok {
					written[key(m.ParentToolUseID)] = m.APIMessageID
					if !yield(d, nil) {
						return
					}
				}
			case *protocol.Assistant:
				if !s.from(m.ParentToolUseID) {
					continue
				}
				for _, block := range m.Message.Content {
					b, ok := block.(B)
					if !ok {
						continue
					}
					id, was := written[key(m.ParentToolUseID)]
					delete(written, key(m.ParentToolUseID))
					if was && m.Message.Model != protocol.SyntheticModel && same(id, m.Message.ID) {
						continue
					}
					if !yield(text(b), nil) {
						return
					}
				}
			default:
			}
		}
	}
}

// same says whether ids are those of one message, as far as they are known.
func same(id, other string) bool { return id == "" || other == "" || id == other }

func key(parent *string) string {
	if parent == nil {
		return ""
	}
	return *parent
}

// FinalResult reads to the end and returns the result. It is there beside the error of a turn that failed (a
// *session.ResultError, say); it is nil if the turn came to none. Of messages of several turns it is the last one.
func FinalResult(messages Messages) (*protocol.Result, error) {
	var result *protocol.Result
	for m, err := range messages {
		if err != nil {
			return result, err
		}
		if r, ok := m.(*protocol.Result); ok {
			result = r
		}
	}
	if result == nil {
		return nil, ErrNoResult
	}
	return result, nil
}

// ErrNoResult says that the messages ended without a result.
var ErrNoResult = errors.New("the turn came to no result")

// FinalText reads to the end and returns the result's text: the last thing the model said, without what was retracted.
func FinalText(messages Messages) (string, error) {
	result, err := FinalResult(messages)
	if result == nil {
		return "", err
	}
	return result.Result, err
}

package stream

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/understudy-run/understudy/session/protocol"
)

// Assembler puts the messages of the model together from partial ones (protocol.StreamEvent): each as a whole, under one
// id, with its final usage and stop reason, which the assistant frames, one per block, do not have. The zero value is ready.
// It is not safe for concurrent use.
type Assembler struct {
	open map[string]*assembly // by conversation: subagents write at the same time
}

type assembly struct {
	message protocol.AssistantMessage
	blocks  []*growing
}

// growing is a block that is being written.
type growing struct {
	start     json.RawMessage
	text      []byte // of text, thinking, compaction and tool input
	signature string
	encrypted *string
	citations []json.RawMessage
}

// Add takes an event. When a message is complete it is returned, otherwise nil. An error says that the event does not
// belong where it came; the message it was for is dropped.
func (a *Assembler) Add(m *protocol.StreamEvent) (*protocol.AssistantMessage, error) {
	e, err := m.Parse()
	if err != nil {
		return nil, err
	}
	where := key(m.ParentToolUseID)
	open := a.open[where]
	if open == nil && e.Type != "message_start" {
		switch e.Type {
		case "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop":
			return nil, fmt.Errorf("assemble message: %s without a message_start", e.Type)
		}
		return nil, nil // ping, error and what is to come
	}
	switch e.Type {
	case "message_start":
		open = &assembly{}
		if err := json.Unmarshal(e.Message, &open.message); err != nil {
			return nil, fmt.Errorf("assemble message: %w", err)
		}
		open.message.Content = nil
		if a.open == nil {
			a.open = make(map[string]*assembly)
		}
		a.open[where] = open // one that was cut off before is gone
	case "content_block_start":
		if e.Index != len(open.blocks) {
			delete(a.open, where)
			return nil, fmt.Errorf("assemble message %s: block %d begins where %d is due", open.message.ID, e.Index, len(open.blocks))
		}
		open.blocks = append(open.blocks, &growing{start: e.ContentBlock})
	case "content_block_delta":
		if e.Index < 0 || e.Index >= len(open.blocks) {
			delete(a.open, where)
			return nil, fmt.Errorf("assemble message %s: a piece of block %d, which has not begun", open.message.ID, e.Index)
		}
		open.blocks[e.Index].add(e.Delta)
	case "message_delta":
		if e.Delta.StopReason != nil {
			open.message.StopReason = e.Delta.StopReason
		}
		if e.Delta.StopSequence != nil {
			open.message.StopSequence = e.Delta.StopSequence
		}
		open.message.Usage = later(open.message.Usage, e.Usage)
	case "message_stop":
		delete(a.open, where)
		return open.snapshot()
	}
	return nil, nil
}

// Snapshot is the message that is being written, as far as it has come: the main conversation's, or that of the subagent
// which the tool use of that id started. nil if none is being written.
func (a *Assembler) Snapshot(parentToolUseID string) (*protocol.AssistantMessage, error) {
	if open := a.open[parentToolUseID]; open != nil {
		return open.snapshot()
	}
	return nil, nil
}

func (g *growing) add(d protocol.Delta) {
	switch d.Type {
	case "text_delta":
		g.text = append(g.text, d.Text...)
	case "thinking_delta":
		g.text = append(g.text, d.Thinking...)
	case "signature_delta":
		g.signature += d.Signature
	case "input_json_delta":
		g.text = append(g.text, d.PartialJSON...)
	case "citations_delta":
		g.citations = append(g.citations, d.Citation)
	case "compaction_delta":
		if d.Content != nil {
			g.text = append(g.text, *d.Content...)
		}
		if d.EncryptedContent != nil {
			g.encrypted = d.EncryptedContent
		}
	}
}

// block is what the pieces make, so far.
func (g *growing) block() (protocol.ContentBlock, error) {
	var content protocol.Content
	if err := content.UnmarshalJSON(slices.Concat([]byte{'['}, g.start, []byte{']'})); err != nil {
		return nil, err
	}
	if len(content.Blocks()) != 1 {
		return nil, fmt.Errorf("a block begins with %q", g.start)
	}
	block := content.Blocks()[0]
	switch b := block.(type) {
	case *protocol.TextBlock:
		b.Text += string(g.text)
		if g.citations != nil {
			list, err := json.Marshal(g.citations)
			if err != nil {
				return nil, err
			}
			b.Citations = list
		}
	case *protocol.ThinkingBlock:
		b.Thinking += string(g.text)
		b.Signature += g.signature
	case *protocol.ToolUseBlock:
		b.Input = g.input(b.Input)
	case *protocol.ServerToolUseBlock:
		b.Input = g.input(b.Input)
	case *protocol.MCPToolUseBlock:
		b.Input = g.input(b.Input)
	case *protocol.CompactionBlock:
		if len(g.text) > 0 {
			text := string(g.text)
			b.Content = &text
		}
		if g.encrypted != nil {
			b.EncryptedContent = g.encrypted
		}
	default: // whole from its start
	}
	return block, nil
}

// input is a tool's input. Half of one is no JSON: until it is whole, the start's stands.
func (g *growing) input(start json.RawMessage) json.RawMessage {
	if json.Valid(g.text) {
		return slices.Clone(g.text)
	}
	return start
}

func (a *assembly) snapshot() (*protocol.AssistantMessage, error) {
	m := a.message
	m.Content = make([]protocol.ContentBlock, 0, len(a.blocks))
	for i, g := range a.blocks {
		b, err := g.block()
		if err != nil {
			return nil, fmt.Errorf("assemble message %s: block %d: %w", m.ID, i, err)
		}
		m.Content = append(m.Content, b)
	}
	return &m, nil
}

// later is the usage after a message_delta, which repeats some counts and leaves out others.
func later(was protocol.Usage, delta json.RawMessage) protocol.Usage {
	var now struct {
		InputTokens              *int64 `json:"input_tokens"`
		OutputTokens             *int64 `json:"output_tokens"`
		CacheCreationInputTokens *int64 `json:"cache_creation_input_tokens"`
		CacheReadInputTokens     *int64 `json:"cache_read_input_tokens"`
	}
	if json.Unmarshal(delta, &now) != nil {
		return was
	}
	for _, count := range []struct {
		to   *int64
		from *int64
	}{
		{&was.InputTokens, now.InputTokens}, {&was.OutputTokens, now.OutputTokens},
		{&was.CacheCreationInputTokens, now.CacheCreationInputTokens}, {&was.CacheReadInputTokens, now.CacheReadInputTokens},
	} {
		if count.from != nil {
			*count.to = *count.from
		}
	}
	return was
}

// Assemble gives the model's messages whole: from partial messages where there are some, each when it is complete, else the
// assistant's frames as they are. A message that is cut off comes as far as it has come: before the result of a turn that was
// interrupted, or before the error that ends the messages.
func Assemble(messages Messages, options ...Option) iter.Seq2[*protocol.AssistantMessage, error] {
	s := scopeOf(options)
	return func(yield func(*protocol.AssistantMessage, error) bool) {
		var a Assembler
		pieces := make(map[string]string) // by conversation: the message that came last in pieces
		rest := func() bool {
			for _, where := range slices.Sorted(maps.Keys(a.open)) {
				cut, err := a.Snapshot(where)
				if !yield(cut, err) || err != nil {
					return false
				}
			}
			a = Assembler{}
			return true
		}
		for m, err := range messages {
			if err != nil {
				if rest() {
					yield(nil, err)
				}
				return
			}
			switch m := m.(type) {
			case *protocol.StreamEvent:
				if !s.from(m.ParentToolUseID) {
					continue
				}
				where := key(m.ParentToolUseID)
				whole, err := a.Add(m)
				if err != nil {
					yield(nil, err)
					return
				}
				switch open := a.open[where]; {
				case open != nil:
					pieces[where] = open.message.ID
				case whole != nil:
					pieces[where] = whole.ID
				}
				if whole != nil && !yield(whole, nil) {
					return
				}
			case *protocol.Assistant:
				where := key(m.ParentToolUseID)
				if !s.from(m.ParentToolUseID) {
					continue
				}
				// Of a conversation in pieces the CLI's own texts have no pieces, and neither has an answer that was asked for again
				// when its pieces broke off.
				if id, partial := pieces[where]; partial && m.Message.Model != protocol.SyntheticModel {
					if same(id, m.Message.ID) {
						continue
					}
					delete(a.open, where)
				}
				if !yield(&m.Message, nil) {
					return
				}
			case *protocol.Result:
				if !rest() {
					return
				}
			default:
			}
		}
		rest()
	}
}

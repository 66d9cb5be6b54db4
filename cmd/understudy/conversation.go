package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// conversation shows what a session says and does, as it does it.
type conversation struct {
	out    io.Writer
	screen terminal
	name   string

	busy         bool
	interrupting bool // somebody has asked for the end of the turn
	partial      bool // the line is not over
	prompted     bool // the line is the prompt's
	tools        map[string]time.Time
	err          error // of the output
}

func newConversation(out io.Writer, name string) *conversation {
	return &conversation{out: out, screen: terminalOf(out), name: name, tools: make(map[string]time.Time)}
}

func (v *conversation) write(text string) {
	if v.err == nil {
		_, v.err = io.WriteString(v.out, text)
	}
}

// line writes a line of its own.
func (v *conversation) line(text string) {
	switch {
	case v.partial:
		v.write("\n")
	case v.prompted:
		v.write("\r\x1b[K")
	}
	v.partial, v.prompted = false, false
	v.write(text + "\n")
}

func (v *conversation) note(text string) { v.line(v.screen.tint(dimTone, "· "+text)) }

func (v *conversation) problem(err error) {
	v.line(v.screen.tint(badTone, "✖ "+v.screen.shown(err.Error())))
	v.busy = false
	v.prompt()
}

// prompt shows, on a terminal, that it is the user's turn.
func (v *conversation) prompt() {
	if v.screen.is && !v.busy && !v.partial {
		v.write("\r\x1b[K" + v.screen.tint("1", v.name+"> "))
		v.prompted = true
	}
}

func (v *conversation) greet(n debug.Node) {
	if v.screen.is {
		v.note(fmt.Sprintf("%s is %s; Ctrl-C interrupts a turn, twice detaches, Ctrl-D detaches", v.name, n.State))
		v.prompt()
	}
}

func (v *conversation) leave() {
	if v.screen.is {
		v.note("detached; " + v.name + " goes on")
	}
}

func (v *conversation) begun() { v.busy = true }

// show takes a frame.
func (v *conversation) show(w debug.Watched) error {
	m, err := protocol.Decode(w.Frame)
	if err != nil {
		v.note("a frame cannot be read: " + v.screen.shown(err.Error()))
		return v.err
	}
	switch m := m.(type) {
	case *protocol.Init:
		v.begun()
		if w.Own {
			v.note(fmt.Sprintf("turn %d began by itself", w.Turn))
		}
	case *protocol.StreamEvent:
		if text, ok := m.TextDelta(); ok && m.ParentToolUseID == nil {
			if v.prompted {
				v.line("")
			}
			v.partial = true
			v.write(v.screen.shown(text))
		}
	case *protocol.Assistant:
		v.assistant(m)
	case *protocol.User:
		v.results(m)
	case *protocol.APIRetry:
		v.line(v.screen.tint(warnTone, fmt.Sprintf("· the model is asked again, attempt %d: %s", m.Attempt, v.screen.shown(m.Error))))
	case *protocol.ModelRefusalFallback:
		v.line(v.screen.tint(warnTone, "· "+v.screen.shown(m.OriginalModel)+" will not go on, and what it began is taken back; "+v.screen.shown(m.FallbackModel)+" answers instead"))
	case *protocol.Result:
		v.result(m)
	default: // nothing that a person would want to see
	}
	return v.err
}

func (v *conversation) assistant(m *protocol.Assistant) {
	indent := ""
	if m.ParentToolUseID != nil {
		indent = "  " // a subagent's
	}
	streamed := v.partial
	for _, block := range m.Message.Content {
		switch block := block.(type) {
		case *protocol.TextBlock:
			if streamed { // it was shown as it came
				v.write("\n")
				v.partial, streamed = false, false
				break
			}
			if indent == "" {
				v.line(v.screen.shown(block.Text))
			}
		case *protocol.ToolUseBlock:
			v.tools[block.ID] = time.Now()
			v.line(indent + v.screen.tint("36", "· "+v.screen.shown(block.Name)) + " " + v.screen.shown(argumentOf(block.Input)))
		default:
		}
	}
}

func (v *conversation) results(m *protocol.User) {
	if m.IsReplay {
		return
	}
	for _, block := range m.Message.Content.Blocks() {
		result, ok := block.(*protocol.ToolResultBlock)
		if !ok {
			continue
		}
		took := ""
		if begun, ok := v.tools[result.ToolUseID]; ok {
			took = " " + time.Since(begun).Round(time.Millisecond).String()
			delete(v.tools, result.ToolUseID)
		}
		mark, tone := "✓", goodTone
		if result.IsError {
			mark, tone = "✖", badTone
		}
		first, more, _ := strings.Cut(strings.TrimSpace(result.Content.Text()), "\n")
		if more != "" {
			first += fmt.Sprintf(" … %d lines more", strings.Count(more, "\n")+1)
		}
		v.line("  " + v.screen.tint(tone, mark+took) + " " + v.screen.tint(dimTone, v.screen.shown(cutRunes(first, 200))))
	}
}

func (v *conversation) result(m *protocol.Result) {
	interrupted := v.interrupting
	v.busy, v.interrupting = false, false
	took := (time.Duration(m.DurationMS) * time.Millisecond).Round(100 * time.Millisecond)
	if m.Failed() {
		text := m.Result
		switch {
		case interrupted:
			text = "the turn was interrupted"
		case text == "":
			text = strings.Join(append([]string{m.Subtype}, m.Errors...), ": ")
		}
		v.line(v.screen.tint(badTone, "✖ "+v.screen.shown(text)))
	} else if v.screen.is {
		v.note(fmt.Sprintf("%v, %s", took, count(m.NumTurns, "model call")))
	}
	v.prompt()
}

// argumentOf is a tool's input in one line.
func argumentOf(input json.RawMessage) string {
	var fields map[string]any
	if json.Unmarshal(input, &fields) == nil {
		for _, key := range []string{"command", "file_path", "path", "pattern", "url", "query", "description", "prompt"} {
			if text, ok := fields[key].(string); ok && text != "" {
				return cutRunes(strings.Join(strings.Fields(text), " "), 160)
			}
		}
	}
	return cutRunes(string(input), 160)
}

func cutRunes(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

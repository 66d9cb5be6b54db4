package sessiontest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// directive is one [[name]] or [[name:argument]] of a prompt.
type directive struct {
	name string
	arg  string
}

// directives returns the directives of a text in order. What is no well-formed directive is plain text.
func directives(text string) []directive {
	var found []directive
	for {
		open := strings.Index(text, "[[")
		if open < 0 {
			return found
		}
		d, rest, ok := scanDirective(text[open+2:])
		if !ok {
			text = text[open+1:]
			continue
		}
		found, text = append(found, d), rest
	}
}

// scanDirective reads what follows an opening "[[". An argument that contains a JSON object is read as JSON, so that
// "]]" and nested directives inside its strings belong to it.
func scanDirective(text string) (d directive, rest string, ok bool) {
	end := 0
	for end < len(text) && (text[end] >= 'a' && text[end] <= 'z' || text[end] >= '0' && text[end] <= '9') {
		end++
	}
	if end == 0 {
		return directive{}, text, false
	}
	d.name = text[:end]
	text = text[end:]
	if after, found := strings.CutPrefix(text, "]]"); found {
		return d, after, true
	}
	text, ok = strings.CutPrefix(text, ":")
	if !ok {
		return directive{}, text, false
	}
	skip := 0
	if brace, closing := strings.IndexByte(text, '{'), strings.Index(text, "]]"); brace >= 0 && (closing < 0 || brace < closing) {
		dec := json.NewDecoder(strings.NewReader(text[brace:]))
		var object json.RawMessage
		if dec.Decode(&object) == nil {
			skip = brace + int(dec.InputOffset())
		}
	}
	closing := strings.Index(text[skip:], "]]")
	if closing < 0 {
		return directive{}, text, false
	}
	d.arg = strings.TrimSpace(text[:skip+closing])
	return d, text[skip+closing+2:], true
}

// words splits an argument into its first word and the rest.
func (d directive) words() (first, rest string) {
	first, rest, _ = strings.Cut(d.arg, " ")
	return first, strings.TrimSpace(rest)
}

// parseDuration reads a Go duration, or a plain number of seconds.
func parseDuration(s string) (time.Duration, bool) {
	if seconds, err := strconv.ParseFloat(s, 64); err == nil && seconds >= 0 {
		return time.Duration(seconds * float64(time.Second)), true
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}

// toolCall is a tool use that the scripted model asks for.
type toolCall struct {
	name  string
	input json.RawMessage
	ask   bool // the simulation asks the host even where a rule would decide
}

// call is one answer of the scripted model.
type call struct {
	before   []directive   // what happens before the answer, in order: sleep, crash, garbage, …
	status   int           // an HTTP error instead of an answer; 0 for none
	failures int           // how often it fails before it works; 0 for always
	tools    []toolCall    // what it uses; empty for the final text
	text     string        // final text; empty for "echo: <prompt>"
	history  bool          // answer with the earlier prompts
	slow     time.Duration // the final text comes in pieces over this time
	crash    string        // a moment at which the simulation dies: early, answer, result
	after    []directive   // frames that the simulation says when the turn is over and it is idle
	refuses  []string      // a model that will not answer, and the category that it names
	suggests string        // what the user may say next
	nofinish bool          // the simulation gives the text, and never the result
}

// delay is how long the model thinks: the stand-in's part of what happens before an answer.
func (c call) delay() time.Duration {
	var sum time.Duration
	for _, d := range c.before {
		if wait, ok := parseDuration(d.arg); d.name == "sleep" && ok {
			sum += wait
		}
	}
	return sum
}

// script returns the model's n-th answer (0 is the first) to a prompt. The simulation acts on directives that are about the
// CLI itself; with the real CLI they are turned into what makes it do the same, or mean nothing.
func script(prompt string, n int, simulated bool) call {
	var c call
	at := 0 // how many tools the directives so far have used
	for _, d := range directives(prompt) {
		switch d.name {
		case "say":
			c.text = d.arg
		case "history":
			c.history = true
		case "slow":
			c.slow, _ = parseDuration(d.arg)
		case "hugeline":
			if size, err := strconv.Atoi(d.arg); err == nil && size > 0 {
				c.text = strings.Repeat("x", size)
			}
		case "suggest":
			c.suggests = d.arg
		case "nofinish":
			c.nofinish = true
		case "refuse":
			if model, category := d.words(); category != "" {
				c.refuses = []string{model, category}
			}
		case "status", "error":
			code, times := d.words()
			if status, err := strconv.Atoi(code); err == nil && status >= 400 && status <= 599 && at == n {
				c.status = status
				c.failures, _ = strconv.Atoi(times)
			}
		case "after":
			c.after = append(c.after, d)
		case "crash":
			if d.arg != "" {
				c.crash = d.arg
			} else if at == n {
				c.before = append(c.before, d)
			}
		case "sleep", "exit", "hang", "linger", "flush", "garbage", "torn", "unknown", "stderr", "frame":
			if at == n {
				c.before = append(c.before, d)
			}
		case "selfturn":
			switch {
			case simulated && at == n:
				c.before = append(c.before, d)
			case !simulated && at == n:
				c.tools = []toolCall{d.backgroundTool()}
				return c
			case !simulated:
				at++
			}
		case "loop":
			// The model of a runaway agent: one more tool call, for ever or n times.
			limit, err := strconv.Atoi(d.arg)
			if n >= at && (err != nil || n < at+limit) {
				c.tools = []toolCall{{name: "Bash", input: json.RawMessage(`{"command":"echo loop"}`)}}
				return c
			}
			at += limit
		case "tool", "ask":
			use, err := parseTool(d)
			if err != nil {
				continue
			}
			if at == n {
				c.tools = []toolCall{use}
				return c
			}
			at++
		case "tools":
			uses := parseTools(d.arg)
			// Results are counted one by one: a round of several tools is over when all of them answered.
			if n < at+len(uses) {
				if n == at {
					c.tools = uses
				}
				return c
			}
			at += len(uses)
		}
	}
	return c
}

// selfTurn reads "delay text", or "delay" and an object with the prompt of the turn (which may then hold directives).
func (d directive) selfTurn() (delay time.Duration, prompt string) {
	first, rest := d.words()
	delay, ok := parseDuration(first)
	if !ok {
		delay, rest = 0, d.arg
	}
	var object struct {
		Prompt string `json:"prompt"`
	}
	if json.Unmarshal([]byte(rest), &object) == nil {
		rest = object.Prompt
	}
	return delay, rest
}

// backgroundTool is what makes the real CLI start a turn by itself: a shell in the background, the end of which wakes the
// model. Its description comes back in the notice.
func (d directive) backgroundTool() toolCall {
	delay, prompt := d.selfTurn()
	input, err := json.Marshal(map[string]any{
		"command":           fmt.Sprintf("read -t %.3f < /dev/zero; true", max(delay, time.Millisecond).Seconds()),
		"run_in_background": true,
		"description":       prompt,
	})
	if err != nil {
		input = []byte("{}") // cannot happen: strings and a bool
	}
	return toolCall{name: "Bash", input: input}
}

func parseTool(d directive) (toolCall, error) {
	name, input := d.words()
	if input == "" {
		input = "{}"
	}
	if name == "" || !json.Valid([]byte(input)) {
		return toolCall{}, fmt.Errorf("directive [[%s:%s]]: want a tool name and a JSON object", d.name, d.arg)
	}
	return toolCall{name: name, input: json.RawMessage(input), ask: d.name == "ask"}, nil
}

// parseTools reads the argument of [[tools:{"use":[{"name":"Read","input":{…}},…]}]].
func parseTools(arg string) []toolCall {
	var list struct {
		Use []struct {
			Name  string          `json:"name"`
			Input json.RawMessage `json:"input"`
		} `json:"use"`
	}
	if json.Unmarshal([]byte(arg), &list) != nil {
		return nil
	}
	var uses []toolCall
	for _, u := range list.Use {
		if u.Input == nil {
			u.Input = json.RawMessage("{}")
		}
		uses = append(uses, toolCall{name: u.Name, input: u.Input})
	}
	return uses
}

// answer is the model's final text to a prompt.
func (c call) answer(prompt string, earlier []string) string {
	switch {
	case c.history:
		return "history: " + strings.Join(earlier, " | ")
	case c.text != "":
		return c.text
	}
	return "echo: " + prompt
}

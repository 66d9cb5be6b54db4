package sessiontest

import (
	"encoding/json"
	"strings"
)

// Message is one entry of the conversation that a model call carried.
type Message struct {
	Role        string       // user or assistant
	Texts       []string     // the text blocks, without the <system-reminder> blocks that the CLI adds
	ToolUses    []ToolUse    // the tools that the model asked for
	ToolResults []ToolResult // the answers to them
}

// ToolUse is a tool that the model asked for.
type ToolUse struct {
	ID    string
	Name  string
	Input json.RawMessage
}

// ToolResult is what a tool answered.
type ToolResult struct {
	ToolUseID string
	Text      string
	IsError   bool
}

// wireMessage is a message of the Messages API.
type wireMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// wireBlock is a content block of the Messages API, with the fields of all kinds that matter here.
type wireBlock struct {
	Type      string          `json:"type"`
	Text      string          `json:"text,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Input     json.RawMessage `json:"input,omitempty"`
	ToolUseID string          `json:"tool_use_id,omitempty"`
	Content   json.RawMessage `json:"content,omitempty"`
	IsError   bool            `json:"is_error,omitempty"`

	refusal string // the category of what the model will not do
}

// blocksOf reads content that may be a string or a list of blocks.
func blocksOf(content json.RawMessage) []wireBlock {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return []wireBlock{{Type: "text", Text: text}}
	}
	var blocks []wireBlock
	_ = json.Unmarshal(content, &blocks) // what is neither has no blocks
	return blocks
}

// textOf joins the text of content.
func textOf(content json.RawMessage) string {
	var texts []string
	for _, b := range blocksOf(content) {
		if b.Type == "text" {
			texts = append(texts, b.Text)
		}
	}
	return strings.Join(texts, "\n")
}

func parseMessages(wire []wireMessage) []Message {
	messages := make([]Message, 0, len(wire))
	for _, w := range wire {
		m := Message{Role: w.Role}
		for _, b := range blocksOf(w.Content) {
			switch b.Type {
			case "text":
				if text := plainText(b.Text); text != "" {
					m.Texts = append(m.Texts, text)
				}
			case "tool_use":
				m.ToolUses = append(m.ToolUses, ToolUse{ID: b.ID, Name: b.Name, Input: b.Input})
			case "tool_result":
				m.ToolResults = append(m.ToolResults, ToolResult{ToolUseID: b.ToolUseID, Text: textOf(b.Content), IsError: b.IsError})
			}
		}
		messages = append(messages, m)
	}
	return messages
}

// Tags of the text that the CLI, not a person, puts into user messages.
const (
	reminderTag     = "<system-reminder>"
	notificationTag = "<task-notification>"
	notificationEnd = "</task-notification>"
	imageNote       = "[Image: source: " // and where it has put the image
)

// plainText is a text block without what the CLI added to it. The notice that a background task ended comes as a reminder
// too; it is kept, being the prompt of the turn that the CLI starts for it.
func plainText(text string) string {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, imageNote) && strings.HasSuffix(text, "]") {
		return ""
	}
	if !strings.HasPrefix(text, reminderTag) {
		return text
	}
	_, text, found := strings.Cut(text, notificationTag)
	if !found {
		return ""
	}
	text, _, _ = strings.Cut(text, notificationEnd)
	return notificationTag + text + notificationEnd
}

// interrupted starts the texts that the CLI itself writes into the conversation when a turn is cut.
const interrupted = "[Request interrupted by user"

// situation is where a conversation stands: the newest plain prompt, how many tools answered since, and the prompts before.
type situation struct {
	prompt  string
	results int
	earlier []string
}

func situate(messages []Message) situation {
	var s situation
	for _, m := range messages {
		if m.Role != "user" {
			continue
		}
		for _, text := range m.Texts {
			if strings.HasPrefix(text, interrupted) {
				continue
			}
			if s.prompt != "" && !strings.HasPrefix(s.prompt, notificationTag) {
				s.earlier = append(s.earlier, s.prompt)
			}
			s.prompt, s.results = text, 0
		}
		// The CLI puts the results in front of a text that joins the running turn: they belong to the prompt before it.
		if len(m.Texts) == 0 {
			s.results += len(m.ToolResults)
		}
	}
	return s
}

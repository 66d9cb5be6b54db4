package session

import (
	"fmt"
	"slices"
	"strings"
)

// Thinking says whether and how the model thinks before it answers.
type Thinking struct {
	// Type is adaptive (the model decides), enabled (with a budget, for older models) or disabled, which the latest models
	// cannot be: for them the CLI says adaptive all the same.
	Type ThinkingType `json:"type,omitzero"`
	// BudgetTokens bounds enabled thinking. 0: the CLI's default.
	BudgetTokens int `json:"budget_tokens,omitzero"`
	// Display is what is shown of it: summarized, omitted or highlights. Empty: the CLI's default.
	Display ThinkingDisplay `json:"display,omitzero"`
}

type (
	// ThinkingType is how the model thinks.
	ThinkingType string
	// ThinkingDisplay is what is shown of its thinking.
	ThinkingDisplay string
	// Effort is how hard the model works.
	Effort string
	// PermissionPrompts says who is asked permission questions.
	PermissionPrompts string
)

// The words of the options.
const (
	ThinkingAdaptive ThinkingType = "adaptive"
	ThinkingEnabled  ThinkingType = "enabled"
	ThinkingDisabled ThinkingType = "disabled"

	DisplaySummarized ThinkingDisplay = "summarized"
	DisplayOmitted    ThinkingDisplay = "omitted"
	DisplayHighlights ThinkingDisplay = "highlights"

	EffortLow    Effort = "low"
	EffortMedium Effort = "medium"
	EffortHigh   Effort = "high"
	EffortXHigh  Effort = "xhigh"
	EffortMax    Effort = "max"

	PromptsHost PermissionPrompts = "host"
	PromptsNone PermissionPrompts = "none"
)

var (
	thinkingTypes     = []ThinkingType{ThinkingAdaptive, ThinkingEnabled, ThinkingDisabled}
	thinkingDisplays  = []ThinkingDisplay{DisplaySummarized, DisplayOmitted, DisplayHighlights}
	efforts           = []Effort{EffortLow, EffortMedium, EffortHigh, EffortXHigh, EffortMax}
	permissionPrompts = []PermissionPrompts{PromptsHost, PromptsNone}
)

// ThinkingTypes are the words of Thinking.Type.
func ThinkingTypes() []ThinkingType { return slices.Clone(thinkingTypes) }

// ThinkingDisplays are the words of Thinking.Display.
func ThinkingDisplays() []ThinkingDisplay { return slices.Clone(thinkingDisplays) }

// Efforts are the levels of effort, from the least.
func Efforts() []Effort { return slices.Clone(efforts) }

// PermissionPromptsWords are the words of Options.PermissionPrompts.
func PermissionPromptsWords() []PermissionPrompts { return slices.Clone(permissionPrompts) }

// UnmarshalText takes one of the words.
func (v *ThinkingType) UnmarshalText(text []byte) error {
	return unmarshalWord(v, "thinking", text, thinkingTypes)
}

// UnmarshalText takes one of the words.
func (v *ThinkingDisplay) UnmarshalText(text []byte) error {
	return unmarshalWord(v, "thinking display", text, thinkingDisplays)
}

// UnmarshalText takes one of the levels.
func (v *Effort) UnmarshalText(text []byte) error { return unmarshalWord(v, "effort", text, efforts) }

// UnmarshalText takes one of the words.
func (v *PermissionPrompts) UnmarshalText(text []byte) error {
	return unmarshalWord(v, "permission prompts", text, permissionPrompts)
}

func (v Effort) valid() bool { return v == "" || slices.Contains(efforts, v) }

func effortWords() string { return orWords(efforts) }

func unmarshalWord[W ~string](to *W, what string, text []byte, words []W) error {
	if w := W(text); slices.Contains(words, w) {
		*to = w
		return nil
	}
	return fmt.Errorf("%s %q: expected %s", what, cut(string(text), 40), orWords(words))
}

func orWords[W ~string](words []W) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	last := len(texts) - 1
	return strings.Join(texts[:last], ", ") + " or " + texts[last]
}

// OutputFormat is the shape of a turn's answer.
type OutputFormat struct {
	// Type is json_schema. Empty is the same if there is a Schema.
	Type string `json:"type,omitzero"`
	// Schema is a JSON Schema of an object.
	Schema map[string]any `json:"schema,omitzero"`
}

// OutputJSONSchema is the one type of OutputFormat.
const OutputJSONSchema = "json_schema"

// IsZero reports whether there is none.
func (f OutputFormat) IsZero() bool { return f.Type == "" && f.Schema == nil }

// Plugin is a plugin of the CLI on this machine.
type Plugin struct {
	// Path is a directory, a folder of plugins or a .zip file. Required.
	Path string `json:"path,omitzero"`
	// SkipMCPDiscovery leaves its MCP servers out.
	SkipMCPDiscovery bool `json:"skip_mcp_discovery,omitzero"`
}

// ToolConfig configures built-in tools.
type ToolConfig struct {
	// AskUserQuestion is the agent's question to a person.
	AskUserQuestion struct {
		// PreviewFormat is the markup of previews: markdown or html. Empty: none are asked for.
		PreviewFormat string `json:"preview_format,omitzero"`
	} `json:"ask_user_question,omitzero"`
}

// Toggle is something that is on or off, and may have a value when it is on.
type Toggle struct {
	On    bool
	Value string
}

// UnmarshalText takes true, false, or a value, which means on.
func (t *Toggle) UnmarshalText(text []byte) error {
	switch s := string(text); s {
	case "true":
		*t = Toggle{On: true}
	case "false", "":
		*t = Toggle{}
	default:
		*t = Toggle{On: true, Value: s}
	}
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (t Toggle) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// String is true, false or the value.
func (t Toggle) String() string {
	switch {
	case !t.On:
		return "false"
	case t.Value == "":
		return "true"
	}
	return t.Value
}

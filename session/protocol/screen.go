package protocol

import "encoding/json"

// What the screens of a CLI in a terminal show, as the CLI gives it to a host that shows it itself. Read with
// ControlResponse.Unmarshal.
type (
	// StatusResponse answers GetStatus: titles and rows to be shown.
	StatusResponse struct {
		Sections []struct {
			Title string `json:"title"`
			Rows  []struct {
				Label string `json:"label"`
				Value string `json:"value"`
			} `json:"rows"`
		} `json:"sections"`
	}
	// PlanResponse answers GetPlan: the plan of plan mode.
	PlanResponse struct {
		Exists  bool   `json:"exists"`
		Content string `json:"content"` // Markdown
		Path    string `json:"path"`
	}
	// MemoryDialogResponse answers GetMemoryDialog: where instructions and notes are.
	MemoryDialogResponse struct {
		Files []struct {
			Kind        string `json:"kind"` // user, project, …
			Path        string `json:"path"`
			Label       string `json:"label"`
			Description string `json:"description"`
			Exists      bool   `json:"exists"`
		} `json:"files"`
		Folders []struct {
			Kind        string `json:"kind"`
			Path        string `json:"path"`
			Label       string `json:"label"`
			Description string `json:"description"`
		} `json:"folders"`
		Memories []json.RawMessage `json:"memories"`
	}
	// SkillsDialogResponse answers GetSkillsDialog.
	SkillsDialogResponse struct {
		Skills []json.RawMessage `json:"skills"`
	}
	// SandboxDialogResponse answers GetSandboxDialog: whether the CLI's sandbox is on, and what keeps it from being.
	SandboxDialogResponse struct {
		Supported    bool   `json:"supported"`
		Enabled      bool   `json:"enabled"`
		Mode         string `json:"mode"`
		Dependencies struct {
			Errors   []string `json:"errors"`
			Warnings []string `json:"warnings"`
		} `json:"dependencies"`
		ExcludedCommands []string        `json:"excluded_commands"`
		Restrictions     json.RawMessage `json:"restrictions"`
	}
	// ExportResponse answers ExportConversation.
	ExportResponse struct {
		Text            string `json:"text"`
		DefaultFilename string `json:"default_filename"`
	}
	// WorkspaceDiffResponse answers GetWorkspaceDiff.
	WorkspaceDiffResponse struct {
		Diff         json.RawMessage `json:"diff"`         // null: there is none
		NoDiffReason string          `json:"noDiffReason"` // no-repository, …
	}
	// FileSuggestionsResponse answers FileSuggestions.
	FileSuggestionsResponse struct {
		Suggestions []struct {
			Path  string  `json:"path"` // relative to CWD, or absolute; a directory ends with a separator
			Score float64 `json:"score"`
		} `json:"suggestions"`
		CWD string `json:"cwd"`
	}
)

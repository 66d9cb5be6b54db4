package debug

import (
	"time"
)

// Node is a supervisor, a session or a worker of the tree, as `tree --json` and GET tree show it.
type Node struct {
	Name     string    `json:"name"`
	Kind     string    `json:"kind"` // supervisor, session, worker
	State    string    `json:"state"`
	Since    time.Time `json:"since,omitzero"` // when it came into that state
	Restarts int       `json:"restarts"`       // by its supervisor; an operator's do not count
	Children []Node    `json:"children,omitempty"`

	Restart  string     `json:"restart,omitempty"` // permanent, transient, temporary
	NextTry  *time.Time `json:"next_try,omitempty"`
	Reason   string     `json:"reason,omitempty"` // why it failed for good; of an audit log that runs, why it cannot be written
	LastExit *Exit      `json:"last_exit,omitempty"`
	// LastExits are the last five, newest first.
	LastExits []Exit `json:"last_exits,omitempty"`
	Mailbox   int    `json:"mailbox"` // messages that wait for its actor

	// Of a supervisor.
	Strategy  string     `json:"strategy,omitempty"`
	Intensity *Intensity `json:"intensity,omitempty"` // also of a session, which has its own

	// Pool is how busy the sessions below are, if they are a pool.
	Pool *Pool `json:"pool,omitempty"`

	// SharedBudgets are those that sessions have together; of the root only.
	SharedBudgets []Budget `json:"shared_budgets,omitempty"`

	*SessionFields
}

// SessionFields are what a Node of kind session has beyond the others.
type SessionFields struct {
	SessionID  string  `json:"session_id"`
	PID        int     `json:"pid"`                 // of the CLI; 0 if there is none
	Generation int     `json:"generation"`          // 1, 2, … per process
	Queue      int     `json:"queue"`               // queries that wait
	Approvals  int     `json:"approvals,omitempty"` // questions that wait for somebody
	Subagents  int     `json:"subagents,omitempty"` // that are at work
	Turns      int     `json:"turns"`
	CostUSD    float64 `json:"cost_usd"`
	BudgetUSD  float64 `json:"budget_usd"` // 0: no limit
	// Budgets are the shared budgets that it spends from, which the root has.
	Budgets []string `json:"budgets,omitempty"`
	// Ephemeral says that the conversation is not kept: a restart begins a new one.
	Ephemeral bool `json:"ephemeral,omitempty"`
	// Configured says that it is one of the configuration, which has it back after the next start or reload: it cannot be removed.
	Configured bool `json:"configured,omitempty"`
	// IsolatedHome says, in StateKept, that its conversation is in a directory of its own, which is removed with it.
	IsolatedHome bool   `json:"isolated_home,omitempty"`
	Model        string `json:"model"`
	Mode         string `json:"permission_mode"`
	CWD          string `json:"cwd"`
	// Containment are the layers that hold what the process starts, weakest first.
	Containment []string   `json:"containment,omitempty"`
	CLIVersion  string     `json:"cli_version"`
	StartedAt   *time.Time `json:"started_at,omitempty"` // of the process
	Tool        string     `json:"tool,omitempty"`       // what it is using right now
	ToolArg     string     `json:"tool_arg,omitempty"`   // its main argument, cut
	Unknown     uint64     `json:"unknown_frames"`
	APIRetries  uint64     `json:"api_retries"` // requests to the model that the CLI tried again
	// Waits is for what the session waits, if not for its CLI: max_processes, max_busy, the API's limit; until HeldUntil, if
	// that is known. Retry is the request to the model that the CLI is about to try again.
	Waits     string     `json:"waits,omitempty"`
	HeldUntil *time.Time `json:"held_until,omitempty"`
	Retry     string     `json:"retry,omitempty"`
	// Unsaved is why what is known of the session cannot be written to disk; empty if it is there.
	Unsaved string `json:"unsaved,omitempty"`
	// Drift counts what the CLI says that this program does not know, by what it is.
	Drift map[string]uint64 `json:"drift,omitempty"`
	// Refusing is why no turn is begun although the session runs; empty if turns are begun.
	Refusing string `json:"refusing,omitempty"`

	Turn      int        `json:"turn,omitempty"`       // the one that runs
	TurnSince *time.Time `json:"turn_since,omitempty"` // when that began

	Tokens        Tokens `json:"tokens"`
	ContextTokens int64  `json:"context_tokens,omitempty"` // that the last model call had before it
	ContextWindow int64  `json:"context_window,omitempty"` // that the model takes

	Usage *Usage `json:"usage,omitempty"` // of the CLI and its tools; absent if not known
}

// Tokens counts tokens, since the daemon was started.
type Tokens struct {
	Input         int64 `json:"input"`
	Output        int64 `json:"output"`
	CacheRead     int64 `json:"cache_read"`
	CacheCreation int64 `json:"cache_creation"`
}

// Sum is all of them.
func (t Tokens) Sum() int64 { return t.Input + t.Output + t.CacheRead + t.CacheCreation }

// Usage is what a session's processes use of the machine.
type Usage struct {
	Processes  int     `json:"processes"`
	RSSBytes   int64   `json:"rss_bytes"`
	CPUSeconds float64 `json:"cpu_seconds"` // since the CLI was started, with what has ended below it
}

// Pool is the load of sessions that are all alike.
type Pool struct {
	Sessions int `json:"sessions"` // that there are
	Busy     int `json:"busy"`     // of these, in a turn
	Failed   int `json:"failed"`   // of these, parked or stopped
	Min      int `json:"min"`
	Max      int `json:"max"`
	Waiting  int `json:"waiting"` // queries in the queue, which takes MaxQueue
	MaxQueue int `json:"max_queue"`
}

// Exit is the last end of a process or actor that nobody asked for.
type Exit struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// Intensity is how many restarts are tolerated in a window, and how many it holds.
type Intensity struct {
	MaxRestarts int     `json:"max_restarts"`
	MaxSeconds  float64 `json:"max_seconds"`
	Used        int     `json:"used"`
}

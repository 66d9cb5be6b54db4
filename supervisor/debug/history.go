package debug

import "time"

// History is the recent past of a session, oldest first, as far as this daemon has seen it: some 12 processes, 20
// turns and 30 tools.
type History struct {
	Generations []Generation `json:"generations"`
	Turns       []Turn       `json:"turns"`
	Tools       []ToolRun    `json:"tools"`
	// LastWords are the last lines that the process before the present one wrote to stderr.
	LastWords []string `json:"last_words"`
}

// Generation is the life of one process.
type Generation struct {
	Number    int        `json:"generation"`
	PID       int        `json:"pid"`
	StartedAt time.Time  `json:"started_at"`
	ReadyAt   *time.Time `json:"ready_at,omitempty"` // absent: it did not answer the handshake
	EndedAt   *time.Time `json:"ended_at,omitempty"` // absent: it runs
	Exit      string     `json:"exit,omitempty"`
	Turns     int        `json:"turns"`
}

// Turn is one turn. Outcome is the subtype of its result, error or crashed.
type Turn struct {
	Number    int        `json:"turn"`
	StartedAt time.Time  `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"` // absent: it runs
	Outcome   string     `json:"outcome,omitempty"`
	Own       bool       `json:"own,omitempty"` // the CLI began it by itself
	Tools     int        `json:"tools"`
	CostUSD   float64    `json:"cost_usd"`
	Tokens    Tokens     `json:"tokens"`
}

// ToolRun is one use of a tool. Outcome is ok, error, denied or lost.
type ToolRun struct {
	ID        string     `json:"tool_use_id"`
	Name      string     `json:"tool"`
	Argument  string     `json:"argument,omitempty"` // its main one, cut
	Turn      int        `json:"turn,omitempty"`
	StartedAt time.Time  `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"` // absent: it runs
	Outcome   string     `json:"outcome,omitempty"`
}

// Setup is how a session is set up: its options as they are in force, and how its processes are held. It has no
// secret and no value of an environment variable.
type Setup struct {
	Options     map[string]any `json:"options"`
	Environment []string       `json:"environment"` // names of the variables that the CLI gets
	Containment []string       `json:"containment"` // what keeps its processes together, in words
}

// Moment is something that happened in a session's life. Data is the JSON object that is sent of it.
type Moment struct {
	Seq  uint64
	Kind string
	Data []byte
}

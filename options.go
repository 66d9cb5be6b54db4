package understudy

import (
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/mod/sumdb/note"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

// Options say what a Runtime is. The zero value works: the CLI from PATH, no sessions, nothing on disk,
// and therefore no audit log.
type Options struct {
	// DataDir holds what survives the program: the sessions' state, the audit log, the lock that keeps a
	// second runtime out. It is made if missing, with mode 0700. Empty: everything is in memory only.
	DataDir string

	// CLI is the program behind sessions; empty means "claude" on PATH.
	CLI session.CLI

	// Sessions are started with the runtime, in this order. One that does not come up is retried under its
	// restart policy and parked as failed when that is exhausted; the others are not affected.
	Sessions []SessionSpec

	// Groups are sessions under a supervisor of their own. They are started after Sessions.
	Groups []Group

	// Pools are sessions that are all alike, for prompts that stand alone.
	Pools []PoolSpec

	// Warm are templates of which processes wait for sessions to come: see Runtime.SpawnFrom.
	Warm []WarmSpec

	// Budgets are amounts that sessions share: those whose session.Options.Budgets name them.
	Budgets []session.BudgetSpec

	// Supervisor is the restart policy of sessions outside of groups.
	Supervisor SupervisorOptions

	// Audit says where the audit log is.
	Audit AuditOptions

	// Configuration is what the options were read from, for the audit log. The zero value records nothing.
	Configuration Configuration
	// Findings are what a check of the configuration had to say, for the audit log.
	Findings []audit.Lint

	// OnEvent, if not nil, is told what the supervisors do. It must return at once.
	OnEvent func(supervisor.Event)

	// OnMoment, if not nil, is told each moment of the sessions' lives: processes, turns, tools, permissions. It is called from many
	// goroutines, also for one session (Seq says the order), and must return at once. A moment has content that is kept nowhere (Input,
	// Result, Prompt): what of it is passed on is the embedder's to decide.
	OnMoment func(session.Moment)

	// Limits bound what all sessions do together. A MaxStarting of 0 means twice the number of cores, since a CLI that is
	// coming up takes half a second of one.
	Limits session.Limits

	// Respawn says with which options a session is started again that an earlier runtime on this data directory had spawned: it
	// gets those that were kept, which are without what is secret (APIKey, variables whose names say so) and without what is
	// a Go function. An error leaves the session where it is, to be spawned again by hand. nil: sessions of which nothing
	// was left out are started as they were, the others are not.
	Respawn func(name string, kept session.Options) (session.Options, error)

	// Logger gets the runtime's life. The zero value is silent.
	Logger zerolog.Logger
}

// Configuration identifies a configuration file.
type Configuration struct {
	Path   string
	SHA256 string // of its bytes, in hexadecimal
}

// SessionSpec names a session and its options.
type SessionSpec struct {
	Name    string
	Options session.Options
}

// SupervisorOptions is the restart policy of sessions; each has its own count.
type SupervisorOptions struct {
	// Strategy is one_for_one if empty. With the others a crash of a session restarts groups and pools too:
	// the children are Sessions, Groups and Pools, in this order, and after them what is spawned later.
	Strategy supervisor.Strategy
	// Intensity is how many restarts of one session are tolerated; nil means 3 in 5 seconds.
	Intensity *supervisor.Intensity
	// Backoff is the delay between restarts of one session. nil means DefaultBackoff.
	Backoff *supervisor.Backoff
}

// DefaultBackoff is the delay between a session's restarts: 200 ms, doubled up to 30 s, 20 % jitter.
var DefaultBackoff = supervisor.Backoff{Initial: defaultInitial, Jitter: 0.2}

// AuditOptions say where the audit log is and what it may hold up.
type AuditOptions struct {
	// Dir is the directory of the log; empty means DataDir/audit, and no log at all without a DataDir.
	Dir string
	// Mode is audit.Required by default: a tool whose intent cannot be recorded is denied.
	Mode audit.Mode
	// Levels say how much of tools' inputs and outputs is written; the first rule that fits decides. By default all of
	// it is, after redaction.
	Levels []audit.LevelRule
	// The following are those of audit.Options, with its defaults: when a segment ends, when the oldest go, when a
	// checkpoint is signed and with which key, and who gets records and checkpoints beside the log.
	SegmentBytes      int64
	SegmentAge        time.Duration
	KeepBytes         int64
	KeepAge           time.Duration
	CheckpointRecords int
	CheckpointEvery   time.Duration
	Signer            note.Signer
	VerifierKey       string
	Sinks             []audit.Sink
	Anchors           []audit.Anchor
	// Witness compares the log with what the CLIs themselves report of their tools: see remote.Witness. It sets variables
	// of their OpenTelemetry export in their environment; where a session's Env has one of these, it is left as it is.
	Witness bool
	// Redact are secret values that must not be in the log, beside those that the runtime knows: API keys, and
	// what stands under names of secrets in the environment of sessions and of this program.
	Redact []string
}

package understudy_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/supervisor"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// TestEveryKind runs a session through everything that a log has records of, and holds each record against its schema.
// What it cannot bring about itself, other tests do: a full disk, losses and removed segments in audit.
func TestEveryKind(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	r.options.Configuration = understudy.Configuration{Path: "/etc/understudy.yaml", SHA256: "0123"}
	r.options.Findings = []audit.Lint{{Rule: "sandbox", Severity: "warning", Message: "there is none", Session: "worker"}}
	r.options.Audit.SegmentBytes = 16 << 10
	r.spec.DisallowedTools = []string{"Bash(rm:*)"}
	r.spec.MaxBudgetUSD = 0.06
	r.boot()
	r.mustAsk(bash("echo hi"))
	r.mustAsk(bash("rm nothing"))
	command, entered, _ := r.gate("gate")
	cut := r.background(bash(command))
	<-cut.began
	entered()
	r.kill() // crashed, orphan, restarted
	require.Error(t, cut.wait(t))
	r.until("the next generation is ready", func() bool { return r.Info().Generation == 2 && r.Info().State == "idle" })
	backend := r.rt.Backend(nil)
	backend.Acted(r.within(), "uid 0", "restart", "worker", nil)
	backend.Acted(r.within(), "uid 0", "stop", "worker", &debug.Error{Code: debug.Internal, Message: "no"})
	for range 20 { // until the money is spent
		if _, err := r.ask("spend"); err != nil {
			break
		}
	}
	// These have producers of their own elsewhere.
	trail := r.rt.Audit()
	approval := audit.Approval{ID: "a1", Tool: "Bash", ToolUseID: "t1"}
	for _, record := range []audit.Record{
		approval.Asked(), approval.Answered(audit.Decision{Outcome: audit.Deny, By: "operator"}, "uid 0"),
		audit.Supervision{Event: "escalated", Supervisor: "root"}.Record(),
	} {
		if record.Kind != audit.SupervisorEvent {
			record.Session = "worker"
		}
		require.NoError(t, trail.Append(r.within(), record))
	}
	bad := r.spec
	bad.ExtraArgs = map[string]*string{"no-such-flag": nil}
	_, err := r.rt.Spawn(r.within(), "bad", bad)
	require.Error(t, err)
	shutdown(t, r.rt)

	// Another runtime opens the log, and finds its end torn.
	dir := filepath.Join(r.options.DataDir, "audit")
	tear(t, audit.Path(dir))
	r.options.Supervisor.Intensity = &supervisor.Intensity{MaxRestarts: 0, Within: supervisor.DefaultIntensity.Within}
	r.spec.MaxBudgetUSD = 0
	r.boot()
	r.kill() // parked
	r.until("the session is parked", func() bool { return r.Info().State == "failed" })
	shutdown(t, r.rt)

	seen := make(map[audit.Kind]int)
	policies := make(map[string]bool)
	for _, record := range r.records() {
		seen[record.Kind]++
		assert.NoError(t, audit.Check(record), "%+v", record)
		if record.Policy != "" {
			policies[record.Policy] = true
		}
	}
	elsewhere := map[audit.Kind]bool{audit.LogFull: true, audit.LogPruned: true, audit.LogGap: true, audit.SessionNotice: true, audit.WitnessDiffers: true,
		audit.APIRequest: true}
	for _, kind := range audit.Kinds() {
		if !elsewhere[kind] {
			assert.NotZero(t, seen[kind], "no record of the kind %s", kind)
		}
	}
	assert.GreaterOrEqual(t, len(policies), 2, "other options, another digest")
	started := r.records(audit.SessionStarted)[0]
	assert.Len(t, started.Detail["cli_sha256"], 64)
	assert.Equal(t, r.work, started.Detail["cwd"])
	assert.Contains(t, started.Detail["env"], "ANTHROPIC_API_KEY")
	assert.Contains(t, started.Detail["env"], "CLAUDE_CODE_TMPDIR", "what is made for this process alone")
	assert.Contains(t, started.Detail["argv"], "--print")
	for _, record := range r.records(audit.TurnResult) {
		assert.NotZero(t, record.TotalCostUSD)
	}

	report, err := audit.Verify(r.within(), dir, audit.VerifyOptions{Invariants: true})
	require.NoError(t, err)
	for _, finding := range report.Findings {
		assert.Equal(t, audit.Note, finding.Class, "%s", finding)
	}
}

// tear appends half a record, as a crash leaves it.
func tear(t *testing.T, path string) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = f.WriteString("half a record")
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

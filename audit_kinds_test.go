package understudy_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/supervisor"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// TestEveryKind runs a session through everything that a log has records of; none is made for the test. Each is held against its schema.
// What it cannot bring about itself, other tests do: a full disk, losses and removed segments in audit, a key proxy, a witness and a lost
// conversation here.
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
	operate := r.operator("ann")
	asking := r.background(`[[ask:Bash {"command":"echo asked"}]]`)
	require.Equal(t, http.StatusNoContent, operate("approvals/"+r.pending().ID, `{"decision":"deny","message":"not today"}`))
	require.NoError(t, asking.wait(t))
	assert.Equal(t, http.StatusNoContent, operate("sessions/worker/restart", ""))
	assert.Equal(t, http.StatusNotFound, operate("sessions/nobody/restart", ""))
	for range 20 { // until the money is spent
		if _, err := r.ask("spend"); err != nil {
			break
		}
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

	answered := r.records(audit.ApprovalAnswered)
	require.Len(t, answered, 1)
	assert.Equal(t, "ann", answered[0].Principal)
	assert.Equal(t, audit.Decision{Outcome: audit.Deny, By: "operator", Reason: "not today"}, *answered[0].Decision)
	var acts []string
	for _, record := range r.records(audit.AdminAction) {
		assert.Equal(t, "ann", record.Principal)
		acts = append(acts, fmt.Sprint(record.Session, ": ", record.Detail["action"], " ", record.Detail["approval_id"], " ", record.Detail["error"]))
	}
	assert.Equal(t, []string{
		fmt.Sprint("worker: deny approval ", answered[0].Detail["approval_id"], " <nil>"),
		"worker: restart <nil> <nil>", "nobody: restart <nil> no such session: nobody",
	}, acts)

	report, err := audit.Verify(r.within(), dir, audit.VerifyOptions{Invariants: true})
	require.NoError(t, err)
	for _, finding := range report.Findings {
		assert.Equal(t, audit.Note, finding.Class, "%s", finding)
	}
}

// operator is somebody who acts over HTTP. What is returned posts, and gives the status of the answer.
func (r *rig) operator(name string) func(path, body string) int {
	handler := r.rt.DebugHandler(debug.Options{Actions: true, Authorize: func(*http.Request, debug.Access) (string, error) { return name, nil }})
	return func(path, body string) int {
		request := httptest.NewRequestWithContext(r.within(), http.MethodPost, "http://localhost"+debug.Path+path, strings.NewReader(body))
		if body != "" {
			request.Header.Set("Content-Type", "application/json")
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, request)
		return w.Code
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

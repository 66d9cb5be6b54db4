package process

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/sessiontest"
)

// TestRealCLI holds what this package says about the CLI against the CLI itself. It needs no network: no prompt is sent.
func TestRealCLI(t *testing.T) {
	cli := sessiontest.RealCLI(t)
	if v, err := Version(t.Context(), cli, nil); assert.NoError(t, err) {
		assert.Equal(t, sessiontest.CLIVersion, v)
	}
	home, work := t.TempDir(), t.TempDir()
	base := func() Launch {
		return Launch{
			Path: cli, Dir: work, Marker: marker(t), APIKey: "test-key-not-real",
			Env: map[string]string{"HOME": home, "ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
		}
	}
	const known, unknown = "550e8400-e29b-41d4-a716-446655440001", "550e8400-e29b-41d4-a716-446655440002"
	transcript := filepath.Join(home, ".claude", "projects", strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, work), known+".jsonl")
	require.NoError(t, os.MkdirAll(filepath.Dir(transcript), 0o700))
	require.NoError(t, os.WriteFile(transcript, []byte(`{"type":"user","message":{"role":"user","content":"hi"},"uuid":"11111111-1111-4111-8111-111111111111",`+
		`"parentUuid":null,"sessionId":"`+known+`","timestamp":"2026-01-01T00:00:00Z","cwd":"`+work+`","isSidechain":false,"userType":"external"}`+"\n"), 0o600))

	const initialize = `{"type":"control_request","request_id":"1","request":{"subtype":"initialize"}}` + "\n"
	const withSettings = `{"type":"control_request","request_id":"1","request":{"subtype":"initialize","settings":{"includeCoAuthoredBy":false}}}` + "\n"
	for _, tc := range []struct {
		name   string
		change func(*Launch)
		stdin  string
		class  ExitClass
		stdout string
	}{
		{"nothing set", func(*Launch) {}, initialize, ClassClean, `"subtype":"success"`},
		{"every flag", func(l *Launch) {
			l.SessionID, l.Model, l.SystemPrompt, l.AppendSystemPrompt = unknown, "sonnet", "-s", "--a"
			l.AddDir, l.PermissionMode = []string{home, "/nonexistent"}, "dontAsk"
			l.AllowedTools, l.DisallowedTools, l.Tools = []string{"Read", "Bash(git *)"}, []string{"Bash(rm:*)"}, []string{"Bash", "Read"}
			l.MaxTurns, l.MaxBudgetUSD, l.NoSessionPersistence = 3, new(0.0001), true
			l.Settings, l.SettingSources = map[string]any{"includeCoAuthoredBy": false}, []string{"user", "project", "local"}
			l.IncludePartialMessages, l.PermissionPromptStdio = true, true
			l.ExtraArgs = map[string]*string{"replay-user-messages": nil, "effort": new("low")}
		}, withSettings, ClassClean, `"current_permission_mode":"dontAsk"`},
		{"no tools, no prompts, path", func(l *Launch) {
			l.Tools, l.PermissionPromptsNone, l.PermissionMode = []string{}, true, "default"
			l.SettingsPath = "settings.json"
			require.NoError(t, os.WriteFile(filepath.Join(work, "settings.json"), []byte(`{"includeCoAuthoredBy":false}`), 0o600))
		}, withSettings, ClassClean, `"current_permission_mode":"default"`},
		{"resume", func(l *Launch) { l.SessionID, l.Resume = known, true }, initialize, ClassClean, `"subtype":"success"`},
		{"in use", func(l *Launch) { l.SessionID = known }, "", ClassSessionInUse, ""},
		{"unknown conversation", func(l *Launch) { l.SessionID, l.Resume = "550e8400-e29b-41d4-a716-446655440003", true }, "", ClassNoConversation, ""},
		{"unknown flag", func(l *Launch) { l.ExtraArgs = map[string]*string{"wat": nil} }, "", ClassRequest, ""},
		{"bad value", func(l *Launch) { l.ExtraArgs = map[string]*string{"max-thinking-tokens": new("x")} }, "", ClassRequest, ""},
		{"bad schema", func(l *Launch) { l.ExtraArgs = map[string]*string{"json-schema": new("{bad")} }, "", ClassRequest, ""},
		{"garbage", func(*Launch) {}, "garbage\n", ClassProtocol, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := base()
			tc.change(&l)
			p := begin(t, l, Options{})
			_, err := io.WriteString(p.Stdin(), tc.stdin)
			if tc.stdin != "" && tc.class == ClassClean {
				require.NoError(t, err)
			}
			p.CloseStdin()
			out, err := io.ReadAll(p.Stdout())
			require.NoError(t, err)
			await(t, "done", p.Done())
			assert.Equal(t, tc.class, p.Exit().Class(), "%s", Diagnose(p.Exit()))
			assert.Contains(t, string(out), tc.stdout)
			t.Log(Diagnose(p.Exit()))
		})
	}
	for _, mode := range PermissionModes() {
		t.Run("mode "+mode, func(t *testing.T) {
			l := base()
			l.PermissionMode, l.Env["IS_SANDBOX"] = mode, "1"
			p := begin(t, l, Options{})
			p.CloseStdin()
			await(t, "done", p.Done())
			assert.Equal(t, ClassClean, p.Exit().Class(), "%s", Diagnose(p.Exit()))
		})
	}
	t.Run("stop", func(t *testing.T) {
		p := begin(t, base(), Options{})
		_, err := io.WriteString(p.Stdin(), initialize)
		require.NoError(t, err)
		assert.Contains(t, line(t, p), "control_response")
		r := p.Stop(t.Context(), Ladder{Stdin: 10 * time.Second})
		assert.Equal(t, StepStdin, r.Ended)
		assert.Equal(t, ClassStopped, r.Exit.Class())
		require.NoError(t, r.Err)
	})
}

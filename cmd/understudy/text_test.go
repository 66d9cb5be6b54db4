package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/config"
)

func TestShellWord(t *testing.T) {
	for text, want := range map[string]string{
		"--model=sonnet": "--model=sonnet", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$HOME": "'$HOME'", "a\nb": "'a\nb'", "ü": "'ü'",
	} {
		assert.Equal(t, want, shellWord(text), "%q", text)
	}
}

func TestShown(t *testing.T) {
	const text = "a\x1b]0;title\x07\tb\r\nü\u009b1m\x7f"
	assert.Equal(t, text, terminal{}.shown(text), "a program gets what there is")
	assert.Equal(t, "a·]0;title·\tb·\nü·1m·", terminal{is: true}.shown(text))
}

func TestWordsOfMessages(t *testing.T) {
	assert.Equal(t, "a", alternatives([]string{"a"}))
	assert.Equal(t, "a or b", alternatives([]string{"a", "b"}))
	assert.Equal(t, "a, b or c", alternatives([]string{"a", "b", "c"}))
	assert.Equal(t, "there are no sessions", have(nil))
	assert.Equal(t, "there is a", have([]string{"a"}))
	assert.Equal(t, "there are a, b", have([]string{"a", "b"}))
	many := strings.Split(strings.Repeat("a ", maxNamed+2)+"z", " ")
	assert.True(t, strings.HasSuffix(have(many), "a and 3 others"), have(many))
	assert.Equal(t, "1 session", count(1, "session"))
	assert.Equal(t, "0 sessions", count(0, "session"))
}

func TestBrowsable(t *testing.T) {
	for host, want := range map[string]string{"0.0.0.0": "localhost:80", "::": "localhost:80", "127.0.0.1": "127.0.0.1:80", "::1": "[::1]:80"} {
		assert.Equal(t, want, browsable(&net.TCPAddr{IP: net.ParseIP(host), Port: 80}), host)
	}
}

func TestMoveData(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ data, audit, want string }{
		{"/srv/data", "/srv/data/audit", filepath.Join(dir, "audit")},
		{"/srv/data", "/srv/data/logs/audit", filepath.Join(dir, "logs/audit")},
		{"/srv/data", "/var/log/audit", "/var/log/audit"},
		{"/srv/data", "/srv/data2/audit", "/srv/data2/audit"},
	} {
		cfg := &config.Config{DataDir: c.data, Audit: config.Audit{Dir: c.audit}}
		require.NoError(t, moveData(cfg, dir))
		assert.Equal(t, dir, cfg.DataDir)
		assert.Equal(t, c.want, cfg.Audit.Dir)
	}
	cfg := &config.Config{DataDir: "/srv/data"}
	require.NoError(t, moveData(cfg, ""))
	assert.Equal(t, "/srv/data", cfg.DataDir)
}

func TestRecordLine(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.Local)
	failed := true
	for _, c := range []struct {
		record audit.Record
		want   string
	}{
		{audit.Record{Seq: 7, Time: at, Kind: audit.RuntimeStarted}, "     7  01-02 03:04:05.006  runtime.started  "},
		{
			audit.Record{Seq: 8, Time: at, Kind: audit.ToolResult, Session: "a", Generation: 2, Tool: "Bash", IsError: &failed},
			"     8  01-02 03:04:05.006  tool.result        a/2  Bash  error",
		},
		{
			audit.Record{Seq: 9, Time: at, Kind: audit.AdminAction, Session: "a", Principal: "socket uid=1", Detail: map[string]any{"action": "stop", "error": "no\nsuch session"}},
			"     9  01-02 03:04:05.006  admin.action       a  stop  by socket uid=1  no such session",
		},
		{
			audit.Record{Seq: 10, Time: at, Kind: audit.TurnResult, Session: "a", Generation: 1, CostUSD: 0.0125},
			"    10  01-02 03:04:05.006  turn.result        a/1  $0.0125",
		},
	} {
		assert.Equal(t, c.want, recordLine(c.record))
	}
	assert.Equal(t, 100+len("…"), len(brief(strings.Repeat("a", 1000))))
}

func TestPrintFrames(t *testing.T) {
	const (
		delta  = `{"type":"stream_event","event":{"type":"content_block_delta","delta":{"type":"text_delta","text":"%"}},"parent_tool_use_id":null}`
		text   = `{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"%"}]},"parent_tool_use_id":null}`
		inner  = `{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"%"}]},"parent_tool_use_id":"x"}`
		use    = `{"type":"assistant","message":{"role":"assistant","content":[{"type":"tool_use","id":"x","name":"%","input":{}}]},"parent_tool_use_id":null}`
		result = `{"type":"result","subtype":"success","is_error":false,"result":"%"}`
		failed = `{"type":"result","subtype":"error_during_execution","is_error":true}`
	)
	type frame struct{ form, text string }
	for name, c := range map[string]struct {
		frames         []frame
		out, sideLines string
	}{
		"text":                    {[]frame{{text, "a"}, {use, "Bash"}, {inner, "no"}, {text, "b"}, {result, "b"}}, "a\nb\n", "· Bash\n"},
		"pieces":                  {[]frame{{delta, "a"}, {delta, "b"}, {text, "ab"}, {text, "c"}, {result, "c"}}, "ab\nc\n", ""},
		"interrupted in a piece":  {[]frame{{delta, "a"}, {failed, ""}}, "a\n", ""},
		"no model wrote it":       {[]frame{{result, "cost: 0"}}, "cost: 0\n", ""},
		"an error has no text":    {[]frame{{failed, ""}}, "", ""},
		"of a type nobody knows":  {[]frame{{`{"type":"new"}`, ""}, {text, "a"}}, "a\n", ""},
		"a tool and nothing more": {[]frame{{use, "Read"}, {result, ""}}, "", "· Read\n"},
	} {
		var out, side strings.Builder
		show := printFrames(&out, &side)
		for _, f := range c.frames {
			require.NoError(t, show([]byte(strings.ReplaceAll(f.form, "%", f.text))), name)
		}
		assert.Equal(t, c.out, out.String(), name)
		assert.Equal(t, c.sideLines, side.String(), name)
	}
	assert.Error(t, printFrames(&strings.Builder{}, &strings.Builder{})([]byte("no frame")))
}

package transcript_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/stream"
	"github.com/understudy-run/understudy/session/transcript"
)

func TestKey(t *testing.T) {
	for dir, want := range map[string]string{
		"/srv/app":                     "-srv-app",
		"/home/a.b/c_d e":              "-home-a-b-c-d-e",
		"/ü":                           "--",
		"/u\u0308":                     "--", // composed first
		"/\U0001F600":                  "---",
		"/" + strings.Repeat("x", 199): "-" + strings.Repeat("x", 199),
		// As the CLI computes it: its own function on this path gives -786901713.
		"/" + strings.Repeat("x", 200): "-" + strings.Repeat("x", 199) + "-" + "d0i18x",
	} {
		assert.Equal(t, want, transcript.Key(dir), "%q", dir)
	}
}

const (
	user      = `{"parentUuid":null,"isSidechain":false,"type":"user","message":{"role":"user","content":"hello"},"uuid":"u1","timestamp":"2026-11-26T12:40:00.000Z","cwd":"/srv/app","sessionId":"s","version":"2.1.330","gitBranch":"main"}`
	assistant = `{"parentUuid":"u1","isSidechain":false,"message":{"id":"m","role":"assistant","content":[{"type":"tool_use","id":"t","name":"Bash","input":{}},{"type":"text","text":"Hi."}]},"type":"assistant","uuid":"a1","sessionId":"s"}`
	result    = `{"parentUuid":"a1","type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"ok"}]},"toolUseResult":{"stdout":"ok"},"uuid":"u2"}`
	note      = `{"type":"last-prompt","lastPrompt":"hello","leafUuid":"a1","sessionId":"s"}`
	title     = `{"type":"custom-title","customTitle":"A title","sessionId":"s"}`
)

func TestRead(t *testing.T) {
	lines := []string{user, "", assistant, `{"type":"user","mess`, "garbage", `[1]`, `{"no":"type"}`, note, `{"type":"user","message":7,"uuid":5}`, result, title, `{"type":"assis`}
	var entries []transcript.Entry
	for e, err := range transcript.Read(strings.NewReader(strings.Join(lines, "\n"))) {
		require.NoError(t, err)
		entries = append(entries, e)
	}
	var got []string
	for _, e := range entries {
		switch {
		case e.Damaged != nil:
			got = append(got, fmt.Sprintf("%d damaged", e.Line))
			assert.Nil(t, e.Raw())
		case e.Message != nil:
			got = append(got, fmt.Sprintf("%d %s %s<-%s", e.Line, e.Message.Kind(), e.UUID, e.Parent))
		default:
			got = append(got, fmt.Sprintf("%d (%s)", e.Line, e.Type))
		}
	}
	assert.Equal(t, []string{
		"1 user u1<-", "2 assistant a1<-u1", "3 damaged", "4 damaged", "5 damaged", "6 damaged", "7 (last-prompt)", "8 (user)",
		"9 user u2<-a1", "10 (custom-title)", "11 damaged",
	}, got)
	assert.Equal(t, user, string(entries[0].Raw()))
	assert.Equal(t, "/srv/app", entries[0].CWD)
	assert.Equal(t, 2026, entries[0].Timestamp.Year())
	assert.JSONEq(t, `{"stdout":"ok"}`, string(entries[8].Message.(*protocol.User).ToolUseResult))
}

// place writes conversations into a configuration directory.
func place(t *testing.T, files map[string]string) transcript.Store {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, "projects", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(data), 0o600))
	}
	return transcript.Store{ConfigDir: dir}
}

func TestStore(t *testing.T) {
	work := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(work, link))
	key := transcript.Key(work)
	whole := strings.Join([]string{user, assistant, `{"torn`, result, title}, "\n") + "\n"
	store := place(t, map[string]string{
		key + "/s.jsonl":                         whole,
		key + "/empty.jsonl":                     "",
		key + "/notes.txt":                       "x",
		key + "/s/subagents/agent-abc.jsonl":     `{"type":"assistant","isSidechain":true,"agentId":"abc","message":{"content":[{"type":"text","text":"sub"}]},"uuid":"x"}` + "\n",
		key + "/s/subagents/agent-abc.meta.json": "{}",
		"-elsewhere/other.jsonl":                 user + "\n",
	})
	var ids []string
	for c, err := range store.List(link) {
		require.NoError(t, err)
		ids = append(ids, c.ID)
	}
	assert.ElementsMatch(t, []string{"s", "empty"}, ids)
	for range store.List(t.TempDir()) {
		t.Error("a directory without conversations has one")
	}
	all := 0
	for _, err := range store.All() {
		require.NoError(t, err)
		all++
	}
	assert.Equal(t, 3, all)

	c, err := store.Find("s")
	require.NoError(t, err)
	summary, err := c.Summary()
	require.NoError(t, err)
	assert.Equal(t, "A title", summary.Title)
	assert.Equal(t, "hello", summary.FirstPrompt)
	assert.Equal(t, 1, summary.Prompts)
	assert.Equal(t, 1, summary.Damaged)
	assert.Equal(t, "main", summary.GitBranch)
	calls := 0
	for call, err := range stream.ToolCalls(c.Messages(), nil) {
		require.NoError(t, err)
		assert.Equal(t, "ok", call.Result.Content.Text())
		calls++
	}
	assert.Equal(t, 1, calls)
	agents, err := c.Subagents()
	require.NoError(t, err)
	require.Len(t, agents, 1)
	assert.Equal(t, "abc", agents[0].ID)
	for m, err := range agents[0].Messages() {
		require.NoError(t, err)
		assert.Equal(t, "sub", m.(*protocol.Assistant).Text())
	}

	for _, id := range []string{"absent", "", "../s", "a/b", strings.Repeat("x", 200)} {
		_, err := store.Find(id)
		require.ErrorIs(t, err, transcript.ErrNotFound, id)
	}
	require.NoError(t, os.Remove(c.Path))
	_, err = c.Summary()
	require.ErrorIs(t, err, os.ErrNotExist)
	for range (transcript.Store{ConfigDir: filepath.Join(work, "none")}).All() {
		t.Error("no store has conversations")
	}
}

func TestConfigDir(t *testing.T) {
	env := func(vars map[string]string) func(string) (string, bool) {
		return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
	}
	assert.Equal(t, "/c", transcript.ConfigDir(env(map[string]string{"HOME": "/h", "CLAUDE_CONFIG_DIR": "/c"})))
	assert.Equal(t, "/h/.claude", transcript.ConfigDir(env(map[string]string{"HOME": "/h", "CLAUDE_CONFIG_DIR": ""})))
}

// A conversation of any length is read in the memory of a line.
func TestMemoryIsFlat(t *testing.T) {
	line := strings.Replace(user, "hello", strings.Repeat("word ", 2000), 1) + "\n"
	const n = 3000
	store := place(t, map[string]string{"-x/s.jsonl": strings.Repeat(line, n)}) // 30 MB
	c, err := store.Find("s")
	require.NoError(t, err)
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	count := 0
	for _, err := range c.Messages() {
		require.NoError(t, err)
		if count++; count == n-1 {
			runtime.GC()
			runtime.ReadMemStats(&now)
		}
	}
	assert.Equal(t, n, count)
	assert.Less(t, int64(now.HeapAlloc)-int64(before.HeapAlloc), int64(4<<20))
}

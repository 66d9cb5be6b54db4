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

// A conversation of any length is read in the memory of a line, and a little for each of them.
func TestMemoryIsFlat(t *testing.T) {
	line := strings.Replace(user, "hello", strings.Repeat("word ", 2000), 1) + "\n"
	const n = 3000
	var all strings.Builder
	for i := range n {
		all.WriteString(strings.NewReplacer(`"u1"`, fmt.Sprintf(`"u%d"`, i), `"parentUuid":null`, fmt.Sprintf(`"parentUuid":"u%d"`, i-1)).Replace(line))
	}
	store := place(t, map[string]string{"-x/s.jsonl": all.String()}) // 30 MB
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

// said writes entries, one a line: what kind, its id, the one before it ("-" none, "" not said), and what stands in it.
func said(lines ...[4]string) string {
	var b strings.Builder
	for _, l := range lines {
		kind, id, parent, text := l[0], l[1], l[2], l[3]
		before := fmt.Sprintf(`"parentUuid":%q,`, parent)
		switch parent {
		case "":
			before = ""
		case "-":
			before = `"parentUuid":null,`
		}
		switch kind {
		case "user":
			fmt.Fprintf(&b, `{%s"type":"user","uuid":%q,"message":{"role":"user","content":%q}}`, before, id, text)
		case "side":
			fmt.Fprintf(&b, `{%s"type":"user","isSidechain":true,"uuid":%q,"message":{"role":"user","content":%q}}`, before, id, text)
		case "result": // of the tool use text
			fmt.Fprintf(&b, `{%s"type":"user","uuid":%q,"message":{"role":"user","content":[{"type":"tool_result","tool_use_id":%q,"content":"x"}]}}`, before, id, text)
		case "answer": // a block of the message text
			fmt.Fprintf(&b, `{%s"type":"assistant","uuid":%q,"message":{"id":%q,"role":"assistant","content":[{"type":"tool_use","id":"%s","name":"Bash","input":{}}]}}`, before, id, text, "of "+id)
		case "boundary": // text is the entry before it
			fmt.Fprintf(&b, `{"parentUuid":null,"logicalParentUuid":%q,"type":"system","subtype":"compact_boundary","uuid":%q}`, text, id)
		case "attachment", "note":
			fmt.Fprintf(&b, `{%s"type":%q,"uuid":%q}`, before, kind, id)
		case "damaged":
			b.WriteString(`{"type":"user","mess`)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestMessagesAreThoseOfTheBranchThatCounts(t *testing.T) {
	for name, tt := range map[string]struct{ file, want string }{
		"one line of them":        {said([4]string{"user", "1", "-", "a"}, [4]string{"answer", "2", "1", "m"}, [4]string{"user", "3", "2", "b"}), "1 2 3"},
		"gone on with from 2":     {said([4]string{"user", "1", "-", "a"}, [4]string{"answer", "2", "1", "m"}, [4]string{"user", "3", "2", "b"}, [4]string{"answer", "4", "3", "n"}, [4]string{"user", "5", "2", "c"}), "1 2 5"},
		"gone on with from none":  {said([4]string{"user", "1", "-", "a"}, [4]string{"answer", "2", "1", "m"}, [4]string{"user", "3", "-", "b"}), "3"},
		"attachments between":     {said([4]string{"user", "1", "-", "a"}, [4]string{"attachment", "x", "1", ""}, [4]string{"answer", "2", "x", "m"}, [4]string{"attachment", "y", "2", ""}), "1 2"},
		"two tools at once":       {said([4]string{"user", "1", "-", "a"}, [4]string{"answer", "2", "1", "m"}, [4]string{"answer", "3", "2", "m"}, [4]string{"result", "4", "3", "of 3"}, [4]string{"result", "5", "2", "of 2"}, [4]string{"answer", "6", "5", "n"}), "1 2 3 4 5 6"},
		"a result of each branch": {said([4]string{"user", "1", "-", "a"}, [4]string{"answer", "2", "1", "m"}, [4]string{"result", "3", "2", "of 2"}, [4]string{"result", "4", "2", "of 2"}, [4]string{"answer", "5", "4", "n"}), "1 2 4 5"},
		"a compaction":            {said([4]string{"user", "1", "-", "a"}, [4]string{"answer", "2", "1", "m"}, [4]string{"boundary", "b", "", "2"}, [4]string{"user", "3", "b", "summary"}, [4]string{"user", "4", "3", "c"}), "1 2 3 4"},
		"a lost line":             {said([4]string{"user", "1", "-", "a"}, [4]string{"damaged"}, [4]string{"user", "3", "2", "b"}), "1 3"},
		"a lost line of a branch": {said([4]string{"user", "1", "-", "a"}, [4]string{"answer", "2", "1", "m"}, [4]string{"user", "3", "2", "b"}, [4]string{"damaged"}, [4]string{"answer", "5", "2", "n"}), "1 2 5"},
		"a lost end":              {said([4]string{"user", "1", "-", "a"}, [4]string{"answer", "2", "1", "m"}, [4]string{"damaged"}), "1 2"},
		"no parents are said":     {said([4]string{"user", "1", "", "a"}, [4]string{"answer", "2", "", "m"}, [4]string{"user", "3", "", "b"}), "1 2 3"},
		"subagents in the file":   {said([4]string{"user", "1", "-", "a"}, [4]string{"side", "s", "-", "x"}, [4]string{"answer", "2", "1", "m"}, [4]string{"side", "t", "s", "y"}), "1 2"},
		"a subagent's own file":   {said([4]string{"side", "s", "-", "x"}, [4]string{"side", "t", "s", "y"}), "s t"},
		"one is its own parent":   {said([4]string{"user", "1", "-", "a"}, [4]string{"user", "2", "2", "b"}), "1 2"},
		"parents in a circle":     {said([4]string{"user", "1", "2", "a"}, [4]string{"user", "2", "1", "b"}), "1 2"},
		"written twice":           {said([4]string{"user", "1", "-", "a"}, [4]string{"answer", "2", "1", "m"}, [4]string{"user", "1", "-", "a"}), "1 2"},
		"nothing":                 {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := place(t, map[string]string{"-x/s.jsonl": tt.file}).Find("s")
			require.NoError(t, err)
			var got []string
			prompts := 0
			for m, err := range c.Messages() {
				require.NoError(t, err)
				switch m := m.(type) {
				case *protocol.User:
					if m.Message.Content.Text() != "" && name != "a subagent's own file" { // whose prompts no user gave
						prompts++
					}
					got = append(got, m.UUID)
				case *protocol.Assistant:
					got = append(got, m.UUID)
				default:
					t.Errorf("%s is no message", m.Kind())
				}
			}
			assert.Equal(t, tt.want, strings.Join(got, " "))
			summary, err := c.Summary()
			require.NoError(t, err)
			assert.Equal(t, prompts, summary.Prompts, "the summary counts what is there")
		})
	}
}

package understudy_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/stream"
	"github.com/understudy-run/understudy/session/transcript"
)

// killedTwice is the promise of the whole: killed between turns, and in the middle of one, the session goes on under its id
// with its conversation, and the query that was cut learns why.
func killedTwice(r *rig) {
	r.boot()
	r.mustAsk("first")
	r.mustAsk("second")
	before := r.Info()

	r.kill()
	assert.Equal(r, "echo: third", r.mustAsk("third").Text)
	assert.Equal(r, 2, r.Info().Generation)
	assert.Equal(r, before.SessionID, r.Info().SessionID)

	command, entered, _ := r.gate("gate")
	cut := r.background(bash(command))
	<-cut.began
	entered()
	queued := r.background("queued")
	r.until("the second query is queued", func() bool { return r.Info().Queue == 1 })
	r.kill()
	err := cut.wait(r.T)
	var crash *session.CrashError
	require.ErrorAs(r, err, &crash)
	assert.Equal(r, session.PhaseTurn, crash.Phase)
	assert.Equal(r, syscall.SIGKILL, crash.Exit.Signal)
	assert.Equal(r, process.ClassKilled, crash.Class)
	assert.Equal(r, before.SessionID, crash.SessionID)
	assert.Equal(r, 2, crash.Generation)
	assert.True(r, crash.Resumable)
	require.NoError(r, queued.wait(r.T), "it was not its turn")
	assert.Equal(r, "echo: queued", *queued.text)

	history := r.history()
	for _, prompt := range []string{"first", "second", "third", command, "queued"} {
		assert.Contains(r, history, strings.Trim(strconv.Quote(prompt), `"`))
	}
	after := r.Info()
	assert.Equal(r, 3, after.Generation)
	assert.Equal(r, before.SessionID, after.SessionID)
	assert.Equal(r, 5, after.Turns, "turns that came to a result")
	if r.real {
		requests := r.api.Requests()
		last := requests[len(requests)-1]
		assert.Subset(r, last.Prompts(), []string{"first", "second", "third", "queued"})
		assert.Contains(r, last.Conversation(), "assistant: echo: third")
		assert.Len(r, r.transcripts(), 1, "one conversation, one file")
	}
	orphans := r.records(audit.ToolOrphan)
	require.Len(r, orphans, 1, "the tool that was cut")
	intents := r.records(audit.ToolIntent)
	assert.Equal(r, intents[len(intents)-1].ToolUseID, orphans[0].ToolUseID)
}

func killedInAModelCall(r *rig) {
	r.boot()
	r.mustAsk("first")
	cut := r.background("[[sleep:60]] thoughtful")
	<-cut.began
	r.kill()
	var crash *session.CrashError
	require.ErrorAs(r, cut.wait(r.T), &crash)
	assert.Equal(r, session.PhaseTurn, crash.Phase)
	assert.Contains(r, r.history(), "first")
	assert.Equal(r, 2, r.Info().Generation)
}

func restartByRequest(r *rig) {
	r.boot()
	r.mustAsk("remember")
	before := r.Info()
	require.NoError(r, r.rt.Restart(r.within(), "worker"))
	assert.Contains(r, r.history(), "remember")
	after := r.Info()
	assert.Equal(r, 2, after.Generation)
	assert.Equal(r, before.SessionID, after.SessionID)
	assert.NotEqual(r, before.PID, after.PID)
	tree, err := r.rt.Tree(r.within())
	require.NoError(r, err)
	assert.Zero(r, nodeOf(tree, "worker").Restarts, "an operator's restart does not count")
}

func nodeOf(n understudy.Node, name string) *understudy.Node {
	if n.Name == name {
		return &n
	}
	for _, child := range n.Children {
		if found := nodeOf(child, name); found != nil {
			return found
		}
	}
	return nil
}

func anotherRuntime(r *rig) {
	r.boot()
	r.mustAsk("remember")
	before := r.Info()
	_, err := understudy.Start(r.within(), r.options)
	require.ErrorIs(r, err, understudy.ErrDataDirInUse)
	shutdown(r.T, r.rt)
	r.boot()
	assert.Contains(r, r.history(), "remember")
	after := r.Info()
	assert.Equal(r, before.SessionID, after.SessionID)
	assert.Equal(r, 2, after.Generation)
	assert.Equal(r, 2, after.Turns)
	assert.InDelta(r, 0.01, after.CostUSD, 1e-9)
}

// lostTranscript takes the conversation away between generations. It is lost; the session is not.
func lostTranscript(r *rig) {
	r.boot()
	r.mustAsk("lost")
	before := r.Info()
	require.NotEmpty(r, r.transcripts())
	require.NoError(r, os.RemoveAll(filepath.Join(r.config, "projects")))
	r.killIdle()
	assert.Equal(r, "echo: new", r.mustAsk("new").Text)
	history := r.history()
	assert.NotContains(r, history, "lost")
	assert.Contains(r, history, "new")
	after := r.Info()
	assert.Equal(r, before.SessionID, after.SessionID)
	assert.Equal(r, 2, after.Generation)
	assert.InDelta(r, 0.015, after.CostUSD, 1e-9)
	r.killIdle()
	assert.Contains(r, r.history(), "new", "the new conversation is resumed")
	assert.Equal(r, before.SessionID, r.Info().SessionID)
}

// damagedTranscript does to the transcript what a bad disk would. What can be read of it is kept; where nothing can, the CLI
// neither resumes the conversation nor begins one under its id.
func damagedTranscript(r *rig) {
	r.boot()
	r.mustAsk("one")
	r.mustAsk("two")
	for _, test := range []struct {
		name   string
		damage func([]byte) []byte
		kept   bool // the conversation
		sameID bool
	}{
		{"torn", func(data []byte) []byte { return data[:len(data)-40] }, true, true},
		{"empty", func([]byte) []byte { return nil }, false, false},
		{"garbage", func([]byte) []byte { return []byte("\x00\x01 no transcript\n{{{\n") }, false, false},
	} {
		before := r.Info()
		asked := "asked before it was " + test.name
		r.mustAsk(asked)
		files := r.transcripts()
		require.Len(r, files, 1, test.name)
		require.NoError(r, r.rt.Stop(r.within(), "worker"), test.name)
		data, err := os.ReadFile(files[0])
		require.NoError(r, err, test.name)
		require.NoError(r, os.WriteFile(files[0], test.damage(data), 0o600), test.name)
		require.NoError(r, r.rt.Restart(r.within(), "worker"), test.name)
		assert.Equal(r, "echo: on", r.mustAsk("on").Text, test.name)
		assert.Equal(r, test.kept, strings.Contains(r.history(), asked), test.name)
		after := r.Info()
		assert.Equal(r, test.sameID, before.SessionID == after.SessionID, test.name)
		assert.Equal(r, before.Generation+1, after.Generation, "%s: no crash loop", test.name)
		r.killIdle()
		assert.Contains(r, r.history(), "on", "%s: the conversation goes on from there", test.name)
		assert.Equal(r, after.SessionID, r.Info().SessionID, test.name)
	}
	assert.InDelta(r, 0.005*14, r.Info().CostUSD, 1e-9)
}

// hibernation: the process of an idle session ends, the next query goes on with the conversation and the money.
func hibernation(r *rig) {
	r.spec.IdleTimeout = 300 * time.Millisecond
	r.boot()
	r.mustAsk("before")
	r.until("it hibernates", func() bool { return r.Info().State == session.Hibernated })
	assert.Zero(r, r.Info().PID)
	branch, err := r.rt.Fork(r.within(), "worker", "branch")
	require.NoError(r, err)
	answer, err := branch.Ask(r.within(), "[[history]]")
	require.NoError(r, err)
	assert.Equal(r, "history: before", answer.Text)
	assert.Equal(r, session.Hibernated, r.Info().State, "its copy does not wake it")
	assert.Contains(r, r.history(), "before")
	info := r.Info()
	assert.Equal(r, 2, info.Generation)
	assert.Zero(r, info.Restarts)
	assert.InDelta(r, 0.01, info.CostUSD, 1e-9)
}

// fork: a copy of the conversation under a name, an id and with money of its own.
func fork(r *rig) {
	r.boot()
	_, err := r.rt.Fork(r.within(), "worker", "early")
	require.ErrorIs(r, err, session.ErrNoConversation)
	r.mustAsk("in common")
	branch, err := r.rt.Fork(r.within(), "worker", "branch")
	require.NoError(r, err)
	ask := func(prompt string) string {
		answer, err := branch.Ask(r.within(), prompt)
		require.NoError(r, err)
		return answer.Text
	}
	assert.Equal(r, "history: in common", ask("[[history]]"))
	ask("in the branch")
	r.mustAsk("in the trunk")
	assert.NotEqual(r, r.Info().SessionID, branch.Info().SessionID)
	assert.InDelta(r, 0.01, branch.Info().CostUSD, 1e-9, "what the trunk has spent is not the branch's")
	require.NoError(r, r.rt.Restart(r.within(), "branch"))
	history := ask("[[history]]")
	assert.Contains(r, history, "in the branch")
	assert.NotContains(r, history, "in the trunk")
	_, err = r.rt.Fork(r.within(), "worker", "branch")
	assert.ErrorIs(r, err, understudy.ErrExists)

	require.NoError(r, r.rt.Stop(r.within(), "worker"))
	later, err := r.rt.Fork(r.within(), "worker", "later")
	require.NoError(r, err, "of a session that is stopped")
	answer, err := later.Ask(r.within(), "[[history]]")
	require.NoError(r, err)
	assert.Equal(r, "history: in common | in the trunk", answer.Text)
}

// poisoned: a conversation on which process after process crashes is left for a new one, when the options say so.
func poisoned(r *rig) {
	r.spec.OnResumeFailure = session.ResumeFresh
	r.boot()
	r.mustAsk("remember")
	before := r.Info().SessionID
	// The signal of a crash. One that others send, such as SIGKILL, would not be the conversation's doing.
	suicide := bash("kill -SEGV $CLAUDE_PID; read -t 20 < /dev/zero")
	for range 3 {
		_, err := r.ask(suicide)
		var crash *session.CrashError
		require.ErrorAs(r, err, &crash)
		r.until("the next generation", func() bool { return r.Info().State == session.Idle })
	}
	assert.Equal(r, "history: ", r.history(), "a new conversation")
	assert.NotEqual(r, before, r.Info().SessionID)
	said := 0
	for _, record := range r.records(audit.SessionNotice) {
		if record.Detail["notice"] == string(session.NoticeResumeFailed) {
			said++
			assert.Equal(r, before, record.Detail["conversation"])
			assert.EqualValues(r, 2, record.Detail["attempts"])
		}
	}
	assert.Equal(r, 1, said)
}

// anotherDirectory: a session that is configured for another directory goes on with its conversation there, and says so.
func anotherDirectory(r *rig) {
	r.boot()
	r.mustAsk("remember")
	id := r.Info().SessionID
	require.NoError(r, r.rt.Shutdown(r.within()))
	r.spec.CWD = r.TempDir()
	var err error
	r.options.Respawn = func(string, session.Options) (session.Options, error) { return r.spec, nil }
	r.rt, err = understudy.Start(r.within(), r.options)
	require.NoError(r, err)
	rt := r.rt
	r.Cleanup(func() { shutdown(r.T, rt) })
	r.Session, err = r.rt.Session("worker")
	require.NoError(r, err)
	assert.Contains(r, r.history(), "remember")
	assert.Equal(r, id, r.Info().SessionID)
	changed := false
	for _, record := range r.records(audit.SessionNotice) {
		changed = changed || record.Detail["notice"] == string(session.NoticeOptionsChanged)
	}
	assert.True(r, changed)
}

// readBack reads what the CLI keeps of a conversation, and goes on from there in another session.
func readBack(r *rig) {
	r.boot()
	r.mustAsk("first")
	r.mustAsk(bash("echo hi"))
	store := transcript.Store{ConfigDir: r.config}
	var found []transcript.Conversation
	for c, err := range store.List(r.work) {
		require.NoError(r, err)
		found = append(found, c)
	}
	require.Len(r, found, 1)
	assert.Equal(r, r.Info().SessionID, found[0].ID)
	summary, err := found[0].Summary()
	require.NoError(r, err)
	assert.Equal(r, "first", summary.FirstPrompt)
	assert.Equal(r, 2, summary.Prompts)
	assert.Zero(r, summary.Damaged)
	var texts []string
	for text, err := range stream.Text(found[0].Messages()) {
		require.NoError(r, err)
		texts = append(texts, text)
	}
	assert.Equal(r, []string{"echo: first", "echo: " + bash("echo hi")}, texts)
	for call, err := range stream.ToolCalls(found[0].Messages(), []string{"Bash"}) {
		require.NoError(r, err)
		require.NotNil(r, call.Result)
		assert.Equal(r, "hi", strings.TrimSpace(call.Result.Content.Text()))
	}
	if r.real {
		r.mustAsk(`[[tool:Task {"description":"d","prompt":"[[say:from below]]","subagent_type":"general-purpose"}]]`)
		r.until("the subagent's conversation is there", func() bool {
			agents, err := found[0].Subagents()
			require.NoError(r, err)
			for _, a := range agents {
				for text, err := range stream.Text(a.Messages()) {
					if err == nil && text == "from below" {
						return true
					}
				}
			}
			return false
		})
	}

	// A process that was killed leaves half a line.
	f, err := os.OpenFile(found[0].Path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(r, err)
	_, err = f.WriteString(`{"type":"user","mess`)
	require.NoError(r, errors.Join(err, f.Close()))
	summary, err = found[0].Summary()
	require.NoError(r, err)
	assert.Equal(r, 1, summary.Damaged)

	fork := r.spec
	fork.Resume, fork.ForkSession = found[0].ID, true
	other, err := r.rt.Spawn(r.within(), "fork", fork)
	require.NoError(r, err)
	answer, err := other.Ask(r.within(), "[[history]]")
	require.NoError(r, err)
	assert.Contains(r, answer.Text, "first")
	assert.NotEqual(r, found[0].ID, other.Info().SessionID)
	found = nil
	for c, err := range store.List(r.work) {
		require.NoError(r, err)
		found = append(found, c)
	}
	assert.Len(r, found, 2)
}

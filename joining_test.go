package understudy_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/transcript"
)

// TestJoining begins sessions with a conversation that another one had, in each way that there is. Whatever they began with, from
// then on it is their own: a restart resumes it, under its id, and neither goes back nor copies once more.
func TestJoining(t *testing.T) {
	t.Parallel()
	const own = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
	type trunk struct {
		id, file    string
		firstAnswer string // its entry in the conversation
		second      string // the prompt of the second turn
	}
	c := trunk{second: "0ddba11a-58cc-4372-a567-0e02b2c3d479"}
	first := newRig(t, true)
	work, config := first.work, first.config
	first.boot()
	for m, err := range first.Query(first.within(), "one") {
		require.NoError(t, err)
		if a, ok := m.(*protocol.Assistant); ok {
			c.firstAnswer = a.UUID
		}
	}
	prompt := session.TextPrompt("two")
	prompt.UUID = c.second
	_, err := first.AskPrompt(first.within(), prompt)
	require.NoError(t, err)
	require.Len(t, first.transcripts(), 1)
	c.id = first.Info().SessionID
	c.file, err = filepath.Rel(config, first.transcripts()[0])
	require.NoError(t, err)
	shutdown(t, first.rt) // a clean end, which saves what it has cost

	for name, test := range map[string]struct {
		set  func(*session.Options, trunk)
		id   string   // "" for the trunk's
		told []string // the prompts that the model is told of
	}{
		"resume by id":       {func(o *session.Options, c trunk) { o.Resume = c.id }, "", []string{"one", "two"}},
		"resume by a path":   {func(o *session.Options, c trunk) { o.Resume = c.file }, "", []string{"one", "two"}},
		"continue":           {func(o *session.Options, _ trunk) { o.Continue = true }, "", []string{"one", "two"}},
		"a copy under an id": {func(o *session.Options, c trunk) { o.Resume, o.ForkSession, o.SessionID = c.id, true, own }, own, []string{"one", "two"}},
		"at a message, as a copy": {func(o *session.Options, c trunk) {
			o.Resume, o.ResumeSessionAt, o.ForkSession = c.id, c.firstAnswer, true
		}, "another", []string{"one"}},
		"without a turn": {func(o *session.Options, c trunk) {
			o.Resume, o.ResumeSessionAt, o.ResumeDropsTurn = c.id, c.firstAnswer, c.second
		}, "", []string{"one"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, true)
			r.spec.CWD = work
			require.NoError(t, os.CopyFS(r.config, os.DirFS(config)))
			c := c
			c.file = filepath.Join(r.config, c.file)
			original, err := os.ReadFile(c.file)
			require.NoError(t, err)
			r.rt, err = understudy.Start(r.within(), r.options)
			require.NoError(t, err)
			rt := r.rt
			t.Cleanup(func() { shutdown(t, rt) })
			test.set(&r.spec, c)
			r.Session, err = r.rt.Spawn(r.within(), "heir", r.spec)
			require.NoError(t, err)
			ask := func(prompt string) session.Answer {
				t.Helper()
				answer, err := r.Ask(r.within(), prompt)
				require.NoError(t, err)
				return answer
			}
			assert.Equal(t, "history: "+strings.Join(test.told, " | "), ask("[[history]]").Text)
			assert.InDelta(t, 0.005, r.Info().CostUSD, 1e-9, "what the conversation had cost is not this session's")
			id := r.Info().SessionID
			switch test.id {
			case "":
				assert.Equal(t, c.id, id)
			case "another":
				assert.NotEqual(t, c.id, id)
			default:
				assert.Equal(t, test.id, id)
			}
			for i, restart := range []func(){
				r.killIdle, func() { require.NoError(t, r.rt.Restart(r.within(), "heir")) },
			} {
				mark := "after " + strings.Repeat("x", i+1)
				ask(mark)
				restart()
				history := ask("[[history]]").Text
				assert.Contains(t, history, mark, "it goes on with its own conversation")
				assert.Equal(t, len(test.told) == 2, strings.Contains(history, "two"))
				assert.Equal(t, id, r.Info().SessionID)
			}
			assert.InDelta(t, 0.005*5, r.Info().CostUSD, 1e-9)
			assert.Equal(t, slices.Concat(test.told, []string{"[[history]]", "after x", "[[history]]", "after xx", "[[history]]"}), prompts(t, r.config, id),
				"whoever reads the conversation sees what the model has of it, and no other branch")
			joined := 0
			for _, record := range r.records(audit.SessionNotice) {
				if record.Detail["notice"] == string(session.NoticeConversationJoined) {
					joined++
					assert.Equal(t, id, record.Detail["conversation"])
				}
			}
			assert.Equal(t, 1, joined, "said once")
			if test.id != "" {
				after, err := os.ReadFile(c.file)
				require.NoError(t, err)
				assert.Equal(t, string(original), string(after), "the original is left as it is")
			}
		})
	}
}

// TestJoiningNothing: a conversation that is not there is an error at the start, and no new conversation begins in its place; only
// continue and from_pr begin one.
func TestJoiningNothing(t *testing.T) {
	t.Parallel()
	const nobody = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
	r := newRig(t, true)
	var err error
	r.rt, err = understudy.Start(r.within(), r.options)
	require.NoError(t, err)
	rt := r.rt
	t.Cleanup(func() { shutdown(t, rt) })
	for name, set := range map[string]func(*session.Options){
		"an id":        func(o *session.Options) { o.Resume = nobody },
		"a path":       func(o *session.Options) { o.Resume = filepath.Join(r.work, "nothing.jsonl") },
		"at a message": func(o *session.Options) { o.Resume, o.ResumeSessionAt = nobody, nobody },
	} {
		options := r.spec
		set(&options)
		_, err := rt.Spawn(r.within(), "worker", options)
		var crash *session.CrashError
		require.ErrorAs(t, err, &crash, name)
		assert.Equal(t, process.ClassRequest, crash.Class, "%s: %v", name, err)
		assert.NotContains(t, err.Error(), "unknown option", name)
	}
	options := r.spec
	options.Continue = true
	r.Session, err = rt.Spawn(r.within(), "worker", options)
	require.NoError(t, err)
	assert.Equal(t, "history: ", r.history())
	r.killIdle()
	assert.Contains(t, r.history(), "[[history]]")
	assert.InDelta(t, 0.01, r.Info().CostUSD, 1e-9)

	options = r.spec
	options.FromPR = "12"
	request, err := rt.Spawn(r.within(), "request", options)
	require.NoError(t, err)
	answer, err := request.Ask(r.within(), "[[history]]")
	require.NoError(t, err)
	assert.Equal(t, "history: ", answer.Text)
	assert.NotEqual(t, r.Info().SessionID, request.Info().SessionID)
}

// prompts are those of a conversation, as its file has them.
func prompts(t *testing.T, config, id string) (list []string) {
	t.Helper()
	c, err := transcript.Store{ConfigDir: config}.Find(id)
	require.NoError(t, err)
	for m, err := range c.Messages() {
		require.NoError(t, err)
		if u, ok := m.(*protocol.User); ok && u.Message.Content.IsText() {
			list = append(list, u.Message.Content.Text())
		}
	}
	return list
}

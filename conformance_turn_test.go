package understudy_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/sessiontest"
	"github.com/understudy-run/understudy/session/stream"
)

func maxTurns(r *rig) {
	r.spec.MaxTurns = 1
	r.boot()
	_, err := r.ask(bash("true") + bash("true"))
	var result *session.ResultError
	require.ErrorAs(r, err, &result)
	assert.Equal(r, protocol.ResultErrorMaxTurns, result.Result.Subtype)
	assert.Equal(r, "max_turns", result.Result.TerminalReason)
	assert.NotErrorIs(r, err, session.ErrBudgetExhausted)
	assert.Equal(r, "echo: on", r.mustAsk("on").Text)
	assert.Equal(r, 1, r.Info().Generation)
	assert.Empty(r, r.records(audit.SessionCrashed))
}

// watch collects what the session says, until the test ends.
func (r *rig) watch() <-chan session.Event {
	events := make(chan session.Event, 10_000)
	ctx, cancel := context.WithCancel(r.Context())
	r.Cleanup(cancel)
	ready := make(chan struct{})
	go func() { // ends with the test
		close(ready)
		for e, err := range r.Watch(ctx) {
			if err != nil {
				return
			}
			events <- e
		}
	}()
	<-ready
	return events
}

// next waits for an event that f accepts.
func (r *rig) next(events <-chan session.Event, what string, f func(session.Event) bool) session.Event {
	r.Helper()
	deadline := time.After(patience)
	for {
		select {
		case e := <-events:
			if f(e) {
				return e
			}
		case <-deadline:
			require.FailNow(r, "not seen: "+what)
		}
	}
}

func isResult(e session.Event) bool {
	_, ok := e.Message.(*protocol.Result)
	return ok
}

// selfTurn has a background task end between queries, and asks in the middle of the turn that the CLI begins for it.
func selfTurn(r *rig) {
	r.boot()
	events := r.watch()
	task, taskEntered, taskEnd := r.gate("task")
	r.mustAsk(tool(task, `,"run_in_background":true,"description":"a task"`) + "[[say:it runs]]")
	taskEntered()
	assert.Equal(r, "echo: between", r.mustAsk("between").Text)
	for range 2 {
		assert.False(r, r.next(events, "result", isResult).Own)
	}
	var release func()
	if r.real {
		release = r.api.Hold()
	}
	taskEnd()
	opened := r.next(events, "a turn of the CLI's own", func(e session.Event) bool { return e.Own })
	assert.Equal(r, 3, opened.Turn)
	mine := r.background("mine")
	if release != nil {
		r.until("the query waits for that turn", func() bool { return r.Info().Queue == 1 || r.Info().Turns > 2 })
		release()
	}
	require.NoError(r, mine.wait(r.T))
	assert.Equal(r, "echo: mine", *mine.text)
	own := r.next(events, "result", isResult)
	assert.True(r, own.Own)
	assert.Equal(r, 3, own.Turn)
	other := r.next(events, "result", isResult)
	assert.False(r, other.Own)
	assert.Equal(r, 4, other.Turn)
	assert.Equal(r, 1, r.Info().Generation)
	assert.InDelta(r, 0.005*6, r.Info().CostUSD, 0.0051, "the CLI's own turns cost, too")
}

// selfTurnRace has turns begin by themselves at moments that nobody chose, some with a tool round in which a prompt that
// comes too early would be taken in.
func selfTurnRace(r *rig) {
	r.boot()
	events := r.watch()
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	folded := 0
	for i := range rounds {
		ownText := fmt.Sprintf("intruder-%d", i)
		own := map[string]string{"prompt": bash("echo tool round") + "[[say:" + ownText + "]]"}
		nested, err := json.Marshal(own)
		require.NoError(r, err)
		delay := time.Duration(i) * 40 * time.Millisecond
		first := r.mustAsk(fmt.Sprintf("[[selfturn:%v %s]] [[say:asked for]]", delay, nested))
		assert.Equal(r, "asked for", first.Text)
		for j := range 3 {
			prompt := fmt.Sprintf("prompt %d.%d", i, j)
			answer := r.mustAsk(prompt)
			if answer.Result.Origin != nil {
				// Both set out at the same moment. The model was told of both, and gave one answer: it is the query's, too.
				folded++
				continue
			}
			assert.Equal(r, "echo: "+prompt, answer.Text)
		}
		r.next(events, "the turn of the CLI's own", func(e session.Event) bool {
			m, ok := e.Message.(*protocol.Assistant)
			return ok && strings.Contains(m.Text(), ownText)
		})
		r.until("rest", func() bool { return r.Info().State == session.Idle })
	}
	assert.Less(r, folded, rounds, "of three prompts a round: a prompt waits until the CLI says that it is idle") // fewer, the less busy the machine
	assert.Equal(r, 1, r.Info().Generation)
}

func interrupted(r *rig) {
	r.boot()
	require.NoError(r, r.Interrupt(r.within()), "idle: nothing to do")

	thinking := r.background("[[sleep:60]] thinking")
	<-thinking.began
	require.NoError(r, r.Interrupt(r.within()))
	assert.ErrorIs(r, thinking.wait(r.T), session.ErrInterrupted)
	assert.Equal(r, "echo: next", r.mustAsk("next").Text)

	command, entered, _ := r.gate("gate")
	working := r.background(bash("echo $$ > pid; " + command))
	entered()
	pid := r.pidIn("pid")
	require.NoError(r, r.Interrupt(r.within()))
	assert.ErrorIs(r, working.wait(r.T), session.ErrInterrupted)
	r.until("the tool ended", func() bool { return !alive(pid) })
	assert.Equal(r, "echo: last", r.mustAsk("last").Text)
	assert.Equal(r, 1, r.Info().Generation)
	assert.Empty(r, r.records(audit.SessionCrashed))
}

func modelAndMode(r *rig) {
	r.boot()
	r.mustAsk("first")
	first := r.Info().Model
	require.NoError(r, r.SetModel(r.within(), "haiku"))
	require.NoError(r, r.SetPermissionMode(r.within(), protocol.ModeAcceptEdits)) // to plan, the CLI takes another model
	check := func(when string) {
		r.Helper()
		r.mustAsk("second")
		info := r.Info()
		assert.NotEqual(r, first, info.Model, when)
		assert.Contains(r, info.Model, "haiku", when)
		assert.Equal(r, "acceptEdits", info.Mode, when)
		if r.real {
			requests := r.api.Requests()
			assert.Contains(r, requests[len(requests)-1].Model, "haiku", when)
		}
	}
	check("at once")
	r.killIdle()
	check("after a kill")
	require.NoError(r, r.rt.Restart(r.within(), "worker"))
	check("after a restart")

	require.NoError(r, r.SetModel(r.within(), ""))
	r.mustAsk("third")
	assert.Equal(r, first, r.Info().Model, "the CLI's default")
	r.killIdle()
	r.mustAsk("fourth")
	assert.Equal(r, first, r.Info().Model, "the CLI's default, and not what the conversation had before, nor Options.Model")
	require.NoError(r, r.SetModel(r.within(), "haiku"))

	err := r.SetPermissionMode(r.within(), "no-such-mode")
	var refused *protocol.ControlError
	require.ErrorAs(r, err, &refused)
	assert.Equal(r, "acceptEdits", r.Info().Mode)
	r.kill()
	assert.NoError(r, func() error { _, err := r.ask("a refused mode is not what it starts with"); return err }())
}

// blocks is a prompt of more than text: what is in it reaches the model as it was given.
func blocks(r *rig) {
	r.boot()
	picture, err := base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
	require.NoError(r, err)
	prompt := session.BlockPrompt(
		protocol.NewImage("image/png", picture), protocol.NewTextDocument("notes.txt", "the notes"),
		protocol.NewPDF("spec.pdf", []byte("%PDF-1.4\n%%EOF\n")), protocol.NewText("look at these"))
	prompt.UUID = uuid.NewString()
	prompt.Literal = true
	answer, err := r.AskPrompt(r.within(), prompt)
	require.NoError(r, err)
	assert.Equal(r, "echo: look at these", answer.Text)
	assert.Equal(r, []string{prompt.UUID}, answer.Result.UserMessageUUIDs)
	if r.real {
		requests := r.api.Requests()
		var body struct {
			Messages []struct {
				Content protocol.Content `json:"content"`
			} `json:"messages"`
		}
		require.NoError(r, json.Unmarshal(requests[len(requests)-1].Body, &body))
		var image *protocol.ImageBlock
		var documents []*protocol.DocumentBlock
		for _, m := range body.Messages {
			for _, b := range m.Content.Blocks() {
				switch b := b.(type) {
				case *protocol.ImageBlock:
					image = b
				case *protocol.DocumentBlock:
					documents = append(documents, b)
				default:
				}
			}
		}
		require.NotNil(r, image, "%s", requests[len(requests)-1].Body)
		assert.Equal(r, "image/png", image.Source.MediaType)
		assert.NotEmpty(r, image.Source.Data)
		require.Len(r, documents, 2)
		assert.Equal(r, "the notes", documents[0].Source.Data)
		assert.Equal(r, "application/pdf", documents[1].Source.MediaType)
		assert.Equal(r, "spec.pdf", *documents[1].Title)
	}
	assert.Equal(r, "echo: again", r.mustAsk("again").Text)
}

// runsOnce: the id of a prompt is the caller's to choose, and the CLI does not run it twice, in no process.
func runsOnce(r *rig) {
	r.boot()
	prompt := session.TextPrompt("hello")
	prompt.UUID = uuid.NewString()
	answer, err := r.AskPrompt(r.within(), prompt)
	require.NoError(r, err)
	assert.Equal(r, "echo: hello", answer.Text)
	_, err = r.AskPrompt(r.within(), prompt)
	require.ErrorIs(r, err, session.ErrDropped)
	r.killIdle()
	_, err = r.AskPrompt(r.within(), prompt)
	require.ErrorIs(r, err, session.ErrDropped)
	assert.Equal(r, "echo: again", r.mustAsk("again").Text)
	assert.Equal(r, 2, r.Info().Turns)
}

// refusals are of models that will not answer: it is told so once, then the next one answers for the rest of the session; without one the turn is an error, and
// the session goes on.
func refusals(r *rig) {
	r.boot()
	var kinds, models []string
	var retracted, superseded []string
	var refused, last string
	var said []protocol.Message
	for m, err := range r.Query(r.within(), "[[refuse:opus-5 cyber]] hello") {
		require.NoError(r, err)
		said = append(said, m)
		switch m := m.(type) {
		case *protocol.Assistant:
			models, last = append(models, m.Message.Model), m.Text()
			if m.Details != nil && len(m.Details.Supersedes) > 0 {
				superseded = m.Details.Supersedes
			}
			if last == "I would rather" {
				refused = m.UUID
			}
		case *protocol.ModelRefusalFallback:
			assert.Equal(r, "claude-opus-4-8", m.FallbackModel)
			require.NotNil(r, m.APIRefusalCategory)
			assert.Equal(r, "cyber", *m.APIRefusalCategory)
			retracted = m.RetractedMessageUUIDs
		case *protocol.Result:
			assert.Equal(r, 2, m.NumTurns)
			assert.EqualValues(r, 2*sessiontest.InputTokens, m.Usage.InputTokens, "what was taken back is not in it")
			assert.Equal(r, "2", string(m.SafetyStops))
		default:
		}
		if _, isInit := m.(*protocol.Init); !isInit {
			kinds = append(kinds, m.Kind())
		}
	}
	assert.Equal(r, []string{"assistant", "system/informational", "user", "assistant", "system/model_refusal_fallback", "assistant", "result/success"}, slices.DeleteFunc(kinds, func(k string) bool {
		return k == "command_lifecycle" || k == "system/session_state_changed" || k == "system/status"
	}))
	assert.Equal(r, []string{"claude-opus-5-5", "claude-opus-5-5", "claude-opus-4-8"}, models)
	assert.Contains(r, last, "hello")
	assert.Equal(r, []string{refused}, retracted)
	assert.Equal(r, retracted, superseded)
	again := func(yield func(protocol.Message, error) bool) {
		for _, m := range said {
			if !yield(m, nil) {
				return
			}
		}
	}
	summary, err := stream.Collect(again)
	require.NoError(r, err)
	assert.Equal(r, "I would rather"+last, summary.Text, "the first beginning stands, as the model was told of it; the second was taken back")
	answer, err := session.Collect(again)
	require.NoError(r, err)
	assert.Equal(r, summary.Text, answer.Text)
	assert.InDelta(r, 2*0.005+0.00625, r.Info().CostUSD, 1e-9)

	_, err = r.Ask(r.within(), "[[refuse:opus cyber]]")
	var failed *session.ResultError
	require.ErrorAs(r, err, &failed)
	require.NotNil(r, failed.Result.StopReason)
	assert.Equal(r, "refusal", *failed.Result.StopReason)
	assert.Equal(r, "api_error", failed.Result.TerminalReason)
	assert.Contains(r, failed.Result.Result, "flagged this message")
	assert.False(r, failed.Auth)
	assert.False(r, failed.Overloaded)
	assert.Equal(r, "echo: again", r.mustAsk("again").Text)
	assert.Equal(r, 1, r.Info().Generation)
}

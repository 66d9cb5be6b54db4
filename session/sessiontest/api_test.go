package sessiontest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/sessiontest"
)

// call makes a model call; the conversation is a list of roles and contents.
func call(ctx context.Context, api *sessiontest.API, key string, stream bool, conversation ...any) (*http.Response, error) {
	var messages []frame
	for i := 0; i+1 < len(conversation); i += 2 {
		messages = append(messages, frame{"role": conversation[i], "content": conversation[i+1]})
	}
	body, err := json.Marshal(frame{"model": "claude-test", "stream": stream, "messages": messages, "tools": []any{frame{"name": "Bash"}}})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, api.URL()+"/v1/messages?beta=true", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("X-Api-Key", key)
	r.Close = true // no connection stays behind
	return http.DefaultClient.Do(r)
}

// answer makes a call that is not streamed and returns its status and body.
func answer(t *testing.T, api *sessiontest.API, conversation ...any) (int, frame) {
	t.Helper()
	response, err := call(t.Context(), api, api.Env()["ANTHROPIC_API_KEY"], false, conversation...)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	var f frame
	require.NoError(t, json.NewDecoder(response.Body).Decode(&f))
	return response.StatusCode, f
}

func block(f frame) frame { return f["content"].([]any)[0].(map[string]any) }

func toolResult(text string) []any {
	return []any{frame{"type": "tool_result", "tool_use_id": "toolu_1", "content": text}}
}

func TestAPIScript(t *testing.T) {
	api := sessiontest.NewAPI(t)
	const prompt = `x [[tool:Bash {"command":"echo ]]"}]] [[ask:Read {"file_path":"a"}]] y`
	uses := []any{frame{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": frame{}}}
	tests := map[string]struct {
		conversation []any
		kind, want   string
	}{
		"first":  {[]any{"user", prompt}, "tool_use", "Bash"},
		"second": {[]any{"user", prompt, "assistant", uses, "user", toolResult("a")}, "tool_use", "Read"},
		"last":   {[]any{"user", prompt, "assistant", uses, "user", toolResult("a"), "assistant", uses, "user", toolResult("b")}, "text", "echo: " + prompt},
		"reminders are skipped": {[]any{"user", []any{
			frame{"type": "text", "text": "<system-reminder>[[say:no]]</system-reminder>"}, frame{"type": "text", "text": "hello"},
			frame{"type": "text", "text": "<system-reminder>more</system-reminder>"},
		}}, "text", "echo: hello"},
		"the newest prompt counts": {[]any{"user", "[[say:no]]", "assistant", "no", "user", "hello"}, "text", "echo: hello"},
		"interrupted": {[]any{"user", []any{
			frame{"type": "text", "text": "[[sleep:1h]]"}, frame{"type": "text", "text": "[Request interrupted by user]"}, frame{"type": "text", "text": "hello"},
		}}, "text", "echo: hello"},
		"history": {[]any{"user", "a", "assistant", "echo: a", "user", "b", "assistant", "echo: b", "user", "[[history]]"}, "text", "history: a | b"},
		"a background task": {[]any{"user", "a", "assistant", "echo: a", "user", []any{
			frame{"type": "text", "text": "<system-reminder>\n<task-notification><summary>[[say:woken]]</summary></task-notification> and more</system-reminder>"},
		}}, "text", "woken"},
		"a self turn": {[]any{"user", "[[selfturn:1s wake]]"}, "tool_use", "Bash"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			status, f := answer(t, api, test.conversation...)
			require.Equal(t, http.StatusOK, status)
			b := block(f)
			assert.Equal(t, test.kind, b["type"])
			if test.kind == "text" {
				assert.Equal(t, test.want, b["text"])
				assert.Equal(t, "end_turn", f["stop_reason"])
			} else {
				assert.Equal(t, test.want, b["name"])
				assert.Equal(t, "tool_use", f["stop_reason"])
			}
			assert.EqualValues(t, sessiontest.InputTokens, f["usage"].(map[string]any)["input_tokens"])
			assert.EqualValues(t, sessiontest.OutputTokens, f["usage"].(map[string]any)["output_tokens"])
		})
	}
}

func TestAPIStream(t *testing.T) {
	api := sessiontest.NewAPI(t)
	response, err := call(t.Context(), api, "", true, "user", "two words")
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	assert.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	var events []string
	var text strings.Builder
	scanner := bufio.NewScanner(response.Body)
	for scanner.Scan() {
		data, ok := strings.CutPrefix(scanner.Text(), "data: ")
		if !ok {
			continue
		}
		var f frame
		require.NoError(t, json.Unmarshal([]byte(data), &f))
		events = append(events, f.str("type"))
		text.WriteString(f.str("delta", "text"))
	}
	assert.Equal(t, []string{
		"message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_delta",
		"content_block_stop", "message_delta", "message_stop",
	}, events)
	assert.Equal(t, "echo: two words", text.String())
}

func TestAPIRecordsRequests(t *testing.T) {
	api := sessiontest.NewAPI(t)
	answer(t, api, "user", "first", "assistant", "echo: first", "user", "second")
	requests := api.Requests()
	require.Len(t, requests, 1)
	r := requests[0]
	assert.Equal(t, "second", r.Text())
	assert.Equal(t, []string{"first", "second"}, r.Prompts())
	assert.Equal(t, []string{"user: first", "assistant: echo: first", "user: second"}, r.Conversation())
	assert.Equal(t, []string{"Bash"}, r.Tools)
	assert.Equal(t, "claude-test", r.Model)
	assert.Equal(t, "test-key-not-real", r.Key)
	assert.Equal(t, http.StatusOK, r.Status)

	response, err := http.Get(api.URL() + "/api/anything")
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.JSONEq(t, "{}", string(body))
	assert.Len(t, api.Requests(), 1, "model calls only")
	http.DefaultClient.CloseIdleConnections()
}

func TestAPIFailures(t *testing.T) {
	t.Run("by directive", func(t *testing.T) {
		api := sessiontest.NewAPI(t)
		for range 3 {
			status, f := answer(t, api, "user", "[[status:529]]")
			assert.Equal(t, 529, status)
			assert.Equal(t, "overloaded_error", f.str("error", "type"))
		}
	})
	t.Run("by directive, some times", func(t *testing.T) {
		api := sessiontest.NewAPI(t)
		var statuses []int
		for range 3 {
			status, _ := answer(t, api, "user", "[[status:500 2]]")
			statuses = append(statuses, status)
		}
		assert.Equal(t, []int{500, 500, 200}, statuses)
	})
	t.Run("by the test", func(t *testing.T) {
		api := sessiontest.NewAPI(t)
		api.FailNext(429, 1)
		status, _ := answer(t, api, "user", "x")
		assert.Equal(t, 429, status)
		status, _ = answer(t, api, "user", "x")
		assert.Equal(t, 200, status)
	})
	t.Run("a wrong key", func(t *testing.T) {
		api := sessiontest.NewAPI(t, sessiontest.RequireKey("right"))
		response, err := call(t.Context(), api, "wrong", false, "user", "x")
		require.NoError(t, err)
		var f frame
		require.NoError(t, json.NewDecoder(response.Body).Decode(&f))
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusUnauthorized, response.StatusCode)
		assert.Equal(t, "authentication_error", f.str("error", "type"))
		status, _ := answer(t, api, "user", "x")
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, http.StatusUnauthorized, api.Requests()[0].Status)
	})
}

func TestAPIHoldAndAwait(t *testing.T) {
	api := sessiontest.NewAPI(t)
	release := api.Hold()
	answered := make(chan int, 1)
	go func() { // ends with the answer
		response, err := call(context.Background(), api, "", false, "user", "x")
		if err != nil {
			answered <- 0
			return
		}
		_ = response.Body.Close()
		answered <- response.StatusCode
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	requests, err := api.Await(ctx, 1)
	require.NoError(t, err)
	assert.Len(t, requests, 1)
	select {
	case <-answered:
		t.Fatal("answered while it was held")
	default:
	}
	release()
	release()
	assert.Equal(t, http.StatusOK, <-answered)

	over, cancel := context.WithCancel(ctx)
	cancel()
	_, err = api.Await(over, 2)
	assert.ErrorIs(t, err, context.Canceled)
}

func TestAPICloseCutsPendingAnswers(t *testing.T) {
	api := sessiontest.NewAPI(nil)
	failed := make(chan error, 1)
	go func() { // ends with the cut connection
		response, err := call(context.Background(), api, "", true, "user", "[[sleep:1h]]")
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		failed <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := api.Await(ctx, 1)
	require.NoError(t, err)
	began := time.Now()
	api.Close()
	api.Close()
	t.Logf("the call ended with %v", <-failed) // an error, or an answer cut short
	assert.Less(t, time.Since(began), patience)
	_, err = api.Await(ctx, 2)
	assert.ErrorContains(t, err, "closed")
}

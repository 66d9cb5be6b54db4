package remote

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
)

// TestReconcile tells the book what each side says, and what the book has to say about it.
func TestReconcile(t *testing.T) {
	at := time.Date(2025, 11, 5, 8, 30, 0, 0, time.UTC)
	yes, no := true, false
	intent := audit.Record{Kind: audit.ToolIntent}
	allowed := audit.Record{Kind: audit.ToolDecision, Outcome: audit.Allow}
	denied := audit.Record{Kind: audit.ToolDecision, Outcome: audit.Deny}
	good := audit.Record{Kind: audit.ToolResult, IsError: &no}
	bad := audit.Record{Kind: audit.ToolResult, IsError: &yes}
	orphan := audit.Record{Kind: audit.ToolOrphan}
	crashed := audit.Record{Kind: audit.SessionCrashed}
	accept, reject := toolEvent{name: "tool_decision", outcome: "accept"}, toolEvent{name: "tool_decision", outcome: "reject"}
	success, failure := toolEvent{name: "tool_result", outcome: "true"}, toolEvent{name: "tool_result", outcome: "false"}
	say := func(all ...any) []any { return all }
	for name, test := range map[string]struct {
		said []any
		want string // after the grace
	}{
		"as it should be":                   {say(intent, accept, allowed, good, success), ""},
		"the CLI first":                     {say(accept, success, intent, allowed, good), ""},
		"a failure":                         {say(intent, accept, bad, failure), ""},
		"refused":                           {say(intent, reject, denied, bad), ""},
		"refused by a hook, without a word": {say(intent, denied, bad), ""},
		"interrupted":                       {say(intent, accept, orphan), ""},
		"no intent, accepted":               {say(accept), "the CLI reports a tool use that the log has no intent of"},
		"no intent, run":                    {say(accept, success, good), "the CLI reports a tool use that the log has no intent of"},
		"an unknown tool":                   {say(bad), ""},
		"run though denied":                 {say(intent, denied, accept, success, bad), "the CLI ran a tool that the log has as denied"},
		"a result of what was refused":      {say(intent, good, reject), "the log has a result of a tool that the CLI reports as refused"},
		"the CLI says nothing":              {say(intent, allowed, good), "the log has a tool use that the CLI does not report"},
		"the CLI was killed":                {say(intent, allowed, good, crashed), ""},
		"no end in the log":                 {say(intent, accept, success), "the CLI reports the end of a tool use, and the log has none"},
		"success and error":                 {say(intent, accept, bad, success), "the CLI reports success, the log an error"},
		"error and success":                 {say(intent, accept, good, failure), "the CLI reports an error, the log success"},
		"still running":                     {say(intent, accept), "open"},
		"waiting for an answer":             {say(intent), "open"},
	} {
		b := newBook(time.Second, at)
		for i, word := range test.said {
			switch word := word.(type) {
			case audit.Record:
				word.Session, word.SessionID, word.Generation, word.Time, word.Seq, word.Tool = "w", "conversation", 1, at, uint64(i+1), "Bash"
				if word.Kind != audit.SessionCrashed {
					word.ToolUseID = "t1"
				}
				b.record(word, at)
			case toolEvent:
				word.session, word.id = "conversation", "t1"
				b.event(word, at)
			}
		}
		found := b.settle(at.Add(time.Second))
		switch test.want {
		case "":
			assert.Empty(t, found, name)
			assert.Empty(t, b.uses, name)
			assert.EqualValues(t, 1, b.matched, name)
		case "open":
			assert.Empty(t, found, name)
			assert.Len(t, b.uses, 1, name)
		default:
			if assert.Len(t, found, 1, name) {
				assert.Equal(t, test.want, found[0].text, name)
				assert.Equal(t, "conversation", found[0].session)
			}
			assert.Empty(t, b.uses, name)
		}
	}

	b := newBook(time.Second, at)
	b.record(audit.Record{Kind: audit.ToolIntent, Seq: 1, SessionID: "s", ToolUseID: "old", Time: at.Add(-1)}, at)
	assert.Empty(t, b.uses, "what is from before has no witness")
	for i := range maxUses + 1 {
		b.event(toolEvent{session: "s", id: fmt.Sprint(i), name: "tool_decision", outcome: "accept"}, at.Add(time.Duration(i)))
	}
	assert.Len(t, b.uses, maxUses/2+1, "it is bounded")
}

// TestReconcileTwice has both sides say again what was settled: the log's sink when its cursor could not be kept, the CLI when
// its report was not answered.
func TestReconcileTwice(t *testing.T) {
	at := time.Date(2025, 11, 5, 8, 30, 0, 0, time.UTC)
	no := false
	b := newBook(time.Second, at)
	log := func(now time.Time) {
		for i, r := range []audit.Record{{Kind: audit.ToolIntent}, {Kind: audit.ToolResult, IsError: &no}} {
			r.SessionID, r.ToolUseID, r.Time, r.Seq = "s", "t1", at, uint64(i+1)
			b.record(r, now)
		}
	}
	cli := func(now time.Time) {
		b.event(toolEvent{session: "s", id: "t1", name: "tool_decision", outcome: "accept"}, now)
		b.event(toolEvent{session: "s", id: "t1", name: "tool_result", outcome: "true"}, now)
	}
	log(at)
	cli(at)
	assert.Empty(t, b.settle(at))
	assert.EqualValues(t, 1, b.matched)
	cli(at.Add(2 * time.Second))
	log(at.Add(2 * time.Second))
	assert.Empty(t, b.uses)
	assert.Empty(t, b.settle(at.Add(patience*time.Second)))
	assert.Empty(t, b.settled, "it is not remembered for ever")
	log(at.Add(time.Hour))
	assert.Empty(t, b.uses, "a record that was taken is not taken again, whenever it comes")
	assert.Empty(t, b.settle(at.Add(2*time.Hour)))
	assert.EqualValues(t, 1, b.matched)
}

func TestWitness(t *testing.T) {
	var mu sync.Mutex
	var told []audit.Record
	w, err := NewWitness(WitnessOptions{Grace: 40 * time.Millisecond, Report: func(r audit.Record) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, r)
	}})
	require.NoError(t, err)
	defer func() { require.NoError(t, w.Close()) }()
	var passed atomic.Int64 // the test's own time
	began := time.Now()
	w.now = func() time.Time { return began.Add(time.Duration(passed.Load())) }
	pid, err := w.Start(context.Background(), actor.NewSystem(actor.Options{}))
	require.NoError(t, err)
	defer func() { pid.Stop(nil); <-pid.Done() }()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	post := func(body, token, encoding string) int {
		r, err := http.NewRequest(http.MethodPost, w.Env()["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"], strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Encoding", encoding)
		response, err := client.Do(r)
		require.NoError(t, err)
		defer response.Body.Close()
		return response.StatusCode
	}
	event := func(name, id, key, value string, sequence int) string {
		return fmt.Sprintf(`{"attributes":[{"key":"session.id","value":{"stringValue":"s1"}},{"key":"event.name","value":{"stringValue":%q}},`+
			`{"key":"tool_use_id","value":{"stringValue":%q}},{"key":%q,"value":{"stringValue":%q}},{"key":"event.sequence","value":{"intValue":%d}}]}`,
			name, id, key, value, sequence)
	}
	wrap := func(events ...string) string {
		return `{"resourceLogs":[{"scopeLogs":[{"logRecords":[` + strings.Join(events, ",") + `]}]}]}`
	}
	assert.Equal(t, http.StatusUnauthorized, post("{}", "guess", ""))
	assert.Equal(t, http.StatusBadRequest, post("{", w.Token(), ""))
	assert.Equal(t, http.StatusBadRequest, post("no gzip", w.Token(), "gzip"))
	assert.Equal(t, http.StatusOK, post(wrap(event("tool_decision", "t1", "decision", "accept", 1), event("tool_result", "t1", "success", "true", 4)), w.Token(), ""))
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, err = zip.Write([]byte(wrap(event("tool_decision", "t2", "decision", "accept", 5))))
	require.NoError(t, err)
	require.NoError(t, zip.Close())
	assert.Equal(t, http.StatusOK, post(packed.String(), w.Token(), "gzip"))

	fine := false
	require.NoError(t, w.Sink().Deliver(context.Background(), []audit.Record{
		{Seq: 1, Kind: audit.ToolIntent, Session: "w", SessionID: "s1", ToolUseID: "t1", Tool: "Bash", Time: time.Now()},
		{Seq: 2, Kind: audit.ToolResult, Session: "w", SessionID: "s1", ToolUseID: "t1", Tool: "Bash", IsError: &fine, Time: time.Now()},
	}))
	require.Eventually(t, func() bool { return w.Status().Matched == 1 }, time.Minute, time.Millisecond)
	passed.Store(int64(time.Minute))
	require.Eventually(t, func() bool { return w.Status().Open == 0 && w.Status().Differences == 1 }, time.Minute, time.Millisecond)
	status := w.Status()
	assert.Equal(t, WitnessStatus{Events: 3, Missing: 2, Matched: 1, Differences: 1}, status)
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, told, 1)
	assert.Equal(t, audit.WitnessDiffers, told[0].Kind)
	assert.Equal(t, "t2", told[0].ToolUseID)
	assert.Equal(t, "the CLI reports a tool use that the log has no intent of", told[0].Detail["difference"])
	told[0].V, told[0].Seq = 1, 1
	require.NoError(t, audit.Check(told[0]))
}

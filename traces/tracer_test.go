package traces_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/traces"
)

var begin = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func record(t *testing.T, o traces.Options) (*tracetest.InMemoryExporter, *sdk.TracerProvider, *traces.Tracer) {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter))
	t.Cleanup(func() { assert.NoError(t, provider.Shutdown(context.Background())) })
	return exporter, provider, traces.New(provider, o)
}

// life is a turn with a tool that asks and a subagent's tool, a turn that crashes, and one after the restart.
func life(caller context.Context) []session.Moment {
	all := []session.Moment{
		{Kind: session.ProcessStarted}, {Kind: session.ProcessReady},
		{Kind: session.TurnStarted, Turn: 1, Model: "sonnet", Caller: caller, Prompt: "the secret of the prompt"},
		{Kind: session.APIRetried, Turn: 1, Outcome: "overloaded"},
		{Kind: session.ToolStarted, Turn: 1, Tool: "Task", ToolUseID: "t1", Input: json.RawMessage(`{"prompt":"a secret input"}`)},
		{Kind: session.ToolStarted, Turn: 1, Tool: "Bash", ToolUseID: "t2", Parent: "t1"},
		{Kind: session.PermissionAsked, Turn: 1, Tool: "Bash", ToolUseID: "t2"},
		{Kind: session.PermissionNone, Turn: 1, Tool: "Bash", ToolUseID: "t2", Outcome: "deny", By: "operator"},
		{Kind: session.ToolEnded, Turn: 1, Tool: "Bash", ToolUseID: "t2", Outcome: "denied"},
		{Kind: session.ToolEnded, Turn: 1, Tool: "Task", ToolUseID: "t1", Outcome: "ok", Result: "a secret result"},
		{
			Kind: session.TurnEnded, Turn: 1, Outcome: "success", Model: "sonnet", CostUSD: 0.25, Result: "a secret answer",
			Tokens: &session.Tokens{Input: 1, Output: 2, CacheRead: 30, CacheCreation: 400},
		},
		{Kind: session.TurnStarted, Turn: 2, Own: true},
		{Kind: session.ToolStarted, Turn: 2, Tool: "Read", ToolUseID: "t3"},
		{Kind: session.ToolEnded, Turn: 2, Tool: "Read", ToolUseID: "t3", Outcome: "lost"},
		{Kind: session.TurnEnded, Turn: 2, Outcome: "crashed"},
		{Kind: session.ProcessEnded, Outcome: "signal: killed"},
		{Kind: session.StateChanged, Outcome: "restarting"},
		{Kind: session.ProcessStarted}, {Kind: session.ProcessReady},
		{Kind: session.TurnStarted, Turn: 2},
		{Kind: session.TurnEnded, Turn: 2, Outcome: "success"},
		{Kind: session.TurnStarted, Turn: 3},
		{Kind: session.TurnEnded, Turn: 3, Outcome: "error_max_turns"},
	}
	for i := range all {
		m := &all[i]
		m.Session, m.Label, m.SessionID, m.Generation, m.At = "worker-7", "workers", "conversation-1", 1, begin.Add(time.Duration(i)*time.Second)
		if i > 16 {
			m.Generation = 2
		}
	}
	return all
}

func attributes(s tracetest.SpanStub) map[string]any {
	all := make(map[string]any)
	for _, a := range s.Attributes {
		all[string(a.Key)] = a.Value.AsInterface()
	}
	return all
}

func TestSpansOfALife(t *testing.T) {
	exporter, provider, tracer := record(t, traces.Options{})
	caller, above := provider.Tracer("embedder").Start(context.Background(), "request")
	for _, m := range life(caller) {
		tracer.OnMoment(m)
	}
	above.End()
	spans := exporter.GetSpans()
	require.Len(t, spans, 8)
	var names []string
	for _, s := range spans {
		names = append(names, s.Name)
		assert.NotContains(t, fmt.Sprintf("%+v", s), "secret", "content is off")
	}
	require.Equal(t, []string{
		"execute_tool Bash", "execute_tool Task", "invoke_agent workers", "execute_tool Read", "invoke_agent workers",
		"invoke_agent workers", "invoke_agent workers", "request",
	}, names)
	bash, task, first, read, crashed, second, third := spans[0], spans[1], spans[2], spans[3], spans[4], spans[5], spans[6]

	assert.Equal(t, above.SpanContext().SpanID(), first.Parent.SpanID(), "a turn is below the caller's span")
	assert.Equal(t, above.SpanContext().TraceID(), bash.SpanContext.TraceID())
	assert.Equal(t, first.SpanContext.SpanID(), task.Parent.SpanID())
	assert.Equal(t, task.SpanContext.SpanID(), bash.Parent.SpanID(), "a subagent's tool is below the tool that runs it")
	assert.Equal(t, crashed.SpanContext.SpanID(), read.Parent.SpanID())
	assert.False(t, crashed.Parent.IsValid(), "nobody asked for a turn of the CLI's own")

	assert.Equal(t, map[string]any{
		"gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": "anthropic", "gen_ai.agent.name": "worker-7",
		"gen_ai.conversation.id": "conversation-1", "gen_ai.request.model": "sonnet", "gen_ai.response.model": "sonnet",
		"gen_ai.usage.input_tokens": int64(431), "gen_ai.usage.output_tokens": int64(2),
		"gen_ai.usage.cache_read.input_tokens": int64(30), "gen_ai.usage.cache_creation.input_tokens": int64(400),
		"understudy.generation": int64(1), "understudy.turn": int64(1), "understudy.cost_usd": 0.25,
	}, attributes(first))
	assert.Equal(t, map[string]any{
		"gen_ai.operation.name": "execute_tool", "gen_ai.provider.name": "anthropic", "gen_ai.agent.name": "worker-7",
		"gen_ai.conversation.id": "conversation-1", "gen_ai.tool.name": "Bash", "gen_ai.tool.call.id": "t2", "gen_ai.tool.type": "function",
		"understudy.generation": int64(1), "understudy.turn": int64(1), "error.type": "denied",
	}, attributes(bash))
	assert.Equal(t, codes.Error, bash.Status.Code)
	assert.Equal(t, codes.Unset, first.Status.Code)
	assert.Equal(t, "crashed", crashed.Status.Description)
	assert.Equal(t, "lost", attributes(read)["error.type"])
	assert.Equal(t, "error_max_turns", attributes(third)["error.type"])
	assert.Equal(t, true, attributes(crashed)["understudy.own_turn"])

	require.Len(t, first.Events, 1)
	assert.Equal(t, "api_retry", first.Events[0].Name)
	require.Len(t, bash.Events, 2)
	assert.Equal(t, "permission_refused", bash.Events[1].Name)
	assert.Contains(t, bash.Events[1].Attributes, attribute.String("understudy.decided_by", "operator"))

	assert.Equal(t, begin.Add(2*time.Second), first.StartTime)
	assert.Equal(t, begin.Add(10*time.Second), first.EndTime)
	assert.Empty(t, first.Links)
	assert.Empty(t, third.Links)
	require.Len(t, second.Links, 1)
	assert.Equal(t, crashed.SpanContext.SpanID(), second.Links[0].SpanContext.SpanID())
	assert.Contains(t, second.Links[0].Attributes, attribute.String("understudy.exit", "signal: killed"))
}

func TestContentIsThereWhenAskedFor(t *testing.T) {
	exporter, _, tracer := record(t, traces.Options{Content: true, MaxContent: 16})
	for _, m := range life(context.Background()) {
		tracer.OnMoment(m)
	}
	spans := exporter.GetSpans()
	task, first := attributes(spans[1]), attributes(spans[2])
	assert.Equal(t, `[{"role":"user","parts":[{"type":"text","content":"the secret of th…"}]}]`, first["gen_ai.input.messages"])
	assert.Equal(t, `[{"role":"assistant","parts":[{"type":"text","content":"a secret answer"}]}]`, first["gen_ai.output.messages"])
	assert.Equal(t, `{"prompt":"a sec…`, task["gen_ai.tool.call.arguments"])
	assert.Equal(t, "a secret result", task["gen_ai.tool.call.result"])
}

// TestSpansEndWhateverIsMissing takes away each moment of a life: every span that begins ends all the same.
func TestSpansEndWhateverIsMissing(t *testing.T) {
	whole := append(life(context.Background()), session.Moment{Kind: session.StateChanged, Session: "worker-7", Outcome: "stopped", At: begin.Add(time.Minute)})
	for missing := range whole[:len(whole)-1] {
		exporter := tracetest.NewInMemoryExporter()
		counter := &starts{}
		provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter), sdk.WithSpanProcessor(counter))
		tracer := traces.New(provider, traces.Options{})
		for i, m := range whole {
			if i != missing {
				tracer.OnMoment(m)
			}
		}
		assert.Equal(t, counter.n, len(exporter.GetSpans()), "without moment %d, %s", missing, whole[missing].Kind)
		require.NoError(t, provider.Shutdown(t.Context()))
	}
}

type starts struct {
	sdk.SpanProcessor
	n int
}

func (s *starts) OnStart(context.Context, sdk.ReadWriteSpan) { s.n++ }
func (s *starts) OnEnd(sdk.ReadOnlySpan)                     {}
func (s *starts) Shutdown(context.Context) error             { return nil }

func TestWithoutAProviderNothingHappens(t *testing.T) {
	tracer := traces.New(nil, traces.Options{Content: true})
	for _, m := range life(context.Background()) {
		tracer.OnMoment(m)
	}
	assert.Nil(t, tracer)
}

// TestSessionsThatAreGoneAreForgotten has more sessions come and go than are remembered.
func TestSessionsThatAreGoneAreForgotten(t *testing.T) {
	tracer := traces.New(sdk.NewTracerProvider(), traces.Options{})
	for i := range 10_100 {
		m := session.Moment{Kind: session.TurnStarted, Session: fmt.Sprint("dynamic-", i), Label: "spawned", At: begin}
		tracer.OnMoment(m)
		m.Kind, m.Outcome = session.TurnEnded, "success"
		tracer.OnMoment(m)
	}
	assert.Equal(t, 5_100, traces.Remembered(tracer))
	tracer.OnMoment(session.Moment{Kind: session.StateChanged, Session: "dynamic-10099", Outcome: "stopped"})
	assert.Equal(t, 5_099, traces.Remembered(tracer))
}

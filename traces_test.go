package understudy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/understudy-run/understudy/traces"
)

// TestTracesOfARuntime follows a query of a caller who has a trace: a tool, a crash, and what comes after it.
func TestTracesOfARuntime(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter))
	r := newRig(t, false)
	r.options.OnMoment = traces.New(provider, traces.Options{}).OnMoment
	r.boot()
	caller, above := provider.Tracer("embedder").Start(r.within(), "request")
	_, err := r.Ask(caller, `[[tool:Bash {"command":"echo hello"}]]`)
	require.NoError(t, err)
	_, err = r.ask(`[[crash]]`)
	require.Error(t, err)
	r.mustAsk("back again")
	above.End()

	spans := exporter.GetSpans()
	var names []string
	for _, s := range spans {
		names = append(names, s.Name)
	}
	require.Equal(t, []string{"execute_tool Bash", "invoke_agent spawned", "invoke_agent spawned", "invoke_agent spawned", "request"}, names)
	tool, first, crashed, second := spans[0], spans[1], spans[2], spans[3]
	assert.Equal(t, above.SpanContext().SpanID(), first.Parent.SpanID())
	assert.Equal(t, first.SpanContext.SpanID(), tool.Parent.SpanID())
	assert.Equal(t, "crashed", crashed.Status.Description)
	require.Len(t, second.Links, 1)
	assert.Equal(t, crashed.SpanContext.SpanID(), second.Links[0].SpanContext.SpanID())
	conversation := ""
	for _, a := range first.Attributes {
		if a.Key == "gen_ai.conversation.id" {
			conversation = a.Value.AsString()
		}
	}
	assert.Equal(t, r.Info().SessionID, conversation)
}

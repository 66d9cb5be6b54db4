package traces_test

import (
	"context"
	"fmt"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/traces"
)

func Example() {
	exporter := tracetest.NewInMemoryExporter() // in a program, one that sends
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter))
	tracer := traces.New(provider, traces.Options{})

	// The runtime tells it: understudy.Options{OnMoment: tracer.OnMoment}. With metrics too:
	// OnMoment: func(m session.Moment) { collector.OnMoment(m); tracer.OnMoment(m) }
	tracer.OnMoment(session.Moment{Kind: session.TurnStarted, Session: "reviewer", Label: "reviewer"})
	tracer.OnMoment(session.Moment{Kind: session.TurnEnded, Session: "reviewer", Label: "reviewer", Outcome: "success"})

	if err := provider.ForceFlush(context.Background()); err != nil {
		fmt.Println(err)
	}
	fmt.Println(exporter.GetSpans()[0].Name)
	// Output: invoke_agent reviewer
}

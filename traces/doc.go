// Package traces shows what sessions do as OpenTelemetry spans, after the conventions for generative AI.
//
// The embedder gives the provider; this package needs the API of OpenTelemetry alone, and without a provider does nothing:
//
//	tracer := traces.New(provider, traces.Options{})
//	rt, err := understudy.Start(ctx, understudy.Options{OnMoment: tracer.OnMoment, …})
//
// # Spans
//
// Each turn is a span `invoke_agent CHILD`, each use of a tool in it a span `execute_tool TOOL`, below the turn or, if a
// subagent uses it, below the tool that runs the subagent. A turn is below the span in the context of its query, if there is
// one; a turn that the CLI begins by itself has none above it. CHILD is the session's label, so that spans have few names.
//
// Questions for permission, their answers and requests to the model that are tried again are events of the span they
// belong to. What did not end well has the status Error and error.type: the subtype of the result, error or crashed
// for a turn; error, denied or lost for a tool. The first turn of a new process is linked to the last turn of
// the process before, and the link says how that ended.
//
// # Attributes
//
// gen_ai.operation.name, gen_ai.provider.name, gen_ai.agent.name, gen_ai.conversation.id and gen_ai.request.model are there
// when a span begins, so that a sampler can decide by them; gen_ai.usage.* when it ends. gen_ai.usage.input_tokens has the
// cached ones in it, as the conventions want it. understudy.generation, understudy.turn, understudy.own_turn and
// understudy.cost_usd are ours.
//
// What prompts, answers and tools say is not in a span unless [Options].Content asks for it: it may hold anything, secrets
// of the workspace included.
//
// # Concurrency
//
// OnMoment may be called from any goroutine. It calls the provider under a lock of its own, so that a provider must not
// block; those of the SDK with a batching processor do not.
package traces

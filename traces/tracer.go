package traces

import (
	"context"
	"encoding/json"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/understudy-run/understudy/session"
)

// ScopeName is the instrumentation scope of the spans.
const ScopeName = "github.com/understudy-run/understudy/traces"

// Options tune a Tracer. The zero value works.
type Options struct {
	// Content puts what prompts, answers, tools' inputs and results say into the spans. Off by default.
	Content bool
	// MaxContent is how many bytes of each are kept; 0 means 8 KiB. What is longer is cut, and JSON that was cut is none.
	MaxContent int
	// Version is the embedder's, for the instrumentation scope.
	Version string
}

// Tracer makes spans of the moments of sessions. Make one with New; nil makes none.
type Tracer struct {
	options Options
	tracer  trace.Tracer

	mu    sync.Mutex
	lives map[string]*life // of sessions, by name
}

// life is what is open of a session.
type life struct {
	turn     *turn
	tools    map[string]*tool // by id
	last     trace.SpanContext
	lastExit string // of the process that the last turn ran in; empty: it runs
}

type turn struct {
	ctx  context.Context // that holds the span
	span trace.Span
}

type tool struct {
	ctx  context.Context
	span trace.Span
}

// New returns a Tracer that gives its spans to provider. With nil it returns nil, which does nothing.
func New(provider trace.TracerProvider, o Options) *Tracer {
	if provider == nil {
		return nil
	}
	if o.MaxContent == 0 {
		o.MaxContent = 8 << 10
	}
	return &Tracer{
		options: o, tracer: provider.Tracer(ScopeName, trace.WithInstrumentationVersion(o.Version)), lives: make(map[string]*life),
	}
}

// OnMoment is what session.Spec.OnMoment and understudy.Options.OnMoment want; an embedder with a hook of its own calls it
// from there.
func (t *Tracer) OnMoment(m session.Moment) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lives[m.Session]
	if l == nil {
		t.makeRoom()
		l = &life{tools: make(map[string]*tool)}
		t.lives[m.Session] = l
	}
	switch m.Kind {
	case session.TurnStarted:
		l.cut(m) // of a killed actor, which does not tell of the end
		t.beginTurn(l, m)
	case session.TurnEnded:
		if l.turn == nil { // a result without a beginning
			m.At = m.At.Add(-m.Took)
			t.beginTurn(l, m)
			m.At = m.At.Add(m.Took)
		}
		t.endTurn(l, m)
	case session.ToolStarted:
		t.beginTool(l, m)
	case session.ToolEnded:
		t.endTool(l, m)
	case session.PermissionAsked, session.PermissionGiven, session.PermissionNone:
		attributes := []attribute.KeyValue{toolName.String(m.Tool)}
		if m.Kind != session.PermissionAsked {
			attributes = append(attributes, decision.String(m.Outcome), decidedBy.String(m.By))
		}
		l.event(m, string(m.Kind), attributes...)
	case session.APIRetried:
		l.event(m, string(m.Kind), errorType.String(m.Outcome))
	case session.ProcessEnded:
		l.lastExit = m.Outcome
		l.cut(m)
	case session.StateChanged:
		l.cut(m)
		if l.lastExit == "" {
			l.lastExit = m.Outcome
		}
		if m.Outcome == string(session.Stopped) { // it may never come back
			delete(t.lives, m.Session)
		}
	case session.ProcessStarted, session.ProcessReady, session.UnknownFrame, session.StderrLine, session.Noticed:
		// Not of a turn.
	}
	if l.turn == nil && len(l.tools) == 0 && !l.last.IsValid() {
		delete(t.lives, m.Session) // there is nothing to remember
	}
}

// mostLives bounds what is remembered of sessions that may never come back.
const mostLives = 10_000

// makeRoom forgets some of those of whom nothing is open: their next turn will have no link.
func (t *Tracer) makeRoom() {
	if len(t.lives) < mostLives {
		return
	}
	for name, l := range t.lives {
		if l.turn == nil && len(l.tools) == 0 {
			delete(t.lives, name)
		}
		if len(t.lives) <= mostLives/2 {
			return
		}
	}
}

func (t *Tracer) beginTurn(l *life, m session.Moment) {
	caller := m.Caller
	if caller == nil {
		caller = context.Background()
	}
	attributes := []attribute.KeyValue{
		operation.String("invoke_agent"), provider, agentName.String(m.Session), conversation.String(m.SessionID),
		generation.Int(m.Generation), turnNumber.Int(m.Turn),
	}
	if m.Model != "" {
		attributes = append(attributes, requestModel.String(m.Model))
	}
	if m.Own {
		attributes = append(attributes, ownTurn.Bool(true))
	}
	if t.options.Content && m.Prompt != "" {
		attributes = append(attributes, inputMessages.String(t.message("user", m.Prompt)))
	}
	options := []trace.SpanStartOption{
		trace.WithTimestamp(m.At), trace.WithSpanKind(trace.SpanKindInternal), trace.WithAttributes(attributes...),
	}
	if l.lastExit != "" && l.last.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{
			SpanContext: l.last, Attributes: []attribute.KeyValue{linkKind.String("previous_process"), exitReason.String(l.lastExit)},
		}))
	}
	l.lastExit = ""
	ctx, span := t.tracer.Start(caller, "invoke_agent "+m.Label, options...)
	l.turn = &turn{ctx, span}
	l.last = span.SpanContext()
}

func (t *Tracer) endTurn(l *life, m session.Moment) {
	span := l.turn.span
	attributes := []attribute.KeyValue{costUSD.Float64(m.CostUSD)}
	if u := m.Tokens; u != nil {
		attributes = append(attributes,
			inputTokens.Int64(u.Input+u.CacheRead+u.CacheCreation), outputTokens.Int64(u.Output),
			cacheReadTokens.Int64(u.CacheRead), cacheCreationTokens.Int64(u.CacheCreation))
	}
	if m.Model != "" {
		attributes = append(attributes, responseModel.String(m.Model))
	}
	if m.Outcome != "success" {
		attributes = append(attributes, errorType.String(m.Outcome))
		span.SetStatus(codes.Error, m.Outcome)
	}
	if t.options.Content && m.Result != "" {
		attributes = append(attributes, outputMessages.String(t.message("assistant", m.Result)))
	}
	span.SetAttributes(attributes...)
	span.End(trace.WithTimestamp(m.At))
	l.turn = nil
}

func (t *Tracer) beginTool(l *life, m session.Moment) {
	above := context.Background()
	switch parent := l.tools[m.Parent]; {
	case parent != nil:
		above = parent.ctx
	case l.turn != nil:
		above = l.turn.ctx
	}
	attributes := []attribute.KeyValue{
		operation.String("execute_tool"), provider, agentName.String(m.Session), conversation.String(m.SessionID),
		toolName.String(m.Tool), toolCall.String(m.ToolUseID), toolType.String("function"),
		generation.Int(m.Generation), turnNumber.Int(m.Turn),
	}
	if t.options.Content && len(m.Input) > 0 {
		attributes = append(attributes, toolArguments.String(cut(string(m.Input), t.options.MaxContent)))
	}
	ctx, span := t.tracer.Start(above, "execute_tool "+m.Tool,
		trace.WithTimestamp(m.At), trace.WithSpanKind(trace.SpanKindInternal), trace.WithAttributes(attributes...))
	l.tools[m.ToolUseID] = &tool{ctx, span}
}

func (t *Tracer) endTool(l *life, m session.Moment) {
	open := l.tools[m.ToolUseID]
	if open == nil {
		return
	}
	delete(l.tools, m.ToolUseID)
	if t.options.Content && m.Result != "" {
		open.span.SetAttributes(toolResult.String(cut(m.Result, t.options.MaxContent)))
	}
	if m.Outcome != "ok" {
		open.span.SetAttributes(errorType.String(m.Outcome))
		open.span.SetStatus(codes.Error, m.Outcome)
	}
	open.span.End(trace.WithTimestamp(m.At))
}

// event notes something on the span of its tool or, if there is none, of the turn.
func (l *life) event(m session.Moment, name string, attributes ...attribute.KeyValue) {
	options := []trace.EventOption{trace.WithTimestamp(m.At), trace.WithAttributes(attributes...)}
	switch open := l.tools[m.ToolUseID]; {
	case open != nil:
		open.span.AddEvent(name, options...)
	case l.turn != nil:
		l.turn.span.AddEvent(name, options...)
	}
}

// cut ends what is open, when nothing will end it any more.
func (l *life) cut(m session.Moment) {
	end := func(span trace.Span, how string) {
		span.SetAttributes(errorType.String(how))
		span.SetStatus(codes.Error, how)
		span.End(trace.WithTimestamp(m.At))
	}
	for id, open := range l.tools {
		end(open.span, "lost")
		delete(l.tools, id)
	}
	if l.turn != nil {
		end(l.turn.span, "crashed")
		l.turn = nil
	}
}

// message is a text in the form that the conventions have for messages.
func (t *Tracer) message(role, text string) string {
	type part struct {
		Type    string `json:"type"`
		Content string `json:"content"`
	}
	data, err := json.Marshal([]struct {
		Role  string `json:"role"`
		Parts []part `json:"parts"`
	}{{role, []part{{"text", cut(text, t.options.MaxContent)}}}})
	if err != nil { // strings always can be
		return ""
	}
	return string(data)
}

package session

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/rs/zerolog"

	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
)

// The outcomes that are not a result's own.
const (
	outcomeCrashed = "crashed" // the process ended in the turn
	outcomeError   = "error"
	outcomeOK      = "ok"
	outcomeDenied  = "denied"
	outcomeLost    = "lost" // the turn or the process ended before the tool's result
)

// chronicle is what an incarnation needs to tell the moments of its life.
type chronicle struct {
	turn   int       // that runs, 0 for none
	began  time.Time // the turn
	models map[string]ModelTokens
}

// tell adds where the session is.
func (l *loop) tell(m Moment) {
	m.Generation = l.record.Generation
	if m.Turn == 0 {
		m.Turn = l.chronicle.turn
	}
	l.desk.tell(m)
}

func (l *loop) tellStarted(p *process.Process) {
	l.chronicle.models = make(map[string]ModelTokens)
	l.tell(Moment{Kind: ProcessStarted, PID: p.PID(), At: p.StartedAt()})
}

func (l *loop) tellEnded(exit process.Exit) {
	l.tellTurnCut(outcomeCrashed)
	l.desk.mu.Lock()
	l.desk.history.LastWords = lastLines(exit.Stderr, maxLastWords)
	l.desk.mu.Unlock()
	outcome := exit.String()
	if exit.Stopped {
		outcome = "stopped (" + outcome + ")"
	}
	detail := ""
	if l.cause != nil {
		detail = cut(l.cause.Error(), 300)
	}
	l.tell(Moment{Kind: ProcessEnded, Outcome: outcome, Detail: detail})
}

func lastLines(lines []string, n int) []string {
	return append([]string(nil), lines[max(0, len(lines)-n):]...)
}

func (l *loop) tellTurn() {
	if l.chronicle.turn != 0 { // an init in the middle of a turn
		return
	}
	r, info := l.desk.snapshot()
	l.chronicle.turn, l.chronicle.began = r.Turns+1, time.Now()
	l.desk.update(func(_ *record, info *Info) { info.Turn, info.TurnSince = l.chronicle.turn, l.chronicle.began })
	m := Moment{Kind: TurnStarted, Model: info.Model, Own: len(l.turns.owners) == 0}
	if l.current != nil && !m.Own {
		m.Prompt, m.Caller = l.current.text, l.current.caller
	}
	l.tell(m)
}

func (l *loop) tellResult(m *protocol.Result, cost float64) {
	outcome := m.Subtype
	if m.Failed() && m.Subtype == protocol.ResultSuccess {
		outcome = outcomeError // an API failure comes as a success that is an error
	}
	byModel := make(map[string]ModelTokens, len(m.ModelUsage))
	var window int64
	for model, u := range m.ModelUsageSinceLastResult {
		byModel[model] = ModelTokens{tokensOf(u), u.CostUSD}
	}
	for model, u := range m.ModelUsage {
		now := ModelTokens{tokensOf(u), u.CostUSD}
		was := l.chronicle.models[model]
		used := ModelTokens{Tokens: now.minus(was.Tokens), CostUSD: now.CostUSD - was.CostUSD}
		if used.CostUSD < 0 {
			used.CostUSD = max(now.CostUSD, 0)
		}
		if m.ModelUsageSinceLastResult == nil { // differences: a resumed process goes on from an earlier count
			byModel[model] = used
		}
		if l.chronicle.models == nil || len(l.chronicle.models) >= maxModels {
			l.chronicle.models = make(map[string]ModelTokens)
		}
		l.chronicle.models[model] = now
		window = max(window, u.ContextWindow)
	}
	tokens := Tokens{m.Usage.InputTokens, m.Usage.OutputTokens, m.Usage.CacheReadInputTokens, m.Usage.CacheCreationInputTokens}
	l.desk.update(func(_ *record, info *Info) {
		info.Tokens = info.Tokens.plus(tokens)
		if window > 0 {
			info.ContextWindow = window
		}
	})
	end := Moment{
		Kind: TurnEnded, Turn: l.chronicle.turn, Outcome: outcome, Detail: m.TerminalReason, CostUSD: cost, Tokens: &tokens, ByModel: byModel,
		Own: m.Origin != nil, Result: m.Result,
	}
	if l.chronicle.turn != 0 {
		end.Took = time.Since(l.chronicle.began)
	} else { // a result without a beginning: it is a turn all the same
		r, _ := l.desk.snapshot()
		end.Turn = r.Turns
	}
	_, info := l.desk.snapshot()
	end.Model = info.Model
	l.tell(end)
	l.noTurn()
}

func tokensOf(u protocol.ModelUsage) Tokens {
	return Tokens{u.InputTokens, u.OutputTokens, u.CacheReadInputTokens, u.CacheCreationInputTokens}
}

// tellTurnCut ends a turn that came to no result.
func (l *loop) tellTurnCut(outcome string) {
	if l.chronicle.turn == 0 {
		return
	}
	l.tell(Moment{Kind: TurnEnded, Outcome: outcome, Took: time.Since(l.chronicle.began)})
	l.noTurn()
}

func (l *loop) noTurn() {
	l.chronicle.turn = 0
	l.desk.update(func(_ *record, info *Info) { info.Turn, info.TurnSince = 0, time.Time{} })
}

// tellContext takes down how full the context is: what the last call of the model had before it, and its answer.
func (l *loop) tellContext(m *protocol.Assistant) {
	u := m.Message.Usage
	total := u.InputTokens + u.CacheReadInputTokens + u.CacheCreationInputTokens + u.OutputTokens
	if m.ParentToolUseID != nil || total <= 0 || m.Message.Model == protocol.SyntheticModel {
		return // a subagent has a context of its own
	}
	if total == l.context { // as in all frames of one message
		return
	}
	l.context = total
	l.desk.update(func(_ *record, info *Info) { info.ContextTokens = total })
}

func (l *loop) tellTool(id string, use *toolUse) {
	l.tell(Moment{Kind: ToolStarted, Tool: use.name, ToolUseID: id, Parent: use.parent, Argument: mainArgument(use.input), Input: use.input})
}

func (l *loop) tellToolEnd(id string, use *toolUse, outcome, result string) {
	l.tell(Moment{
		Kind: ToolEnded, Tool: use.name, ToolUseID: id, Parent: use.parent, Argument: mainArgument(use.input),
		Outcome: outcome, Took: time.Since(use.started), Input: use.input, Result: result,
	})
}

func toolOutcome(isError, denied bool) string {
	switch {
	case denied:
		return outcomeDenied
	case isError:
		return outcomeError
	}
	return outcomeOK
}

// heardStderr is called for each line that a process of the session writes to stderr, by the goroutine that reads
// it. The line is cut and redacted already. callback is the embedder's: a panic of it is logged, once per process.
func heardStderr(d *desk, generation int, callback func(string), log zerolog.Logger) func(string) {
	panicked := false
	return func(line string) {
		d.tell(Moment{Kind: StderrLine, Generation: generation, Detail: line})
		if callback == nil || panicked {
			return
		}
		defer func() {
			if v := recover(); v != nil {
				panicked = true
				log.Error().Str("panic", fmt.Sprint(v)).Bytes("stack", debug.Stack()).Msg("stderr callback panicked: it is not called any more")
			}
		}()
		callback(line)
	}
}

package debug

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// sessionView is a session's own page.
type sessionView struct {
	frame
	Session item
	Needs   []need

	Facts  []fact
	Life   lifeline
	Turns  []turnItem
	Tools  []toolItem
	Past   string // why the past cannot be had
	Exits  []exitItem
	Stderr []string
	// LastWords are those of the process before.
	LastWords []string
	NoStderr  string

	Options     []fact
	Environment string
	Containment []string
	NoSetup     string

	Audit    []auditItem
	NoAudit  string
	AuditURL string
}

type fact struct {
	Name, Value string
	Code        bool
}

type exitItem struct {
	At     *moment
	Reason string
}

type turnItem struct {
	Number, Outcome, Tone, Symbol string
	Started                       *moment
	Took, Tools, Cost, Tokens     string
	Own                           bool
}

type toolItem struct {
	ID, Name, Argument, Outcome, Tone, Symbol string
	Turn                                      string
	Started                                   *moment
	Took                                      string
}

// lifeline is the lives of a session's processes as a line.
type lifeline struct {
	Spans []span
	// Ends are the processes in words, the newest first.
	Ends []generationItem
	From *moment
}

// span is a part of the line; the line is 1000 wide.
type span struct {
	X, Width float64
	Tone     string
	Title    string
	Mark     bool // it ended unasked
}

type generationItem struct {
	Number, PID, Exit, Tone, Took, Turns string
	Started                              *moment
	Ready                                string // how long the handshake took
	Running                              bool
}

func (h *handler) sessionPage(w http.ResponseWriter, r *http.Request, n Node) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	now := h.now()
	v := sessionView{frame: h.frame(n.Name, "session", "../"), Session: h.item(&n, n.Name, "../", now), Facts: facts(n, now)}
	if past, err := h.backend.History(ctx, n.Name); err != nil {
		v.Past = err.Error()
	} else {
		v.Life = lifelineOf(past.Generations, now)
		for _, t := range slices.Backward(past.Turns) {
			v.Turns = append(v.Turns, turnOf(t, now))
		}
		for _, t := range slices.Backward(past.Tools) {
			v.Tools = append(v.Tools, toolOf(t, now))
		}
		v.LastWords = past.LastWords
	}
	asked, err := h.asked(ctx)
	if err != nil {
		refuse(w, err)
		return
	}
	for _, a := range asked {
		if a.Session == n.Name {
			v.Needs = append(v.Needs, h.needOf(a, "../", now))
		}
	}
	for _, exit := range n.LastExits {
		v.Exits = append(v.Exits, exitItem{since(exit.At, now), exit.Reason})
	}
	lines, err := h.backend.Stderr(ctx, n.Name)
	if err != nil {
		v.NoStderr = err.Error()
	}
	v.Stderr = lines
	if setup, err := h.backend.Setup(ctx, n.Name); err != nil {
		v.NoSetup = err.Error()
	} else {
		for _, name := range slices.Sorted(maps.Keys(setup.Options)) {
			v.Options = append(v.Options, fact{name, shownValue(setup.Options[name]), true})
		}
		v.Environment, v.Containment = strings.Join(setup.Environment, " "), setup.Containment
	}
	v.Audit, err = h.lastOf(ctx, n.Name, 20, "../")
	if err != nil {
		v.NoAudit = err.Error()
	}
	v.AuditURL = "../audit?" + url.Values{"session": {n.Name}}.Encode()
	h.render(w, r, "session", v)
}

// shownValue is an option's value in one line.
func shownValue(v any) string {
	switch v := v.(type) {
	case string:
		return cut(v, 500)
	case []string:
		return strings.Join(v, ", ")
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, shownValue(e))
		}
		return strings.Join(parts, ", ")
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return cut(string(data), 500)
}

func lifelineOf(generations []Generation, now time.Time) lifeline {
	var life lifeline
	if len(generations) == 0 {
		return life
	}
	first := generations[0].StartedAt
	life.From = since(first, now)
	whole := max(now.Sub(first), time.Second).Seconds()
	place := func(t time.Time) float64 { return min(max(1000*t.Sub(first).Seconds()/whole, 0), 1000) }
	for _, g := range generations {
		end, running := now, g.EndedAt == nil
		if !running {
			end = *g.EndedAt
		}
		asked := strings.HasPrefix(g.Exit, "stopped")
		item := generationItem{
			Number: positive(g.Number), PID: positive(g.PID), Exit: g.Exit, Took: age(end.Sub(g.StartedAt)), Turns: fmt.Sprint(g.Turns),
			Started: since(g.StartedAt, now), Running: running, Tone: "calm",
		}
		switch {
		case running:
			item.Tone, item.Exit = "good", "running"
		case !asked:
			item.Tone = "bad"
		}
		if g.ReadyAt != nil {
			item.Ready = took(g.ReadyAt.Sub(g.StartedAt))
		} else if !running {
			item.Ready = "never"
		}
		x := place(g.StartedAt)
		life.Spans = append(life.Spans, span{
			X: x, Width: max(place(end)-x, 2), Tone: item.Tone, Mark: !running && !asked,
			Title: fmt.Sprintf("generation %d, pid %d: %s, %s", g.Number, g.PID, item.Exit, item.Took),
		})
		life.Ends = append(life.Ends, item)
	}
	slices.Reverse(life.Ends)
	return life
}

// End is where a span ends.
func (s span) End() float64 { return s.X + s.Width }

func turnOf(t Turn, now time.Time) turnItem {
	i := turnItem{
		Number: fmt.Sprint(t.Number), Outcome: t.Outcome, Started: since(t.StartedAt, now), Own: t.Own,
		Tools: fmt.Sprint(t.Tools), Tone: "bad", Symbol: "✖",
	}
	switch {
	case t.EndedAt == nil:
		i.Outcome, i.Tone, i.Symbol, i.Took = "running", "busy", "▶", age(now.Sub(t.StartedAt))
		return i
	case t.Outcome == "success":
		i.Tone, i.Symbol = "good", "✓"
	}
	i.Took, i.Cost = took(t.EndedAt.Sub(t.StartedAt)), "$"+fmt.Sprintf("%.4f", t.CostUSD)
	if sum := t.Tokens.Sum(); sum > 0 {
		i.Tokens = short(sum)
	}
	return i
}

func toolOf(t ToolRun, now time.Time) toolItem {
	i := toolItem{ID: t.ID, Name: t.Name, Argument: t.Argument, Outcome: t.Outcome, Turn: positive(t.Turn), Started: since(t.StartedAt, now)}
	switch {
	case t.EndedAt == nil:
		i.Outcome, i.Tone, i.Symbol, i.Took = "running", "busy", "▶", age(now.Sub(t.StartedAt))
		return i
	case t.Outcome == "ok":
		i.Tone, i.Symbol = "good", "✓"
	case t.Outcome == "error", t.Outcome == "lost":
		i.Tone, i.Symbol = "bad", "✖"
	default:
		i.Tone, i.Symbol = "warn", "⊘"
	}
	i.Took = took(t.EndedAt.Sub(t.StartedAt))
	return i
}

// took is a duration that may be short.
func took(d time.Duration) string {
	switch {
	case d < 0:
		return "0ms"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return age(d)
}

func facts(n Node, now time.Time) []fact {
	var list []fact
	add := func(name, value string, code bool) {
		if value != "" {
			list = append(list, fact{name, value, code})
		}
	}
	if s := n.SessionFields; s != nil {
		add("session id", s.SessionID, true)
		add("process", positive(s.PID), true)
		add("generation", positive(s.Generation), false)
		if s.StartedAt != nil {
			add("process started", stamp(*s.StartedAt)+", "+ageOf(*s.StartedAt, now)+" ago", false)
		}
		add("turns", fmt.Sprint(s.Turns), false)
		add("queries that wait", fmt.Sprint(s.Queue), false)
		if s.Subagents > 0 {
			add("subagents at work", fmt.Sprint(s.Subagents), false)
		}
	}
	add("messages that wait", fmt.Sprint(n.Mailbox), false)
	if s := n.SessionFields; s != nil {
		add("model", s.Model, false)
		add("permission mode", s.Mode, false)
		add("working directory", s.CWD, true)
		add("CLI version", s.CLIVersion, false)
		if s.BudgetUSD > 0 {
			add("budget", dollars(s.BudgetUSD), false)
		} else {
			add("budget", "no limit", false)
		}
		if s.APIRetries > 0 {
			add("API requests tried again", fmt.Sprint(s.APIRetries), false)
		}
		if s.Unknown > 0 {
			add("frames not understood", fmt.Sprint(s.Unknown), false)
		}
	}
	add("restart", n.Restart, false)
	if i := n.Intensity; i != nil {
		add("restarts allowed", fmt.Sprintf("%d within %gs", i.MaxRestarts, i.MaxSeconds), false)
	}
	return list
}

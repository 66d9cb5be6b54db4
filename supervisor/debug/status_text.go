package debug

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Status is what RenderStatus shows of a session.
type Status struct {
	Path    string // from the root
	Node    Node
	Setup   Setup
	History History
	Stderr  []string
}

// How much of a session's past its status has.
const (
	statusGenerations = 5
	statusTurns       = 4
	statusTools       = 6
	statusLines       = 8
)

// RenderStatus writes a session on one screen: what it is, what it does, what it has used, why it last ended, what was
// last said. Lines are cut at Width.
func RenderStatus(w io.Writer, s Status, o RenderOptions) error {
	o = o.withDefaults()
	n, f := s.Node, s.Node.SessionFields
	if f == nil {
		f = &SessionFields{}
	}
	p := &statusText{o: o}
	l := lookOf(n.State)
	p.line("", painted(o, l.tone, l.symbol)+" "+strong(o, harmless(n.Name))+" - "+harmless(s.Path))
	state := painted(o, l.tone, harmless(n.State))
	if !n.Since.IsZero() {
		state += " since " + stamp(n.Since) + "; " + ageOf(n.Since, o.Now) + " ago"
	}
	p.line("State", state)
	if text := trouble(n, o.Now); text != "" {
		p.line("Trouble", painted(o, l.tone, harmless(text)))
	} else if onTheBrink(n) {
		p.line("Trouble", painted(o, "warn", "the next restart is one too many: "+exhausted(n)))
	}
	switch {
	case f.Turn > 0 && f.TurnSince != nil:
		p.line("Turn", fmt.Sprintf("%d, for %s%s", f.Turn, ageOf(*f.TurnSince, o.Now), prefixed("; ", harmless(doing(n)))))
	default:
		p.line("Turns", fmt.Sprint(f.Turns))
	}
	if f.Queue > 0 || n.Mailbox > 0 {
		p.line("Waiting", fmt.Sprintf("%s, %s", plural(f.Queue, "prompt"), plural(n.Mailbox, "message")))
	}
	p.line("Process", processText(f, o.Now))
	p.line("Restarts", restartText(n))
	if n.LastExit != nil {
		p.line("Last exit", ageOf(n.LastExit.At, o.Now)+" ago: "+harmless(n.LastExit.Reason))
	}
	p.line("Model", harmless(strings.TrimSpace(f.Model+" "+parens(f.Mode)))+prefixed(", CLI ", harmless(f.CLIVersion)))
	if f.CWD != "" {
		p.line("Directory", harmless(f.CWD))
	}
	p.line("Session", harmless(f.SessionID))
	p.line("Cost", cost(f)+prefixed("; tokens ", tokensText(f.Tokens)))
	if f.ContextTokens > 0 && f.ContextWindow > 0 {
		p.line("Context", fmt.Sprintf("%.0f%% of %s tokens", 100*float64(f.ContextTokens)/float64(f.ContextWindow), grouped(f.ContextWindow)))
	}
	if f.Unknown > 0 || f.APIRetries > 0 {
		p.line("Noticed", fmt.Sprintf("%s to the model tried again, %s not understood", plural(int(f.APIRetries), "request"), plural(int(f.Unknown), "frame")))
	}
	if len(s.Setup.Containment) > 0 {
		p.line("Held by", harmless(strings.Join(s.Setup.Containment, "; ")))
	}
	p.past(s, o)
	for i, line := range p.lines {
		p.lines[i] = cutPainted(line, o.Width)
	}
	_, err := io.WriteString(w, strings.Join(p.lines, "\n")+"\n")
	return err
}

// statusText collects the lines of a status.
type statusText struct {
	o     RenderOptions
	lines []string
}

// line adds a labelled line; one without a label stands at the left.
func (p *statusText) line(label, text string) {
	switch {
	case text == "":
	case label == "":
		p.lines = append(p.lines, text)
	default:
		p.lines = append(p.lines, fmt.Sprintf("%11s: %s", label, text))
	}
}

// past adds what has been.
func (p *statusText) past(s Status, o RenderOptions) {
	list := func(title string, n int) bool {
		if n > 0 {
			p.lines = append(p.lines, "", strong(o, title))
		}
		return n > 0
	}
	tail := func(n, most int) int { return max(0, n-most) }
	if g := s.History.Generations; list("Processes", len(g)) {
		for _, g := range slices.Backward(g[tail(len(g), statusGenerations):]) {
			end, exit, tone := o.Now, "running", "good"
			if g.EndedAt != nil {
				end, exit, tone = *g.EndedAt, g.Exit, "bad"
				if strings.HasPrefix(exit, "stopped") {
					tone = "calm"
				}
			}
			p.line("", fmt.Sprintf("  %3d  %8s ago  lived %-7s %-9s %s", g.Number, ageOf(g.StartedAt, o.Now), age(end.Sub(g.StartedAt)), plural(g.Turns, "turn"), painted(o, tone, harmless(exit))))
		}
	}
	if t := s.History.Turns; list("Turns", len(t)) {
		for _, t := range slices.Backward(t[tail(len(t), statusTurns):]) {
			i := turnOf(t, o.Now)
			p.line("", fmt.Sprintf("  %3s  %8s ago  took %-8s %-9s %-8s %s", i.Number, ageOf(t.StartedAt, o.Now), i.Took, plural(t.Tools, "tool"), i.Cost, painted(o, i.Tone, i.Symbol+" "+harmless(i.Outcome))))
		}
	}
	if t := s.History.Tools; list("Tools", len(t)) {
		for _, t := range slices.Backward(t[tail(len(t), statusTools):]) {
			i := toolOf(t, o.Now)
			p.line("", fmt.Sprintf("  %s %-7s %8s ago  took %-8s %s %s", painted(o, i.Tone, i.Symbol), harmless(i.Outcome), ageOf(t.StartedAt, o.Now), i.Took, strong(o, harmless(i.Name)), harmless(i.Argument)))
		}
	}
	if e := s.Stderr; list("Stderr", len(e)) {
		for _, line := range e[tail(len(e), statusLines):] {
			p.line("", "  "+harmless(line))
		}
	}
	if e := s.History.LastWords; len(s.Stderr) == 0 && list("Last words of the process before", len(e)) {
		for _, line := range e[tail(len(e), statusLines):] {
			p.line("", "  "+harmless(line))
		}
	}
}

func processText(f *SessionFields, now time.Time) string {
	if f.PID == 0 {
		return "none"
	}
	text := fmt.Sprintf("%d, generation %d", f.PID, f.Generation)
	if f.StartedAt != nil {
		text += ", started " + ageOf(*f.StartedAt, now) + " ago"
	}
	if u := f.Usage; u != nil {
		text += fmt.Sprintf("; %d of them, %s of memory, %.1fs of CPU", u.Processes, bytesOf(u.RSSBytes), u.CPUSeconds)
	}
	return text
}

func restartText(n Node) string {
	if n.Intensity == nil {
		return fmt.Sprintf("%d in all%s", n.Restarts, prefixed(", ", n.Restart))
	}
	return fmt.Sprintf("%d of %d within %gs, %d in all%s", n.Intensity.Used, n.Intensity.MaxRestarts, n.Intensity.MaxSeconds, n.Restarts, prefixed(", ", n.Restart))
}

func tokensText(t Tokens) string {
	if t.Sum() == 0 {
		return ""
	}
	return fmt.Sprintf("%s in, %s out, %s from the cache, %s into it", grouped(t.Input), grouped(t.Output), grouped(t.CacheRead), grouped(t.CacheCreation))
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

func parens(text string) string {
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}

func painted(o RenderOptions, tone, text string) string { return paint(text, tone, o.Color) }

func strong(o RenderOptions, text string) string { return paint(text, "title", o.Color) }

// cutPainted cuts a line with colours in it to a number of cells; 0 is no limit.
func cutPainted(line string, width int) string {
	if width <= 0 {
		return line
	}
	var out strings.Builder
	painting, escape := false, false
	for i, r := range line {
		switch {
		case escape:
			out.WriteRune(r)
			escape = r != 'm'
			continue
		case r == '\x1b':
			escape = true
			painting = !strings.HasPrefix(line[i:], "\x1b[0m")
			out.WriteRune(r)
			continue
		}
		width -= runeCells(r)
		if width < 1 && cells(plainOf(line[i:])) > width+runeCells(r) {
			out.WriteString("…")
			return out.String() + end(painting)
		}
		out.WriteRune(r)
	}
	return out.String()
}

// end is what ends a colour.
func end(painting bool) string {
	if painting {
		return "\x1b[0m"
	}
	return ""
}

// plainOf is a line without its colours.
func plainOf(line string) string { return colours.ReplaceAllString(line, "") }

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

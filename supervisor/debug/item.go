package debug

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// item is a node in words.
type item struct {
	ID, Name, Path, Branch, Href, Kind string

	State, Symbol, Tone string
	Since               *moment

	Turn          string // the one that runs, or how many there were
	TurnSince     *moment
	Tool, ToolArg string
	Waiting       string

	Generation, PID, Model string
	Tokens, TokensTitle    string
	RSS, CPU, UsageTitle   string

	Restarts, Budget, Context *meter
	Cost                      string
	Strategy                  string
	Under                     string // of a supervisor: the address of what is below it

	LastExit   string
	LastExitAt *moment

	Trouble   string
	NextTry   *moment
	IsSession bool
	CanAct    bool
	Removable bool // unless it has something to do
	Fixed     bool // it is in the configuration, and not removable for that
}

// meter is a bar: value of max, which is fine up to low and alarming from high on.
type meter struct {
	Value, Max, Low, High float64
	Text, Title           string
}

// item puts a node into words. base leads from the page to Path.
func (h *handler) item(n *Node, path, base string, now time.Time) item {
	state := shownState(n)
	l := lookOf(state)
	i := item{
		ID: "n-" + url.PathEscape(path), Name: n.Name, Path: path, Kind: n.Kind, State: state, Symbol: l.symbol, Tone: l.tone,
		Since: since(n.Since, now), Waiting: waiting(*n), Restarts: restartMeter(*n), Strategy: n.Strategy,
		NextTry: until(n.NextTry, now), IsSession: n.Kind == KindSession,
	}
	if i.IsSession && n.Name != "." && n.Name != ".." { // a browser would make something else of those
		i.Href = base + "sessions/" + url.PathEscape(n.Name)
		i.CanAct = h.options.Actions
	}
	if n.Kind == "supervisor" {
		i.Under = base + filter{Under: path}.query()
	}
	switch {
	case inTrouble(*n):
		i.Trouble = why(*n)
	case onTheBrink(*n):
		i.Trouble = "the next restart is one too many: " + exhausted(*n)
	}
	if n.LastExit != nil {
		i.LastExit, i.LastExitAt = terse(n.LastExit.Reason, n.Name), since(n.LastExit.At, now)
	}
	if s := n.SessionFields; s != nil {
		_, removes := h.backend.(RemoveBackend)
		i.Removable, i.Fixed = i.CanAct && removes && !s.Configured, removes && s.Configured
		h.describe(&i, s, now)
	}
	return i
}

// describe adds what a session has beyond the others.
func (h *handler) describe(i *item, s *SessionFields, now time.Time) {
	i.Generation, i.PID, i.Cost, i.Model = positive(s.Generation), positive(s.PID), cost(s), s.Model
	i.Tool, i.ToolArg = s.Tool, s.ToolArg
	switch {
	case s.Turn > 0:
		i.Turn = fmt.Sprintf("turn %d", s.Turn)
		if s.TurnSince != nil {
			i.TurnSince = since(*s.TurnSince, now)
		}
	case s.Turns > 0:
		i.Turn = plural(s.Turns, "turn")
	}
	if sum := s.Tokens.Sum(); sum > 0 {
		i.Tokens = short(sum)
		i.TokensTitle = fmt.Sprintf("%s in, %s out, %s from the cache, %s into it, since the daemon was started",
			grouped(s.Tokens.Input), grouped(s.Tokens.Output), grouped(s.Tokens.CacheRead), grouped(s.Tokens.CacheCreation))
	}
	if s.ContextTokens > 0 && s.ContextWindow > 0 {
		used, all := float64(s.ContextTokens), float64(s.ContextWindow)
		i.Context = &meter{min(used, all), all, 0.7 * all, 0.85 * all, fmt.Sprintf("%.0f%%", 100*used/all),
			fmt.Sprintf("%s of %s tokens of context", grouped(s.ContextTokens), grouped(s.ContextWindow))}
	}
	if s.BudgetUSD > 0 {
		i.Budget = &meter{min(s.CostUSD, s.BudgetUSD), s.BudgetUSD, 0.75 * s.BudgetUSD, 0.9 * s.BudgetUSD, i.Cost,
			fmt.Sprintf("%s of %s used", dollars(s.CostUSD), dollars(s.BudgetUSD))}
	}
	if u := s.Usage; u != nil {
		i.RSS = bytesOf(u.RSSBytes)
		i.UsageTitle = fmt.Sprintf("%s, %.1f s of CPU since it was started", plural(u.Processes, "process"), u.CPUSeconds)
		if u.Processes != 1 {
			i.UsageTitle = fmt.Sprintf("%d processes, %.1f s of CPU since it was started", u.Processes, u.CPUSeconds)
		}
		if percent := h.load.percent(s.PID, u.CPUSeconds, now); percent >= 0 {
			i.CPU = fmt.Sprintf("%.0f%%", percent)
		}
	}
}

// saidBefore is what the reason of an exit says and its row does too.
var saidBefore = regexp.MustCompile(`^(CLI )?\(generation \d+\) (ended: )?`)

// terse is the reason of an exit without what stands beside it.
func terse(reason, name string) string {
	return saidBefore.ReplaceAllString(strings.TrimPrefix(strings.TrimPrefix(reason, "session "+name+": "), "CLI "), "")
}

// positive is a number, or nothing for 0.
func positive(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// exhausted is what happens to a node that is restarted too often.
func exhausted(n Node) string {
	if n.Kind == KindSession {
		return "it will be parked, or its group given up"
	}
	return "it will give up, and what is above it decide"
}

func restartMeter(n Node) *meter {
	text := restarts(n)
	if text == "" {
		return nil
	}
	m := &meter{Text: text, Title: plural(n.Restarts, "restart") + " since it was added"}
	if i := n.Intensity; i != nil {
		m.Value, m.Max = float64(i.Used), float64(i.MaxRestarts)
		m.Low, m.High = m.Max/2, m.Max-0.5 // alarming when the next one is too many
		m.Title = fmt.Sprintf("%d of %s within %gs used; %d since it was added", i.Used, plural(i.MaxRestarts, "restart"), i.MaxSeconds, n.Restarts)
	}
	return m
}

// bytesOf is an amount of memory in three digits or so.
func bytesOf(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%dG", n>>30)
	case n >= 1<<30:
		return fmt.Sprintf("%.1fG", float64(n)/(1<<30))
	default:
		return fmt.Sprintf("%dM", (n+1<<19)>>20)
	}
}

// short is a count in three digits or so.
func short(n int64) string {
	switch {
	case n >= 10_000_000:
		return fmt.Sprintf("%dM", n/1_000_000)
	case n >= 1_000_000:
		return fmt.Sprintf("%.1fM", float64(n)/1_000_000)
	case n >= 1_000:
		return fmt.Sprintf("%dk", n/1_000)
	default:
		return strconv.FormatInt(n, 10)
	}
}

// grouped is a number with commas.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

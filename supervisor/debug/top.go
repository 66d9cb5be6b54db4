package debug

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Top is a list of sessions on a terminal, the way `top` has processes: it takes trees and keys, and gives the screen.
// It is for one goroutine.
type Top struct {
	root     Node
	seen     bool
	problem  string
	filter   filter
	typing   bool
	order    int
	selected string // name of a session
	first    int    // row of the list that is at the top
	rows     []spot
	confirm  *TopAction
	message  string
	help     bool
	load     load
}

// TopAction is what a key wants done.
type TopAction struct {
	// Kind is quit, open, attach, restart, interrupt or stop; empty: nothing.
	Kind    string
	Session string
}

// orders are those of the list, by their keys and columns.
var orders = []struct{ sort, title string }{
	{"state", "STATE"}, {"name", "NAME"}, {"queue", "QUEUE"}, {"restarts", "RESTARTS"}, {"cost", "COST"}, {"context", "CTX"}, {"rss", "RSS"}, {"cpu", "CPU"},
}

// Update takes the tree of now, or why there is none.
func (t *Top) Update(root Node, err error) {
	if err != nil {
		t.problem = err.Error()
		return
	}
	t.root, t.seen, t.problem = root, true, ""
	t.list()
}

// Done says how an action went.
func (t *Top) Done(a TopAction, err error) {
	past := map[string]string{"restart": "restarted", "interrupt": "interrupted", "stop": "stopped"}[a.Kind]
	t.message = a.Session + " " + past
	if err != nil {
		t.message = err.Error()
	}
}

// Key takes a key: a character, or up, down, pageup, pagedown, home, end, enter, escape, backspace or ctrl-c.
func (t *Top) Key(key string) TopAction {
	if key == "ctrl-c" {
		return TopAction{Kind: "quit"}
	}
	switch {
	case t.typing:
		t.typed(key)
		return TopAction{}
	case t.confirm != nil:
		action := *t.confirm
		t.confirm, t.message = nil, ""
		if key != "y" {
			return TopAction{}
		}
		t.message = action.Session + ": " + action.Kind + " …"
		return action
	case t.help:
		t.help = false
		return TopAction{}
	}
	t.message = ""
	return t.command(key)
}

func (t *Top) command(key string) TopAction {
	act := func(kind string) TopAction {
		if t.selected == "" {
			return TopAction{}
		}
		return TopAction{kind, t.selected}
	}
	switch key {
	case "q":
		return TopAction{Kind: "quit"}
	case "j", "down":
		t.move(1)
	case "k", "up":
		t.move(-1)
	case "pagedown", " ":
		t.move(20)
	case "pageup":
		t.move(-20)
	case "g", "home":
		t.move(-len(t.rows))
	case "G", "end":
		t.move(len(t.rows))
	case "/":
		t.typing = true
	case "escape":
		t.filter.Text = ""
		t.list()
	case "z":
		t.filter.Faults = !t.filter.Faults
		t.list()
	case "s":
		t.order = (t.order + 1) % len(orders)
		t.list()
	case "S":
		t.order = (t.order + len(orders) - 1) % len(orders)
		t.list()
	case "?", "h":
		t.help = true
	case "enter":
		return act("open")
	case "a":
		return act("attach")
	case "i":
		return act("interrupt")
	case "r":
		return t.ask(act("restart"))
	case "x":
		return t.ask(act("stop"))
	}
	return TopAction{}
}

// ask has an action confirmed.
func (t *Top) ask(a TopAction) TopAction {
	if a.Kind != "" {
		t.confirm = &a
	}
	return TopAction{}
}

func (t *Top) typed(key string) {
	switch {
	case key == "enter":
		t.typing = false
	case key == "escape":
		t.typing, t.filter.Text = false, ""
	case key == "backspace":
		if r := []rune(t.filter.Text); len(r) > 0 {
			t.filter.Text = string(r[:len(r)-1])
		}
	case len([]rune(key)) == 1:
		t.filter.Text += key
	}
	t.list()
}

// list makes the rows anew. The selected session stays selected; if it is gone, the one in its place is.
func (t *Top) list() {
	at := t.index()
	t.filter.Sort = orders[t.order].sort
	t.rows, _ = t.filter.rows(&t.root)
	if t.filter.Sort == "state" {
		slices.SortStableFunc(t.rows, func(a, b spot) int {
			return cmp.Or(cmp.Compare(gravity(b.node), gravity(a.node)), cmp.Compare(a.node.Name, b.node.Name))
		})
	}
	if t.index() < 0 {
		t.selected = ""
		if len(t.rows) > 0 {
			t.selected = t.rows[min(max(at, 0), len(t.rows)-1)].node.Name
		}
	}
}

func (t *Top) index() int {
	return slices.IndexFunc(t.rows, func(s spot) bool { return s.node.Name == t.selected })
}

func (t *Top) move(by int) {
	if len(t.rows) > 0 {
		t.selected = t.rows[min(max(t.index()+by, 0), len(t.rows)-1)].node.Name
	}
}

// Selected is the name of the session that the next action is about; empty if there is none.
func (t *Top) Selected() string { return t.selected }

// Render is the screen, that many lines high. Lines are cut at the width of o.
func (t *Top) Render(height int, o RenderOptions) string {
	o = o.withDefaults()
	lines := t.head(o)
	if t.help {
		lines = append(lines, helpOfTop...)
	} else {
		lines = append(lines, t.body(max(height-len(lines)-1, 1), o)...)
	}
	for len(lines) < height-1 {
		lines = append(lines, "")
	}
	lines = append(lines[:min(len(lines), max(height-1, 0))], t.foot())
	for i := range lines {
		lines[i] = cutPainted(lines[i], o.Width)
	}
	return strings.Join(lines, "\n")
}

var helpOfTop = []string{
	"", "  j k ↑ ↓     choose a session          Enter  its status", "  /           filter                    a      attach to it",
	"  z           faults only               i      interrupt its turn", "  s S         next, previous order      r      restart it", "  g G         first, last               x      stop it",
	"  q           leave", "", "  any key goes back",
}

// head is what stands above the list.
func (t *Top) head(o RenderOptions) []string {
	if !t.seen {
		return []string{"connecting …", ""}
	}
	counts := make(map[string]int)
	var spent float64
	sessions := t.root.Sessions()
	for _, n := range sessions {
		counts[shownState(&n)]++
		if n.SessionFields != nil {
			spent += n.CostUSD
		}
	}
	parts := []string{strong(o, plural(len(sessions), "session"))}
	for _, state := range chips {
		if counts[state] > 0 {
			l := lookOf(state)
			parts = append(parts, painted(o, l.tone, fmt.Sprintf("%s %d %s", l.symbol, counts[state], state)))
		}
	}
	first := strings.Join(parts, "  ") + "  spent " + dollars(spent) + "  up " + ageOf(t.root.Since, o.Now)
	second := ""
	if all := troubled(&t.root); len(all) > 0 {
		worst := all[0].node
		text := trouble(*worst, o.Now)
		if text == "" {
			text = "the next restart is one too many: " + exhausted(*worst)
		}
		second = painted(o, lookOf(worst.State).tone, "! "+harmless(worst.Name)+": "+harmless(text))
	}
	return []string{first, second}
}

// body is the list, with the part of it that has the selected session.
func (t *Top) body(height int, o RenderOptions) []string {
	tab := &table{columns: []column{
		{title: "NAME"}, {title: "STATE"}, {title: "DOING", gives: true}, {title: "QUEUE", right: true}, {title: "RESTARTS"},
		{title: "COST", right: true}, {title: "CTX", right: true}, {title: "RSS", right: true}, {title: "CPU", right: true}, {title: "GEN", right: true},
	}}
	for i := range tab.columns {
		if tab.columns[i].title == orders[t.order].title {
			tab.columns[i].title += "▾"
		}
	}
	visible := max(height-1, 1)
	at := t.index()
	t.first = min(t.first, max(len(t.rows)-visible, 0), max(at, 0))
	if at >= t.first+visible {
		t.first = at - visible + 1
	}
	shown := t.rows[t.first:min(t.first+visible, len(t.rows))]
	for _, s := range shown {
		tab.rows = append(tab.rows, row{cells: t.cells(s.node, o.Now)})
	}
	var b bytes.Buffer
	if !o.Color && o.Width > 1 {
		o.Width-- // for the mark of the selected one
	}
	_ = tab.write(&b, o) // to memory
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	for i, line := range lines {
		switch chosen := at >= 0 && i == at-t.first+1; {
		case chosen && o.Color:
			text := plainOf(line)
			lines[i] = "\x1b[7m" + text + strings.Repeat(" ", max(o.Width-cells(text), 0)) + "\x1b[0m"
		case chosen:
			lines[i] = ">" + line
		case !o.Color:
			lines[i] = " " + line
		}
	}
	if len(t.rows) == 0 && t.seen {
		lines = append(lines, "nothing matches; Escape shows all")
	}
	return lines
}

func (t *Top) cells(n *Node, now time.Time) []cell {
	s := n.SessionFields
	if s == nil {
		s = &SessionFields{}
	}
	context, rss, cpu := "", "", ""
	if s.ContextTokens > 0 && s.ContextWindow > 0 {
		context = fmt.Sprintf("%.0f%%", 100*float64(s.ContextTokens)/float64(s.ContextWindow))
	}
	if u := s.Usage; u != nil {
		rss = bytesOf(u.RSSBytes)
		if percent := t.load.percent(s.PID, u.CPUSeconds, now); percent >= 0 {
			cpu = fmt.Sprintf("%.0f%%", percent)
		}
	}
	return []cell{
		{text: harmless(n.Name)}, stateCell(*n, now), {text: harmless(doing(*n))}, {text: waiting(*n)}, {text: restarts(*n)},
		{text: cost(s)}, {text: context}, {text: rss}, {text: cpu}, {text: number(s.Generation)},
	}
}

// foot is the last line.
func (t *Top) foot() string {
	switch {
	case t.confirm != nil:
		return t.confirm.Kind + " " + t.confirm.Session + "? y/n"
	case t.typing:
		return "/" + t.filter.Text + "▏"
	case t.problem != "":
		return harmless(t.problem)
	case t.message != "":
		return harmless(t.message)
	}
	parts := []string{"q leave", "/ filter", "z faults", "s order", "Enter status", "a attach", "i interrupt", "r restart", "x stop", "? keys"}
	if t.filter.Text != "" {
		parts = append([]string{"filter: " + t.filter.Text}, parts...)
	}
	if t.filter.Faults {
		parts = append([]string{"faults only"}, parts...)
	}
	return strings.Join(parts, " · ")
}

package debug

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// RenderOptions tune RenderTree and RenderSessions.
type RenderOptions struct {
	Now   time.Time // what ages are counted to; zero means time.Now()
	Color bool      // with the escape sequences of a terminal
	Width int       // of the terminal in cells; 0 means no limit
}

// RenderTree writes the tree as lines of text: a row for each node, and below a node in trouble why it is
// and what comes next. A supervisor's and a session's RESTARTS are those used of those allowed in its
// window, and in parentheses those of its life; QUEUE is the queries that wait, and after a plus what else
// is in the mailbox. To fit into Width, DOING is cut first.
func RenderTree(w io.Writer, n Node, o RenderOptions) error {
	o = o.withDefaults()
	t := &table{columns: []column{
		{title: "NAME"}, {title: "STATE"}, {title: "DOING", gives: true}, {title: "QUEUE", right: true},
		{title: "TURNS", right: true}, {title: "RESTARTS"}, {title: "COST", right: true}, {title: "PID", right: true}, {title: "GEN", right: true},
	}}
	var walk func(n Node, first, rest string)
	walk = func(n Node, first, rest string) {
		cells := []cell{{text: first + harmless(n.Name)}, stateCell(n, o.Now), {text: harmless(doing(n))}, {text: waiting(n)}, {}, {text: restarts(n)}, {}, {}, {}}
		if s := n.SessionFields; s != nil {
			cells[4].text, cells[6].text, cells[7].text, cells[8].text = strconv.Itoa(s.Turns), cost(s), number(s.PID), number(s.Generation)
		}
		below := rest
		if len(n.Children) > 0 {
			below += "│  "
		} else {
			below += "   "
		}
		t.rows = append(t.rows, row{cells: cells})
		if text := trouble(n, o.Now); text != "" {
			t.rows = append(t.rows, row{note: below + "! " + harmless(text), tone: lookOf(n.State).tone})
		}
		for i, child := range n.Children {
			if i < len(n.Children)-1 {
				walk(child, rest+"├─ ", rest+"│  ")
			} else {
				walk(child, rest+"└─ ", rest+"   ")
			}
		}
	}
	walk(n, "", "")
	return t.write(w, o)
}

// RenderSessions writes a row for each session.
func RenderSessions(w io.Writer, sessions []Node, o RenderOptions) error {
	o = o.withDefaults()
	t := &table{columns: []column{
		{title: "NAME"}, {title: "STATE"}, {title: "SESSION"}, {title: "PID", right: true}, {title: "GEN", right: true},
		{title: "TURNS", right: true}, {title: "QUEUE", right: true}, {title: "COST", right: true}, {title: "MODEL"}, {title: "DOING", gives: true},
	}}
	for _, n := range sessions {
		s := n.SessionFields
		if s == nil {
			s = &SessionFields{}
		}
		t.rows = append(t.rows, row{cells: []cell{
			{text: harmless(n.Name)}, stateCell(n, o.Now), {text: harmless(s.SessionID)}, {text: number(s.PID)}, {text: number(s.Generation)},
			{text: strconv.Itoa(s.Turns)}, {text: waiting(n)}, {text: cost(s)}, {text: harmless(s.Model)}, {text: harmless(doing(n))},
		}})
	}
	return t.write(w, o)
}

func (o RenderOptions) withDefaults() RenderOptions {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	return o
}

func stateCell(n Node, now time.Time) cell {
	state := shownState(&n)
	l := lookOf(state)
	return cell{text: strings.TrimSpace(l.symbol + " " + harmless(state) + " " + ageOf(n.Since, now)), tone: l.tone}
}

// number leaves out what is not there.
func number(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

type (
	table struct {
		columns []column
		rows    []row
	}
	column struct {
		title string
		right bool // aligned
		gives bool // is cut when there is no room
		width int
	}
	row struct {
		cells []cell
		note  string // instead of cells
		tone  string
	}
	cell struct{ text, tone string }
)

const gap = "  "

// minGiving is what is left of a column that gives, in cells.
const minGiving = 8

func (t *table) write(w io.Writer, o RenderOptions) error {
	total := -len(gap)
	for i := range t.columns {
		c := &t.columns[i]
		c.width = cells(c.title)
		for _, r := range t.rows {
			if r.cells != nil {
				c.width = max(c.width, cells(r.cells[i].text))
			}
		}
		total += c.width + len(gap)
	}
	for i := range t.columns {
		if c := &t.columns[i]; c.gives && o.Width > 0 && total > o.Width {
			c.width = max(c.width-(total-o.Width), min(c.width, minGiving))
		}
	}
	out := bufio.NewWriter(w)
	header := row{tone: "title"}
	for _, c := range t.columns {
		header.cells = append(header.cells, cell{text: c.title, tone: "title"})
	}
	t.writeRow(out, header, o)
	for _, r := range t.rows {
		t.writeRow(out, r, o)
	}
	return out.Flush()
}

// writeRow leaves the writer's error to Flush, which reports it.
func (t *table) writeRow(w *bufio.Writer, r row, o RenderOptions) {
	room := o.Width
	if room <= 0 {
		room = int(^uint(0) >> 1)
	}
	if r.cells == nil {
		fmt.Fprintln(w, paint(shorten(r.note, room), r.tone, o.Color))
		return
	}
	var line strings.Builder
	for i, c := range r.cells {
		if i > 0 {
			if room <= len(gap) {
				break
			}
			line.WriteString(gap)
			room -= len(gap)
		}
		width := t.columns[i].width
		text := shorten(c.text, min(width, room))
		padding := strings.Repeat(" ", max(min(width, room)-cells(text), 0))
		room -= cells(text) + len(padding)
		text = paint(text, c.tone, o.Color)
		if t.columns[i].right {
			text, padding = padding, text
		}
		line.WriteString(text + padding)
	}
	fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
}

var paints = map[string]string{"good": "32", "busy": "1;36", "calm": "2", "warn": "33", "bad": "1;31", "title": "1"}

func paint(text, tone string, color bool) string {
	code := paints[tone]
	if !color || code == "" || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// shorten cuts text to a number of cells.
func shorten(text string, width int) string {
	if cells(text) <= width {
		return text
	}
	if width <= 0 {
		return ""
	}
	used := 1 // the ellipsis
	for i, r := range text {
		if used += runeCells(r); used > width {
			return text[:i] + "…"
		}
	}
	return text
}

// cells is how wide a terminal shows text.
func cells(text string) int {
	width := 0
	for _, r := range text {
		width += runeCells(r)
	}
	return width
}

// wide are the scripts and pictures that take two cells, coarsely.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{{0x1100, 0x115f, 1}, {0x2e80, 0x303e, 1}, {0x3041, 0xa4cf, 1}, {0xa960, 0xa97c, 1}, {0xac00, 0xd7a3, 1}, {0xf900, 0xfaff, 1}, {0xfe30, 0xfe6f, 1}, {0xff00, 0xff60, 1}, {0xffe0, 0xffe6, 1}},
	R32: []unicode.Range32{{0x1f300, 0x1f64f, 1}, {0x1f680, 0x1f6ff, 1}, {0x1f900, 0x1faff, 1}, {0x20000, 0x3fffd, 1}},
}

func runeCells(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case unicode.Is(wide, r):
		return 2
	default:
		return 1
	}
}

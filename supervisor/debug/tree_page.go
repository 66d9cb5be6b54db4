package debug

import (
	"fmt"
	"net/http"
)

// treeView is the page of the whole tree.
type treeView struct {
	frame
	filter
	Chips    []chip
	Sessions string
	Spent    string
	Needs    []need
	Trouble  []item
	More     int // in trouble, and not shown
	// Attention is how much there is of both, for the title.
	Attention int

	Rows    []item
	Columns map[string]sorting
	Flat    bool
	Found   string // how many the filter has found; empty without a filter
	Pages   *pager
	Clear   string // the address without the filter
	Faulty  string // the address with faults only, or without
}

// chip counts the sessions in a state, and leads to them.
type chip struct {
	Count               int
	State, Symbol, Tone string
	Href                string
	Current             bool
}

// sorting leads to the sessions sorted by it.
type sorting struct {
	Href    string
	Current bool
}

type pager struct {
	From, To, Of   string
	Previous, Next string // addresses, empty if there is none
}

// maxListed is how much trouble is listed above the tree; the rest is a click away.
const maxListed = 50

// chips are the states in the order in which they are counted, all of them always there: what moves cannot be read.
var chips = []string{"failed", "restarting", "waiting", "held", "busy", "idle", "starting", "draining", "hibernated", "stopped"}

func (h *handler) page(w http.ResponseWriter, r *http.Request) {
	f, err := filterOf(r)
	if err != nil {
		refuse(w, err)
		return
	}
	root, ok := h.look(w, r)
	if !ok {
		return
	}
	if f.Sort == "rss" || f.Sort == "cpu" {
		h.measure(sessionsIn(&root))
	}
	now := h.now()
	rows, found := f.rows(&root)
	shown := f.cutPage(rows)
	if f.Sort != "rss" && f.Sort != "cpu" {
		var sessions []*Node
		for _, r := range shown {
			sessions = append(sessions, r.node)
		}
		h.measure(sessions)
	}
	v := treeView{frame: h.frame("Understudy", "tree", "./"), filter: f, Flat: f.Sort != "", Columns: make(map[string]sorting)}
	h.summarize(&v, &root)
	for _, r := range shown {
		i := h.item(r.node, r.path, "", now)
		i.Branch = r.branch
		v.Rows = append(v.Rows, i)
	}
	trouble := troubled(&root)
	for _, r := range trouble[:min(len(trouble), maxListed)] {
		i := h.item(r.node, r.path, "", now)
		i.ID = "trouble-" + i.ID
		v.Trouble = append(v.Trouble, i)
	}
	v.More = len(trouble) - len(v.Trouble)
	waiting, err := h.asked(r.Context())
	if err != nil {
		refuse(w, err)
		return
	}
	for _, a := range waiting {
		v.Needs = append(v.Needs, h.needOf(a, "", now))
	}
	v.Title = "Understudy"
	if v.Attention = len(v.Needs) + len(trouble); v.Attention > 0 {
		v.Title = fmt.Sprintf("(%d) Understudy", v.Attention)
	}
	if f.narrows() {
		v.Found = plural(found, "session")
	}
	v.Clear = filter{Sort: f.Sort}.query()
	v.Faulty = f.with(func(f *filter) { f.Faults = !f.Faults }).query()
	for name := range sorts {
		v.Columns[name] = sorting{f.with(func(f *filter) { f.Sort = name }).query(), f.Sort == name}
	}
	v.Columns["tree"] = sorting{f.with(func(f *filter) { f.Sort = "" }).query(), f.Sort == ""}
	v.Pages = f.pager(len(rows))
	h.render(w, r, "tree", v)
}

// pager is nil if everything is on one page.
func (f filter) pager(rows int) *pager {
	if rows <= rowsPerPage && f.Page == 1 {
		return nil
	}
	from := min((f.Page-1)*rowsPerPage, rows)
	to := min(from+rowsPerPage, rows)
	p := &pager{From: grouped(int64(min(from+1, rows))), To: grouped(int64(to)), Of: grouped(int64(rows))}
	if f.Page > 1 {
		previous := f
		previous.Page = min(f.Page-1, (rows+rowsPerPage-1)/rowsPerPage)
		p.Previous = previous.query()
	}
	if to < rows {
		next := f
		next.Page++
		p.Next = next.query()
	}
	return p
}

func (h *handler) summarize(v *treeView, root *Node) {
	counts := make(map[string]int)
	var spent float64
	sessions := root.Sessions()
	for _, n := range sessions {
		counts[shownState(&n)]++
		if n.SessionFields != nil {
			spent += n.CostUSD
		}
	}
	for _, state := range chips {
		l := lookOf(state)
		v.Chips = append(v.Chips, chip{
			Count: counts[state], State: state, Symbol: l.symbol, Tone: l.tone, Current: v.State == state,
			Href: v.with(func(f *filter) {
				f.State = state
				if v.State == state {
					f.State = ""
				}
			}).query(),
		})
	}
	v.Sessions, v.Spent = plural(len(sessions), "session"), dollars(spent)
}

package debug

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// rowsPerPage is how many rows of the tree a page shows.
const rowsPerPage = 100

// filter says which part of the tree is shown. The zero value is its first page.
type filter struct {
	Text   string // in the name, model, state, tool or directory
	State  string
	Faults bool
	Under  string // a path
	Sort   string // empty: as the tree
	Page   int    // from 1
}

// sorts are the orders that a flat list can have, by what they are called in an address.
var sorts = map[string]func(a, b spot) int{
	"name":     func(a, b spot) int { return cmp.Compare(a.node.Name, b.node.Name) },
	"state":    func(a, b spot) int { return cmp.Compare(gravity(b.node), gravity(a.node)) },
	"age":      func(a, b spot) int { return a.node.Since.Compare(b.node.Since) },
	"restarts": func(a, b spot) int { return cmp.Compare(b.node.Restarts, a.node.Restarts) },
	"queue":    bySession(func(s *SessionFields) float64 { return float64(s.Queue) }),
	"turns":    bySession(func(s *SessionFields) float64 { return float64(s.Turns) }),
	"cost":     bySession(func(s *SessionFields) float64 { return s.CostUSD }),
	"tokens":   bySession(func(s *SessionFields) float64 { return float64(s.Tokens.Sum()) }),
	"context":  bySession(func(s *SessionFields) float64 { return float64(s.ContextTokens) }),
	"rss": bySession(func(s *SessionFields) float64 {
		if s.Usage == nil {
			return 0
		}
		return float64(s.Usage.RSSBytes)
	}),
	"cpu": bySession(func(s *SessionFields) float64 {
		if s.Usage == nil {
			return 0
		}
		return s.Usage.CPUSeconds
	}),
}

func bySession(value func(*SessionFields) float64) func(a, b spot) int {
	of := func(r spot) float64 {
		if r.node.SessionFields == nil {
			return -1
		}
		return value(r.node.SessionFields)
	}
	return func(a, b spot) int { return cmp.Compare(of(b), of(a)) }
}

// shownState is a node's state, or waiting if it is at work and that waits for a person.
func shownState(n *Node) string {
	if n.SessionFields != nil && n.Approvals > 0 && n.State == "busy" {
		return "waiting"
	}
	return n.State
}

// gravity orders states by how much they want somebody's eyes.
func gravity(n *Node) int {
	return slices.Index([]string{"stopped", "hibernated", "idle", "running", "starting", "stopping", "draining", "busy", "held", "restarting", "waiting", "failed"}, shownState(n))
}

func filterOf(r *http.Request) (filter, error) {
	q := r.URL.Query()
	f := filter{Text: strings.TrimSpace(q.Get("q")), State: q.Get("state"), Under: q.Get("under"), Sort: q.Get("sort"), Page: 1}
	switch faults := q.Get("faults"); faults {
	case "", "0":
	case "1":
		f.Faults = true
	default:
		return filter{}, &Error{BadRequest, fmt.Sprintf("faults=%s: expected 1 or nothing", cut(faults, 40))}
	}
	if f.Sort != "" && sorts[f.Sort] == nil {
		return filter{}, &Error{BadRequest, fmt.Sprintf("sort=%s: expected name, state, age, queue, turns, restarts, cost, tokens, context, rss or cpu", cut(f.Sort, 40))}
	}
	if text := q.Get("page"); text != "" {
		page, err := strconv.Atoi(text)
		if err != nil || page < 1 || page > 1_000_000 {
			return filter{}, &Error{BadRequest, fmt.Sprintf("page=%s: expected a number from 1", cut(text, 40))}
		}
		f.Page = page
	}
	return f, nil
}

// query is the filter as it is in an address, with the question mark; "./" for none, which leads to the page itself.
func (f filter) query() string {
	q := url.Values{}
	set := func(key, value string) {
		if value != "" {
			q.Set(key, value)
		}
	}
	set("q", f.Text)
	set("state", f.State)
	set("under", f.Under)
	set("sort", f.Sort)
	if f.Faults {
		set("faults", "1")
	}
	if f.Page > 1 {
		set("page", strconv.Itoa(f.Page))
	}
	if len(q) == 0 {
		return "./"
	}
	return "?" + q.Encode()
}

// with is the filter with something else, from its first page.
func (f filter) with(change func(*filter)) filter {
	f.Page = 1
	change(&f)
	return f
}

func (f filter) narrows() bool { return f.Text != "" || f.State != "" || f.Faults || f.Under != "" }

// spot is a node and where it is.
type spot struct {
	node   *Node
	path   string
	branch string // the lines of the tree before its name
}

// matches reports whether a node is what is looked for.
func (f filter) matches(n *Node, path string) bool {
	if f.State != "" && (shownState(n) != f.State || n.Kind != KindSession) {
		return false
	}
	if f.Faults && !inTrouble(*n) && shownState(n) != "waiting" && !onTheBrink(*n) {
		return false
	}
	if f.Under != "" && path != f.Under && !strings.HasPrefix(path, f.Under+"/") {
		return false
	}
	if f.Text == "" {
		return true
	}
	text := strings.ToLower(f.Text)
	fields := []string{path, n.State, n.Strategy}
	if s := n.SessionFields; s != nil {
		fields = append(fields, s.Model, s.Tool, s.ToolArg, s.CWD, s.SessionID, s.Mode, strconv.Itoa(s.PID))
	}
	return slices.ContainsFunc(fields, func(field string) bool { return strings.Contains(strings.ToLower(field), text) })
}

// rows is what the filter leaves of the tree from top to bottom, and how many sessions that has. What is above
// something that was looked for is there too.
func (f filter) rows(root *Node) (all []spot, sessions int) {
	if f.Sort != "" {
		f.flat(root, root.Name, &all)
		slices.SortStableFunc(all, sorts[f.Sort])
		return all, len(all)
	}
	wanted := make(map[*Node]bool)
	f.mark(root, root.Name, wanted)
	var walk func(n *Node, path, first, rest string)
	walk = func(n *Node, path, first, rest string) {
		all = append(all, spot{n, path, first})
		if n.Kind == KindSession {
			sessions++
		}
		last := -1
		for i := range n.Children {
			if wanted[&n.Children[i]] {
				last = i
			}
		}
		for i := range n.Children {
			child := &n.Children[i]
			switch {
			case !wanted[child]:
			case i == last:
				walk(child, path+"/"+child.Name, rest+"└─ ", rest+"   ")
			default:
				walk(child, path+"/"+child.Name, rest+"├─ ", rest+"│  ")
			}
		}
	}
	if wanted[root] {
		walk(root, root.Name, "", "")
	}
	return all, sessions
}

func (f filter) mark(n *Node, path string, wanted map[*Node]bool) bool {
	found := f.matches(n, path)
	for i := range n.Children {
		child := &n.Children[i]
		if f.mark(child, path+"/"+child.Name, wanted) {
			found = true
		}
	}
	if found {
		wanted[n] = true
	}
	return found
}

// flat lists the sessions alone.
func (f filter) flat(n *Node, path string, all *[]spot) {
	if n.Kind == KindSession && f.matches(n, path) {
		*all = append(*all, spot{n, path, ""})
	}
	for i := range n.Children {
		f.flat(&n.Children[i], path+"/"+n.Children[i].Name, all)
	}
}

// cutPage is the filter's page of the rows. Before its first row come those above it in the tree, so that it is seen
// where one is.
func (f filter) cutPage(all []spot) []spot {
	from := min((f.Page-1)*rowsPerPage, len(all))
	page := all[from:min(from+rowsPerPage, len(all))]
	if f.Sort != "" || len(page) == 0 {
		return page
	}
	var above []spot
	for _, r := range all[:from] {
		if strings.HasPrefix(page[0].path, r.path+"/") {
			above = append(above, r)
		}
	}
	return append(above, page...)
}

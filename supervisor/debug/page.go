package debug

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

//go:embed web
var web embed.FS

// assets are the files of the page and their types.
var assets = map[string]string{
	"style.css": "text/css; charset=utf-8",
	"script.js": "text/javascript; charset=utf-8",
	"icon.svg":  "image/svg+xml",
}

var pages = template.Must(template.New("").ParseFS(web, "web/*.html"))

func serveAsset(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		body, err := web.ReadFile("web/" + name)
		if err != nil {
			refuse(w, fmt.Errorf("read %s: %w", name, err))
			return
		}
		w.Header().Set("Content-Type", assets[name])
		_, _ = w.Write(body) // an error means that the client is gone
	}
}

// view is what the page shows.
type view struct {
	Title    string
	Base     string // from the page to Path: relative, so that any prefix will do
	Version  string
	At       time.Time
	Trouble  []item
	Problem  string // why there is nothing to show
	Totals   []total
	Sessions int
	Cost     string

	Rows []item // of the tree

	Session *item // on a session's page
	Facts   []fact
	Lines   []string
	NoLines string // why there are none
}

// item is a node in words.
type item struct {
	ID, Name, Branch, Href, Kind string
	State, Symbol, Tone          string
	Age, Since                   string
	Doing, Tool, ToolArg         string
	Waiting                      string
	Turns, PID, Generation       string
	Restarts                     *meter
	Budget                       *meter
	Cost                         string
	Strategy                     string
	LastExit, LastExitAge        string
	Earlier                      []string // ends before the last one, newest first
	LastExitAt                   string
	Trouble                      string
	IsSession                    bool
}

// meter is a bar: value of max, which is fine up to low and alarming from high on.
type meter struct {
	Value, Max, Low, High float64
	Text, Title           string
}

type total struct {
	Count               int
	State, Symbol, Tone string
}

type fact struct {
	Name, Value string
	Code        bool
}

func (h *handler) page(w http.ResponseWriter, r *http.Request) {
	root, ok := h.look(w, r)
	if !ok {
		return
	}
	now := h.now()
	v := h.view(root, now)
	v.Title = "Understudy"
	if n := len(v.Trouble); n > 0 {
		v.Title = fmt.Sprintf("(%d) Understudy", n)
	}
	walkItems(root, now, "", "", "", func(i item) { v.Rows = append(v.Rows, i) })
	h.render(w, r, "tree", v)
}

func (h *handler) sessionPage(w http.ResponseWriter, r *http.Request, n Node) {
	now := h.now()
	i := itemOf(n, now, n.Name)
	v := view{Title: n.Name + " · Understudy", Base: "../", Version: h.options.Version, At: now.UTC(), Session: &i, Facts: facts(n, now)}
	lines, err := h.stderrOf(r, n.Name)
	if err != nil {
		v.NoLines = err.Error()
	}
	v.Lines = lines
	h.render(w, r, "session", v)
}

func (h *handler) view(root Node, now time.Time) view {
	v := view{Base: "./", Version: h.options.Version, At: now.UTC()}
	for _, n := range troubled(root) {
		v.Trouble = append(v.Trouble, itemOf(n, now, "trouble-"+n.Name))
	}
	counts := make(map[string]int)
	var spent float64
	for _, n := range root.Sessions() {
		v.Sessions++
		counts[n.State]++
		if n.SessionFields != nil {
			spent += n.CostUSD
		}
	}
	for _, state := range []string{"failed", "restarting", "waiting", "busy", "idle", "starting", "draining", "stopping", "stopped"} {
		if counts[state] > 0 {
			l := lookOf(state)
			v.Totals = append(v.Totals, total{counts[state], state, l.symbol, l.tone})
		}
	}
	v.Cost = dollars(spent)
	return v
}

// render sends the page, or with ?part=main what changes in it. The whole is made before anything is sent.
func (h *handler) render(w http.ResponseWriter, r *http.Request, name string, v view) {
	if r.URL.Query().Get("part") == "main" {
		name += "-main"
	}
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, name, v); err != nil {
		refuse(w, fmt.Errorf("make the page: %w", err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(body.Bytes()) // an error means that the client is gone
}

// walkItems gives the items of a tree from top to bottom.
func walkItems(n Node, now time.Time, path, first, rest string, give func(item)) {
	path += "/" + n.Name
	i := itemOf(n, now, path)
	i.Branch = first
	give(i)
	for k, child := range n.Children {
		if k < len(n.Children)-1 {
			walkItems(child, now, path, rest+"├─ ", rest+"│  ", give)
		} else {
			walkItems(child, now, path, rest+"└─ ", rest+"   ", give)
		}
	}
}

func itemOf(n Node, now time.Time, path string) item {
	l := lookOf(n.State)
	i := item{
		ID: "n-" + url.PathEscape(path), Name: n.Name, Kind: n.Kind, State: n.State, Symbol: l.symbol, Tone: l.tone,
		Age: ageOf(n.Since, now), Since: stamp(n.Since), Doing: doing(n), Waiting: waiting(n),
		Restarts: restartMeter(n), Strategy: n.Strategy, Trouble: trouble(n, now), IsSession: n.Kind == KindSession,
	}
	if i.IsSession && n.Name != "." && n.Name != ".." { // a browser would make something else of those
		i.Href = "sessions/" + url.PathEscape(n.Name)
	}
	for _, exit := range n.LastExits[min(1, len(n.LastExits)):] {
		i.Earlier = append(i.Earlier, ageOf(exit.At, now)+" ago: "+exit.Reason)
	}
	if n.LastExit != nil {
		i.LastExit, i.LastExitAge, i.LastExitAt = n.LastExit.Reason, ageOf(n.LastExit.At, now), stamp(n.LastExit.At)
	}
	if s := n.SessionFields; s != nil {
		i.Turns, i.PID, i.Generation, i.Cost = fmt.Sprint(s.Turns), number(s.PID), number(s.Generation), cost(s)
		i.Tool, i.ToolArg = s.Tool, s.ToolArg
		if s.BudgetUSD > 0 {
			i.Budget = &meter{s.CostUSD, s.BudgetUSD, 0.75 * s.BudgetUSD, 0.9 * s.BudgetUSD, i.Cost, fmt.Sprintf("%s of %s used", dollars(s.CostUSD), dollars(s.BudgetUSD))}
		}
	}
	return i
}

func restartMeter(n Node) *meter {
	text := restarts(n)
	if text == "" {
		return nil
	}
	m := &meter{Text: text, Title: fmt.Sprintf("%s since it was added", plural(n.Restarts, "restart"))}
	if i := n.Intensity; i != nil {
		m.Value, m.Max = float64(i.Used), float64(i.MaxRestarts)
		m.Low, m.High = m.Max/2, m.Max-0.5 // alarming when the next one is too many
		m.Title = fmt.Sprintf("%d of %s within %gs used; %d since it was added", i.Used, plural(i.MaxRestarts, "restart"), i.MaxSeconds, n.Restarts)
	}
	return m
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
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
		add("process", number(s.PID), true)
		add("generation", number(s.Generation), false)
		if s.StartedAt != nil {
			add("process started", stamp(*s.StartedAt)+", "+ageOf(*s.StartedAt, now)+" ago", false)
		}
		add("turns", fmt.Sprint(s.Turns), false)
		add("queries that wait", fmt.Sprint(s.Queue), false)
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

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strings.Replace(t.UTC().Format("2006-01-02 15:04:05Z07:00"), "Z", " UTC", 1)
}

package debug

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/sessiontest"
)

func TestMain(m *testing.M) { os.Exit(sessiontest.NothingLeft(m).Run()) }

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the test with -update to make it")
	assert.Equal(t, string(want), got, "run the test with -update if this is what it should be")
}

// noon is the time in these tests.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

// sample is a tree with something of everything.
func sample() Node {
	started, turn, try := ago(41*time.Minute), ago(12*time.Second), noon.Add(2500*time.Millisecond)
	id := func(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }
	own := func(used int) *Intensity { return &Intensity{MaxRestarts: 3, MaxSeconds: 60, Used: used} }
	return Node{
		Name: "root", Kind: "supervisor", State: "running", Since: ago(76 * time.Hour), Strategy: "one_for_one",
		Intensity:     &Intensity{MaxRestarts: 3, MaxSeconds: 5},
		SharedBudgets: sampleBudgets(),
		Children: []Node{
			{Name: "audit", Kind: "worker", State: "running", Since: ago(76 * time.Hour), Restart: "permanent", Mailbox: 2},
			{
				Name: "sessions", Kind: "supervisor", State: "running", Since: ago(76 * time.Hour), Strategy: "one_for_one",
				Restart: "permanent", Intensity: &Intensity{MaxRestarts: 3, MaxSeconds: 5}, Restarts: 1,
				Children: []Node{
					{
						Name: "reviewer", Kind: "session", State: "busy", Since: ago(12 * time.Second), Restart: "permanent", Intensity: own(1), Restarts: 4,
						LastExit: &Exit{At: ago(41 * time.Minute), Reason: "signal: killed"},
						SessionFields: &SessionFields{
							SessionID: id(1), PID: 4711, Generation: 5, Queue: 2, Turns: 37, CostUSD: 1.914, BudgetUSD: 2, Budgets: []string{"team", "trial"}, Configured: true, Model: "sonnet", Mode: "plan",
							CWD: "/srv/app", CLIVersion: "2.1.330", StartedAt: &started, Tool: "Bash", ToolArg: "go test -race ./... && echo every test has passed", Turn: 38, TurnSince: &turn,
							Tokens: Tokens{Input: 4200, Output: 18300, CacheRead: 1_250_000, CacheCreation: 96_000}, ContextTokens: 142_000, ContextWindow: 200_000, APIRetries: 1, Usage: using(4711),
						},
					},
					{
						Name: "writer", Kind: "session", State: "idle", Since: ago(3*time.Minute + 4*time.Second), Restart: "permanent", Intensity: own(0), Mailbox: 1,
						SessionFields: &SessionFields{SessionID: id(2), PID: 4712, Generation: 1, Turns: 3, CostUSD: 0.12, Model: "haiku", Mode: "dontAsk", CWD: "/srv/docs", CLIVersion: "2.1.330", StartedAt: &started, Unknown: 2, ContextTokens: 21_000, ContextWindow: 200_000, Usage: using(4712)},
					},
					{
						Name: "nightly", Kind: "session", State: "restarting", Since: ago(6 * time.Second), Restart: "permanent", Intensity: own(2), Restarts: 2, NextTry: &try,
						LastExit:      &Exit{At: ago(6 * time.Second), Reason: "exit status 1: API Error: 529 overloaded"},
						SessionFields: &SessionFields{SessionID: id(3), Generation: 3, Queue: 1, Turns: 12, CostUSD: 0.3, BudgetUSD: 5, Model: "sonnet", Mode: "acceptEdits", CWD: "/srv/app"},
					},
					{
						Name: "importer", Kind: "session", State: "failed", Since: ago(2 * time.Hour), Restart: "transient", Intensity: own(3), Restarts: 3,
						Reason: "restarted 3 times within 1m0s: exit status 1: error: unknown option '--frobnicate'", LastExit: &Exit{At: ago(2 * time.Hour), Reason: "exit status 1: error: unknown option '--frobnicate'"},
						SessionFields: &SessionFields{SessionID: id(4), Generation: 4, Model: "opus", Mode: "default", CWD: "/srv/import"},
					},
				},
			},
			{Name: "debug", Kind: "worker", State: "running", Since: ago(76 * time.Hour), Restart: "permanent"},
		},
	}
}

// sampleBudgets are a budget with windows and one without, which is spent.
func sampleBudgets() []Budget {
	window := noon.Truncate(24 * time.Hour)
	next := window.Add(24 * time.Hour)
	return []Budget{
		{Name: "team", LimitUSD: 50, SpentUSD: 12.5, LeftUSD: 37.5, PerSeconds: 86400, Window: &window, ResetsAt: &next, Sessions: map[string]float64{"reviewer": 1.5, "nightly": 11}},
		{Name: "trial", LimitUSD: 1, SpentUSD: 1.25, Exhausted: true, Sessions: map[string]float64{"reviewer": 1.25}},
	}
}

// samplePast is what is behind the session reviewer.
func samplePast() History {
	at := func(d time.Duration) *time.Time { t := ago(d); return &t }
	return History{
		Generations: []Generation{
			{Number: 4, PID: 4211, StartedAt: ago(3 * time.Hour), ReadyAt: at(3*time.Hour - 2*time.Second), EndedAt: at(42 * time.Minute), Exit: "signal: killed", Turns: 12},
			{Number: 5, PID: 4711, StartedAt: ago(41 * time.Minute), ReadyAt: at(41*time.Minute - time.Second), Turns: 3},
		},
		Turns: []Turn{
			{Number: 36, StartedAt: ago(50 * time.Minute), EndedAt: at(42 * time.Minute), Outcome: "crashed", Tools: 9},
			{Number: 37, StartedAt: ago(20 * time.Minute), EndedAt: at(18 * time.Minute), Outcome: "success", Tools: 2, CostUSD: 0.21, Tokens: Tokens{Input: 120, Output: 2400, CacheRead: 90_000}},
			{Number: 38, StartedAt: ago(12 * time.Second), Own: true, Tools: 1},
		},
		Tools: []ToolRun{
			{ID: "toolu_1", Name: "Read", Argument: "supervisor/loop.go", Turn: 37, StartedAt: ago(19 * time.Minute), EndedAt: at(19*time.Minute - 34*time.Millisecond), Outcome: "ok"},
			{ID: "toolu_2", Name: "Bash", Argument: "rm -rf build/", Turn: 37, StartedAt: ago(18 * time.Minute), EndedAt: at(18*time.Minute - 2*time.Second), Outcome: "denied"},
			{ID: "toolu_3", Name: "Bash", Argument: "go test -race ./... && echo every test has passed", Turn: 38, StartedAt: ago(8 * time.Second)},
		},
		LastWords: []string{"fatal: out of memory"},
	}
}

// sampleRecords are some of the audit log.
func sampleRecords() []step {
	return []step{
		{frame: `{"v":1,"seq":1,"kind":"session.started","time":"2026-11-23T11:19:00Z","session":"reviewer","generation":5,"detail":{"resumed":true,"argv":"--x"}}`},
		{frame: `{"v":1,"seq":2,"kind":"tool.intent","time":"2026-11-23T11:40:00Z","session":"reviewer","turn":37,"tool":"Bash","input":{"command":"rm -rf build/"}}`},
		{frame: `{"v":1,"seq":3,"kind":"tool.decision","time":"2026-11-23T11:40:01Z","session":"reviewer","turn":37,"tool":"Bash","decision":{"outcome":"deny","by":"alice","reason":"not here"}}`},
		{frame: `{"v":1,"seq":4,"kind":"tool.result","time":"2026-11-23T11:40:02Z","session":"writer","turn":3,"tool":"Read","is_error":false,"detail":{"duration_ms":34}}`},
		{frame: `{"v":1,"seq":5,"kind":"session.crashed","time":"2026-11-23T11:59:54Z","session":"nightly","exit":{"reason":"exit status 1","code":1}}`},
		{frame: `{"v":1,"seq":6,"kind":"admin.action","time":"2026-11-23T11:59:59Z","session":"nightly","principal":"uid 1000","detail":{"action":"restart"}}`},
	}
}

type step struct {
	frame string
	err   error
}

// fake is a Backend that does as it is told.
type fake struct {
	mu    sync.Mutex
	root  Node
	acts  []string // what Acted was told
	calls []string

	stderr  []string
	err     error // of every action
	ready   error
	query   func(ctx context.Context, name, prompt string) iter.Seq2[json.RawMessage, error]
	records []step
	more    chan string // followed records
	blow    bool        // panic in Tree

	past      History
	measured  int   // calls of Usage
	followErr error // ends Follow and Watch
}

func newFake() *fake {
	return &fake{root: sample(), stderr: []string{"a warning", "error: <b>529</b> overloaded"}}
}

func (f *fake) setState(name, state string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.root.Children[1].Children {
		if n := &f.root.Children[1].Children[i]; n.Name == name {
			n.State = state
		}
	}
}

func (f *fake) Tree(context.Context) (Node, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.blow {
		panic("blown")
	}
	root := f.root
	root.Children = append([]Node(nil), root.Children...)
	for i := range root.Children {
		root.Children[i].Children = append([]Node(nil), root.Children[i].Children...)
	}
	return root, nil
}

func (f *fake) Stderr(_ context.Context, name string) ([]string, error) {
	if _, ok := f.root.Session(name); !ok {
		return nil, unknown(name)
	}
	return f.stderr, nil
}

func (f *fake) History(_ context.Context, name string) (History, error) {
	if _, ok := f.root.Session(name); !ok {
		return History{}, unknown(name)
	}
	return f.past, nil
}

func (f *fake) Setup(_ context.Context, name string) (Setup, error) {
	if _, ok := f.root.Session(name); !ok {
		return Setup{}, unknown(name)
	}
	return Setup{
		Options:     map[string]any{"model": "sonnet", "cwd": "/srv/app", "allowed_tools": []any{"Read", "Grep"}, "env": []string{"LANG"}},
		Environment: []string{"HOME", "LANG", "PATH"}, Containment: []string{"cgroup"},
	}, nil
}

func using(pid int) *Usage {
	return &Usage{Processes: 2, RSSBytes: int64(pid) << 16, CPUSeconds: 12.5}
}

func (f *fake) Usage(pids []int) map[int]Usage {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.measured++
	found := make(map[int]Usage)
	for _, pid := range pids {
		found[pid] = *using(pid)
	}
	return found
}

func (f *fake) Follow(ctx context.Context, _ string, since uint64) iter.Seq2[Moment, error] {
	return func(yield func(Moment, error) bool) {
		for seq := since + 1; seq <= 3; seq++ {
			if !yield(Moment{Seq: seq, Kind: "turn_started", Data: fmt.Appendf(nil, `{"session":"reviewer","seq":%d,"at":"2026-11-23T12:00:00Z","type":"turn_started","generation":1,"turn":1}`, seq)}, nil) {
				return
			}
		}
		if f.followErr != nil {
			yield(Moment{}, f.followErr)
			return
		}
		<-ctx.Done()
	}
}

func (f *fake) Watch(ctx context.Context, _ string) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		if yield(json.RawMessage(`{"generation":1,"turn":1,"own":false,"frame":{"type":"result"}}`), nil) && f.followErr != nil {
			yield(nil, f.followErr)
			return
		}
	}
}

func (f *fake) Audit(ctx context.Context, n int, follow bool) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		for _, r := range f.records[max(0, len(f.records)-n):] {
			if r.err != nil {
				yield(nil, r.err)
				return
			}
			if !yield(json.RawMessage(r.frame), nil) {
				return
			}
		}
		for follow {
			select {
			case <-ctx.Done():
				return
			case r := <-f.more:
				if !yield(json.RawMessage(r), nil) {
					return
				}
			}
		}
	}
}

func (f *fake) Ready(context.Context) error { return f.ready }

func (f *fake) Query(ctx context.Context, name, prompt string) iter.Seq2[json.RawMessage, error] {
	f.call("query %s %s", name, cut(prompt, 40))
	return f.query(ctx, name, prompt)
}

// answer is a Query that gives those steps.
func answerOf(steps ...step) func(context.Context, string, string) iter.Seq2[json.RawMessage, error] {
	return func(context.Context, string, string) iter.Seq2[json.RawMessage, error] {
		return func(yield func(json.RawMessage, error) bool) {
			for _, s := range steps {
				if !yield(json.RawMessage(s.frame), s.err) {
					return
				}
			}
		}
	}
}

func (f *fake) call(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

func (f *fake) Spawn(_ context.Context, name string, pairs []string) error {
	f.call("spawn %s %v", name, pairs)
	return f.err
}
func (f *fake) Restart(_ context.Context, name string) error {
	f.call("restart %s", name)
	return f.err
}
func (f *fake) Interrupt(_ context.Context, name string) error {
	f.call("interrupt %s", name)
	return f.err
}
func (f *fake) Stop(_ context.Context, name string) error { f.call("stop %s", name); return f.err }

func (f *fake) Remove(_ context.Context, name string, force bool) error {
	f.call("remove %s %v", name, force)
	return f.err
}

func (f *fake) Acted(ctx context.Context, principal, action, target string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	outcome := "ok"
	if err != nil {
		outcome = string(CodeOf(err))
	}
	if ctx.Err() != nil {
		outcome += " with a dead context"
	}
	f.acts = append(f.acts, fmt.Sprintf("%s: %s %s: %s", principal, action, target, outcome))
}

func (f *fake) acted() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.acts...)
}

func (f *fake) called() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.calls...)
}

var errBoom = errors.New("boom")

// fixed is a handler at noon.
func fixed(b Backend, o Options) *handler {
	h := newHandler(b, o)
	h.shared.rest = 0
	h.now = func() time.Time { return noon }
	return h
}

// ask sends a request as it would come from the machine itself.
func ask(h http.Handler, method, target, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host, r.RemoteAddr = "127.0.0.1:7070", "127.0.0.1:54321"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func header(key, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(key, value) }
}

func host(name string) func(*http.Request)  { return func(r *http.Request) { r.Host = name } }
func from(addr string) func(*http.Request)  { return func(r *http.Request) { r.RemoteAddr = addr } }
func token(text string) func(*http.Request) { return header("Authorization", "Bearer "+text) }

// refused checks that an answer is an error with that code, in the form that errors have.
func refused(t *testing.T, w *httptest.ResponseRecorder, code Code, detail string) {
	t.Helper()
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"), w.Body.String())
	var p problem
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	assert.Equal(t, problem{Type: "about:blank", Title: http.StatusText(code.Status()), Status: code.Status(), Detail: p.Detail, Code: code}, p)
	assert.Equal(t, code.Status(), w.Code)
	assert.Contains(t, p.Detail, detail)
}

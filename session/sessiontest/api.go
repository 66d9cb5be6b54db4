package sessiontest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Usage of every model call of the stand-in and of the simulation: with list prices of the default model it costs 0.005 USD.
const (
	InputTokens  = 1000
	OutputTokens = 50
)

// TB is the part of testing.TB that this package uses. It is an interface of its own so that a program which only
// simulates does not link the testing package. *testing.T, *testing.B and *testing.F satisfy it.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// API is a stand-in of the Messages API on a random loopback port. A CLI that is pointed at it (see [API.Env]) works
// without internet and without a key; its model does what the directives of the newest prompt say.
//
// All methods are safe for concurrent use.
type API struct {
	key      string
	listener net.Listener
	server   *http.Server
	closing  context.Context
	close    context.CancelFunc
	served   chan struct{} // closed when the accept loop has ended
	active   sync.WaitGroup

	mu       sync.Mutex
	requests []Request
	changed  chan struct{} // closed and replaced with each recorded request
	failing  []int         // statuses of the next model calls
	held     chan struct{} // nil when model calls are answered at once
	failures map[string]int
}

// Request is one model call that the stand-in received.
type Request struct {
	At       time.Time
	Path     string
	Key      string // x-api-key, or the bearer token
	Model    string
	Stream   bool
	System   string
	Tools    []string
	Messages []Message
	Status   int // what it was answered with
	// Header and Body are the call as it came: what an option of the CLI does to it can be seen there.
	Header http.Header
	Body   json.RawMessage
}

// Text is the newest plain prompt of the conversation: what the scripted model acts on.
func (r Request) Text() string { return situate(r.Messages).prompt }

// Prompts are all plain prompts of the conversation, oldest first, the newest included.
func (r Request) Prompts() []string {
	s := situate(r.Messages)
	if s.prompt == "" {
		return nil
	}
	return append(s.earlier, s.prompt)
}

// Conversation is the plain text of the conversation, one "role: text" per text block, oldest first.
func (r Request) Conversation() []string {
	var lines []string
	for _, m := range r.Messages {
		if m.Role != "user" && m.Role != "assistant" {
			continue // the CLI's own system notes
		}
		for _, text := range m.Texts {
			lines = append(lines, m.Role+": "+text)
		}
	}
	return lines
}

// APIOption changes how a stand-in behaves.
type APIOption func(*API)

// RequireKey makes the stand-in answer 401 authentication_error to every call that does not carry this key.
func RequireKey(key string) APIOption { return func(a *API) { a.key = key } }

// NewAPI starts a stand-in. With a TB it is closed when the test ends; with nil the caller closes it.
// A listener that cannot be opened fails the test, or panics where there is none: without a loopback nothing here can work.
func NewAPI(tb TB, options ...APIOption) *API {
	if tb != nil {
		tb.Helper()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		if tb == nil {
			panic(fmt.Sprintf("sessiontest: listen on loopback: %v", err))
		}
		tb.Fatalf("sessiontest: listen on loopback: %v", err)
	}
	a := &API{
		listener: listener,
		served:   make(chan struct{}),
		changed:  make(chan struct{}),
		failures: map[string]int{},
	}
	a.closing, a.close = context.WithCancel(context.Background())
	for _, o := range options {
		o(a)
	}
	a.server = &http.Server{Handler: http.HandlerFunc(a.serve), ReadHeaderTimeout: time.Minute}
	go func() { // ends with Close
		defer close(a.served)
		_ = a.server.Serve(listener) // always ErrServerClosed, from Close
	}()
	if tb != nil {
		tb.Cleanup(a.Close)
	}
	return a
}

// URL is the base URL, without a trailing slash: what ANTHROPIC_BASE_URL wants.
func (a *API) URL() string { return "http://" + a.listener.Addr().String() }

// Env is the environment that points a CLI at the stand-in, with a made-up key (or the required one), without any
// other traffic, and with the same shell everywhere.
func (a *API) Env() map[string]string {
	key := a.key
	if key == "" {
		key = "test-key-not-real"
	}
	return map[string]string{
		"ANTHROPIC_BASE_URL":                       a.URL(),
		"ANTHROPIC_API_KEY":                        key,
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
		"DISABLE_AUTOUPDATER":                      "1",
		"SHELL":                                    "/bin/bash", // without it the CLI takes zsh where there is one
		runVariable:                                runID(),
	}
}

// Close cuts all connections, ends all pending answers and frees the port. It can be called more than once.
func (a *API) Close() {
	a.close()
	_ = a.server.Close() // the listener may be closed already
	<-a.served
	a.active.Wait()
}

// FailNext answers the next n model calls with an HTTP status, whatever their directives say.
func (a *API) FailNext(status, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for range n {
		a.failing = append(a.failing, status)
	}
}

// Hold keeps every model call waiting, after it was recorded, until release is called. Only one hold is in force: a second
// one replaces the first, whose release then does nothing more than let those go that waited for it.
func (a *API) Hold() (release func()) {
	held := make(chan struct{})
	a.mu.Lock()
	a.held = held
	a.mu.Unlock()
	return sync.OnceFunc(func() {
		a.mu.Lock()
		if a.held == held {
			a.held = nil
		}
		a.mu.Unlock()
		close(held)
	})
}

// Requests returns the model calls received so far, in the order of their arrival.
func (a *API) Requests() []Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Request(nil), a.requests...)
}

// Await waits until at least n model calls were received and returns all of them.
func (a *API) Await(ctx context.Context, n int) ([]Request, error) {
	for {
		a.mu.Lock()
		got, changed := append([]Request(nil), a.requests...), a.changed
		a.mu.Unlock()
		if len(got) >= n {
			return got, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return got, fmt.Errorf("await %d model calls: %d came: %w", n, len(got), context.Cause(ctx))
		case <-a.closing.Done():
			return got, fmt.Errorf("await %d model calls: %d came, then the stand-in was closed", n, len(got))
		}
	}
}

func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	a.active.Add(1)
	defer a.active.Done()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	path := strings.TrimSuffix(r.URL.Path, "/")
	switch {
	case a.key != "" && keyOf(r) != a.key && strings.HasPrefix(path, "/v1/"):
		if path == "/v1/messages" {
			a.record(r, body, parseRequest(body), http.StatusUnauthorized)
		}
		writeError(w, http.StatusUnauthorized, "invalid x-api-key")
	case path == "/v1/messages" && r.Method == http.MethodPost:
		a.message(w, r, body)
	case path == "/v1/messages/count_tokens":
		writeJSON(w, http.StatusOK, map[string]any{"input_tokens": InputTokens})
	case strings.HasPrefix(path, "/v1/files/") && strings.HasSuffix(path, "/content"):
		_, _ = io.WriteString(w, "what is in "+strings.TrimSuffix(strings.TrimPrefix(path, "/v1/files/"), "/content")) // the client may have gone away
	default:
		writeJSON(w, http.StatusOK, map[string]any{})
	}
}

func keyOf(r *http.Request) string {
	if key := r.Header.Get("X-Api-Key"); key != "" {
		return key
	}
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

// wireRequest is the body of a model call.
type wireRequest struct {
	Model    string          `json:"model"`
	Stream   bool            `json:"stream"`
	System   json.RawMessage `json:"system"`
	Messages []wireMessage   `json:"messages"`
	Tools    []struct {
		Name string `json:"name"`
	} `json:"tools"`
}

func parseRequest(body []byte) wireRequest {
	var in wireRequest
	_ = json.Unmarshal(body, &in) // a body that is no JSON has no prompt, and is answered as such
	return in
}

func (a *API) record(r *http.Request, body []byte, in wireRequest, status int) Request {
	req := Request{
		At: time.Now(), Path: r.URL.Path, Key: keyOf(r), Model: in.Model, Stream: in.Stream,
		System: textOf(in.System), Messages: parseMessages(in.Messages), Status: status,
		Header: r.Header.Clone(), Body: body,
	}
	req.Header.Del("X-Api-Key") // it is in Key
	for _, t := range in.Tools {
		req.Tools = append(req.Tools, t.Name)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, req)
	close(a.changed)
	a.changed = make(chan struct{})
	return req
}

// refusalNotice begins what the CLI tells a model that would not answer, before it is asked once more.
const refusalNotice = "Your response above was stopped by a safety classifier"

// suggestionNotice begins what the CLI asks a model when it wants to know what the user may say next.
const suggestionNotice = "[SUGGESTION MODE"

// summaryNotice begins what the CLI asks a model when it wants to know what a subagent does.
const summaryNotice = "Describe your most recent action"

func (a *API) message(w http.ResponseWriter, r *http.Request, body []byte) {
	in := parseRequest(body)
	where := situate(parseMessages(in.Messages))
	n := len(where.earlier)
	var c call
	switch {
	case n > 0 && strings.HasPrefix(where.prompt, suggestionNotice):
		c.text = cmp.Or(script(where.earlier[n-1], 0, false).suggests, "nothing to suggest")
	case n > 0 && strings.HasPrefix(where.prompt, summaryNotice):
		c.text = "Doing what is scripted"
	case n > 0 && strings.HasPrefix(where.prompt, refusalNotice):
		where.prompt, where.earlier = where.earlier[n-1], where.earlier[:n-1]
		fallthrough
	default:
		c = script(where.prompt, where.results, false)
	}
	status := a.statusFor(c, where)
	a.record(r, body, in, max(status, http.StatusOK))
	if !a.wait(r.Context(), c.delay()) {
		return
	}
	if status != 0 {
		writeError(w, status, "scripted")
		return
	}
	content := a.content(c, where)
	if c.refusedBy(in.Model) {
		content = []wireBlock{{Type: "text", Text: refusedText, refusal: c.refuses[1]}}
	}
	pause := c.slow / time.Duration(len(content))
	if in.Stream {
		a.stream(w, r, in.Model, content, pause)
		return
	}
	if !a.pause(r.Context(), c.slow) {
		return
	}
	writeJSON(w, http.StatusOK, messageBody(in.Model, content))
}

// statusFor decides whether a call fails. A call that fails only n times is told from others by its place in its conversation.
func (a *API) statusFor(c call, where situation) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.failing) > 0 {
		status := a.failing[0]
		a.failing = a.failing[1:]
		return status
	}
	if c.status == 0 || c.failures == 0 {
		return c.status
	}
	place := strings.Join(where.earlier, "\n") + "\n" + where.prompt + "\n" + strconv.Itoa(where.results)
	if a.failures[place] >= c.failures {
		return 0
	}
	a.failures[place]++
	return c.status
}

// wait keeps an answer back; it reports false when nobody wants it any more.
func (a *API) wait(ctx context.Context, delay time.Duration) bool {
	a.mu.Lock()
	held := a.held
	a.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return false
		case <-a.closing.Done():
			return false
		}
	}
	return a.pause(ctx, delay)
}

// pause waits; it reports false when nobody wants the answer any more.
func (a *API) pause(ctx context.Context, delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-a.closing.Done():
		return false
	}
}

func (a *API) content(c call, where situation) []wireBlock {
	if len(c.tools) == 0 {
		return textBlocks(c.answer(where.prompt, where.earlier), c.slow > 0)
	}
	var blocks []wireBlock
	for _, t := range c.tools {
		blocks = append(blocks, wireBlock{Type: "tool_use", ID: newToolUseID(), Name: t.name, Input: t.input})
	}
	return blocks
}

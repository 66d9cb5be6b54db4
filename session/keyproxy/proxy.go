package keyproxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// DefaultUpstream is where the Messages API is.
const DefaultUpstream = "https://api.anthropic.com"

// Limits of the server.
const (
	maxBody       = 64 << 20
	maxHeader     = 64 << 10
	maxAtOnce     = 64
	headerTimeout = 10 * time.Second
	idleTimeout   = 5 * time.Minute
	answerTimeout = 10 * time.Minute // until the upstream begins to answer
)

// Options say what a proxy forwards, and to where.
type Options struct {
	// Key is the API key. It is sent upstream and appears nowhere else.
	Key string
	// Upstream is the base URL of the API, DefaultUpstream if empty. Plain http is for this machine only.
	Upstream string
	Limits   Limits
	// SpentUSD is what was spent before, which counts towards Limits.MaxBudgetUSD.
	SpentUSD float64
	// OnRequest, if not nil, is told of each request at its end.
	OnRequest func(Request)
	// Transport is used for the upstream; nil: one of its own, with the proxy of the environment.
	Transport http.RoundTripper
}

// Request is what became of a request, for the record. It holds nothing of what was said.
type Request struct {
	At        time.Time
	Took      time.Duration
	Path      string
	Model     string
	Stream    bool
	Status    int    // what the session was answered with
	Refused   string // why this proxy refused it; empty if it was passed on
	RequestID string // the API's
	Input     int
	Output    int
	CacheRead int
	// CacheWrite are tokens that were written to the cache.
	CacheWrite int
	CostUSD    float64
	SpentUSD   float64 // so far, Options.SpentUSD included
}

// Proxy is one session's way to the API. It is good until Close.
type Proxy struct {
	options  Options
	upstream *url.URL
	token    string
	sum      [sha256.Size]byte
	listener net.Listener
	server   *http.Server
	client   *http.Transport
	served   chan struct{}
	slots    chan struct{}
	now      func() time.Time

	mu       sync.Mutex
	usage    Usage
	requests window
	tokens   window
	closed   bool
}

// Start opens a proxy on a port of 127.0.0.1, with a token that nobody has had before.
func Start(o Options) (*Proxy, error) {
	if o.Key == "" {
		return nil, errors.New("key proxy: there is no key")
	}
	if o.Upstream == "" {
		o.Upstream = DefaultUpstream
	}
	upstream, err := CheckUpstream(o.Upstream)
	if err != nil {
		return nil, fmt.Errorf("key proxy: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("key proxy: %w", err)
	}
	token := "understudy-" + rand.Text() + rand.Text()
	p := &Proxy{
		options: o, upstream: upstream, token: token, sum: sha256.Sum256([]byte(token)), listener: listener,
		served: make(chan struct{}), slots: make(chan struct{}, maxAtOnce), now: time.Now,
	}
	p.usage.CostUSD = max(0, o.SpentUSD)
	if p.options.Transport == nil {
		p.client = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableCompression: true, MaxIdleConnsPerHost: 4,
			IdleConnTimeout: time.Minute, ResponseHeaderTimeout: answerTimeout, TLSHandshakeTimeout: 15 * time.Second,
		}
		p.options.Transport = p.client
	}
	p.server = &http.Server{
		Handler: p, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() { // ends with Close
		defer close(p.served)
		_ = p.server.Serve(listener) // always ErrServerClosed
	}()
	return p, nil
}

// CheckUpstream reads a base URL, and refuses one to which the key would travel in the clear.
func CheckUpstream(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Host == "", u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, errors.New("upstream: expected a base URL such as https://api.anthropic.com")
	case u.Scheme == "https":
		return u, nil
	case u.Scheme != "http":
		return nil, errors.New("upstream: expected https")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if u.Hostname() != "localhost" && (err != nil || !addr.IsLoopback()) {
		return nil, errors.New("upstream: plain http is for this machine only: the key would travel in the clear")
	}
	return u, nil
}

// URL is the base URL for the session.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

// Token is what the session has for a key. It is good for this proxy alone, and until Close.
func (p *Proxy) Token() string { return p.token }

// Usage is what went through so far.
func (p *Proxy) Usage() Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.usage
}

// String is the address, without the token.
func (p *Proxy) String() string { return "keyproxy " + p.listener.Addr().String() }

// Close ends the proxy and what passes through it at once. It may be called more than once.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.server.Close() // the listener's error would be that it is closed
	<-p.served
	if p.client != nil {
		p.client.CloseIdleConnections()
	}
}

// refusal is an answer of the proxy's own, in the form of the API's.
type refusal struct {
	status int
	kind   string
	text   string
	after  time.Duration // when to try again
}

// ServeHTTP is for the server.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seen := Request{At: p.now(), Path: cut(r.URL.EscapedPath())}
	no, torn := p.serve(w, r, &seen)
	if no != nil {
		seen.Status, seen.Refused = no.status, no.text
		p.mu.Lock()
		p.usage.Refused++
		p.mu.Unlock()
		if no.after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(no.after.Round(time.Second)/time.Second)))
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(no.status)
		_ = json.NewEncoder(w).Encode(map[string]any{"type": "error", "error": map[string]any{"type": no.kind, "message": no.text}}) // or the session is gone
	}
	seen.Took = p.now().Sub(seen.At)
	p.mu.Lock()
	seen.SpentUSD = p.usage.CostUSD
	p.mu.Unlock()
	if p.options.OnRequest != nil {
		p.options.OnRequest(seen)
	}
	if torn {
		panic(http.ErrAbortHandler) // the connection is cut, so that the answer is not taken for whole
	}
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, seen *Request) (no *refusal, torn bool) {
	if !p.knows(r) {
		return &refusal{status: http.StatusUnauthorized, kind: "authentication_error", text: "this is not the token of the session"}, false
	}
	if r.Host != p.listener.Addr().String() {
		return &refusal{status: http.StatusMisdirectedRequest, kind: "invalid_request_error", text: "this is not the name of the proxy"}, false
	}
	if path := r.URL.EscapedPath(); path != "/v1/messages" && path != "/v1/messages/count_tokens" || !plainQuery(r.URL.RawQuery) {
		return &refusal{status: http.StatusForbidden, kind: "permission_error", text: "the session may use the Messages API only"}, false
	}
	if r.Method != http.MethodPost {
		return &refusal{status: http.StatusMethodNotAllowed, kind: "invalid_request_error", text: "expected POST"}, false
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	default:
		return &refusal{status: http.StatusTooManyRequests, kind: "rate_limit_error", text: "too many requests at the same time", after: time.Second}, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return &refusal{status: http.StatusRequestEntityTooLarge, kind: "request_too_large", text: "the request cannot be read: too long, or cut off"}, false
	}
	if seen.Model, seen.Stream, err = asks(body); err != nil {
		return &refusal{status: http.StatusBadRequest, kind: "invalid_request_error", text: err.Error()}, false
	}
	if !p.options.Limits.allows(seen.Model) {
		return &refusal{status: http.StatusForbidden, kind: "permission_error", text: fmt.Sprintf("the session may not use the model %q", cut(seen.Model))}, false
	}
	if no := p.admit(); no != nil {
		return no, false
	}
	return nil, p.forward(w, r, body, seen)
}

// knows reports whether the request has the token, in either of the two places for it.
func (p *Proxy) knows(r *http.Request) bool {
	token := r.Header.Get("X-Api-Key")
	if token == "" {
		token, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	sum := sha256.Sum256([]byte(token)) // of equal length, so that the time taken says nothing
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	return subtle.ConstantTimeCompare(sum[:], p.sum[:]) == 1 && !closed
}

func plainQuery(query string) bool { return query == "" || query == "beta=true" }

// asks finds the model in a request. A key that is there twice could mean one model here and another upstream.
func asks(body []byte) (model string, stream bool, err error) {
	wrong := errors.New("the request is no JSON object with a model")
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "", false, wrong
	}
	found := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return "", false, wrong
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return "", false, wrong
		}
		lower := strings.ToLower(key)
		if lower != "model" && lower != "stream" {
			continue
		}
		if found[lower] || lower != key {
			return "", false, fmt.Errorf("the request has the key %q twice, or in another spelling", lower)
		}
		found[lower] = true
		if key == "model" {
			err = json.Unmarshal(value, &model)
		} else {
			err = json.Unmarshal(value, &stream)
		}
		if err != nil {
			return "", false, wrong
		}
	}
	if _, err := d.Token(); err != nil || model == "" {
		return "", false, wrong
	}
	if _, err := d.Token(); err != io.EOF {
		return "", false, wrong
	}
	return model, stream, nil
}

// admit looks at the limits, and counts the request.
func (p *Proxy) admit() *refusal {
	l, now := p.options.Limits, p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case l.MaxBudgetUSD > 0 && p.usage.CostUSD >= l.MaxBudgetUSD:
		return &refusal{status: http.StatusBadRequest, kind: "invalid_request_error", text: fmt.Sprintf("the budget of the session's proxy is used up: %.4f of %.4f USD", p.usage.CostUSD, l.MaxBudgetUSD)}
	case l.RequestsPerMinute > 0 && p.requests.at(now) >= l.RequestsPerMinute:
		return &refusal{status: http.StatusTooManyRequests, kind: "rate_limit_error", text: "the session's limit of requests in a minute is reached", after: p.requests.free(now)}
	case l.TokensPerMinute > 0 && p.tokens.at(now) >= l.TokensPerMinute:
		return &refusal{status: http.StatusTooManyRequests, kind: "rate_limit_error", text: "the session's limit of tokens in a minute is reached", after: p.tokens.free(now)}
	}
	p.requests.add(now, 1)
	p.usage.Requests++
	return nil
}

// Headers that are passed on. Credentials, cookies and what proxies add are not among them.
func passes(name string) bool {
	switch name = strings.ToLower(name); name {
	case "content-type", "accept", "user-agent", "x-app":
		return true
	}
	return strings.HasPrefix(name, "anthropic-") || strings.HasPrefix(name, "x-stainless-") || strings.HasPrefix(name, "x-claude-")
}

// Headers of the answer that are not: they are about the connection, or would be kept by a browser.
var dropped = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Set-Cookie": true, "Content-Length": true,
}

// forward passes a request on, and its answer back. torn says that the answer broke off.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, body []byte, seen *Request) (torn bool) {
	target := *p.upstream
	target.Path, target.RawQuery = strings.TrimSuffix(target.Path, "/")+r.URL.Path, r.URL.RawQuery
	out, err := http.NewRequestWithContext(r.Context(), http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		p.unreachable(w, seen)
		return false
	}
	for name, values := range r.Header {
		if passes(name) {
			out.Header[name] = values
		}
	}
	out.Header.Set("X-Api-Key", p.options.Key)
	out.Header.Set("Accept-Encoding", "identity") // or the usage could not be read
	answer, err := p.options.Transport.RoundTrip(out)
	if err != nil {
		p.unreachable(w, seen)
		return false
	}
	defer answer.Body.Close()
	for name, values := range answer.Header {
		if !dropped[name] {
			w.Header()[name] = values
		}
	}
	seen.Status, seen.RequestID = answer.StatusCode, answer.Header.Get("Request-Id")
	w.WriteHeader(answer.StatusCode)
	m := &meter{stream: strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream")}
	torn = p.pass(r.Context(), w, answer.Body, m)
	p.count(m.end(), seen)
	return torn
}

// pass copies an answer as it comes.
func (p *Proxy) pass(ctx context.Context, w http.ResponseWriter, from io.Reader, m *meter) (torn bool) {
	control := http.NewResponseController(w)
	_ = control.Flush() // the head, which may come long before the first event
	buffer := make([]byte, 32<<10)
	for ctx.Err() == nil {
		n, err := from.Read(buffer)
		if n > 0 {
			_, _ = m.Write(buffer[:n]) // it takes everything
			if _, failed := w.Write(buffer[:n]); failed != nil {
				return true // the session has gone
			}
			_ = control.Flush()
		}
		if err != nil {
			return err != io.EOF
		}
	}
	return true
}

// unreachable answers for an upstream that cannot be asked. The error could hold what is in the environment's proxy URL.
func (p *Proxy) unreachable(w http.ResponseWriter, seen *Request) {
	seen.Status = http.StatusBadGateway
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(seen.Status)
	_, _ = io.WriteString(w, `{"type":"error","error":{"type":"api_error","message":"the API cannot be reached"}}`) // or the session is gone
}

func (p *Proxy) count(t tokens, seen *Request) {
	cost := t.cost(p.options.Limits.price(seen.Model))
	seen.Input, seen.Output, seen.CacheRead, seen.CacheWrite, seen.CostUSD = t.Input, t.Output, t.CacheRead, t.CacheWrite, cost
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens.add(p.now(), t.total())
	p.usage.Input += t.Input
	p.usage.Output += t.Output
	p.usage.CacheRead += t.CacheRead
	p.usage.CacheWrite += t.CacheWrite
	p.usage.CostUSD += cost
}

// cut shortens foreign text.
func cut(s string) string {
	if len(s) <= 200 {
		return s
	}
	return strings.ToValidUTF8(s[:200], "") + "…"
}

package keyproxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const theKey = "sk-the-real-key-0123456789"

// api is an upstream that keeps what it was asked.
type api struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
	body []string
}

func newAPI(t *testing.T, answer http.HandlerFunc) *api {
	a := &api{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		a.seen, a.body = append(a.seen, r), append(a.body, string(body))
		a.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *api) requests() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.seen)
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Request-Id", "req_1")
		w.Header().Set("Set-Cookie", "a=b")
		_, _ = io.WriteString(w, text)
	}
}

const usage = `{"usage":{"input_tokens":1000,"output_tokens":100,"cache_read_input_tokens":10,"cache_creation_input_tokens":1}}`

func start(t *testing.T, o Options) (*Proxy, *[]Request) {
	t.Helper()
	var all []Request
	var mu sync.Mutex
	o.Key = theKey
	o.OnRequest = func(r Request) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, r)
	}
	p, err := Start(o)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p, &all
}

// ask sends a request as the session would, changed by change.
func ask(t *testing.T, p *Proxy, body string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, p.URL()+"/v1/messages?beta=true", strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("X-Api-Key", p.Token())
	if change != nil {
		change(r)
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer, string(text)
}

func TestTheKeyIsPutInAndTheTokenTakenOut(t *testing.T) {
	a := newAPI(t, says(usage))
	p, records := start(t, Options{Upstream: a.URL + "/base/"})
	answer, text := ask(t, p, `{"model":"claude-haiku-4","stream":false}`, func(r *http.Request) {
		r.Header.Set("Anthropic-Version", "2023-06-01")
		r.Header.Set("Cookie", "secret")
		r.Header.Set("X-Forwarded-For", "1.2.3.4")
		r.Header.Set("Accept-Encoding", "gzip")
	})
	assert.Equal(t, http.StatusOK, answer.StatusCode)
	assert.Equal(t, usage, text)
	assert.Empty(t, answer.Header.Get("Set-Cookie"))
	require.Equal(t, 1, a.requests())
	up := a.seen[0]
	assert.Equal(t, "/base/v1/messages?beta=true", up.URL.String())
	assert.Equal(t, theKey, up.Header.Get("X-Api-Key"))
	assert.Equal(t, "2023-06-01", up.Header.Get("Anthropic-Version"))
	assert.Equal(t, "identity", up.Header.Get("Accept-Encoding"))
	for _, name := range []string{"Authorization", "Cookie", "X-Forwarded-For"} {
		assert.Empty(t, up.Header.Get(name), name)
	}
	dump := fmt.Sprint(up.Header)
	assert.NotContains(t, dump, p.Token())
	require.Len(t, *records, 1)
	r := (*records)[0]
	assert.Equal(t, "claude-haiku-4", r.Model)
	assert.Equal(t, "req_1", r.RequestID)
	assert.Equal(t, []int{1000, 100, 10, 1}, []int{r.Input, r.Output, r.CacheRead, r.CacheWrite})
	assert.InDelta(t, (1000*1.0+100*5+10*0.1+1*1.25)/1e6, r.CostUSD, 1e-12)
	assert.Equal(t, Usage{Requests: 1, Input: 1000, Output: 100, CacheRead: 10, CacheWrite: 1, CostUSD: r.CostUSD}, p.Usage())
	assert.NotContains(t, p.String(), p.Token())

	answer, _ = ask(t, p, `{"model":"x"}`, func(r *http.Request) {
		r.Header.Del("X-Api-Key")
		r.Header.Set("Authorization", "Bearer "+p.Token())
		r.URL.Path = "/v1/messages/count_tokens"
	})
	assert.Equal(t, http.StatusOK, answer.StatusCode)
}

func TestWhatDoesNotPass(t *testing.T) {
	a := newAPI(t, says(usage))
	p, records := start(t, Options{Upstream: a.URL, Limits: Limits{Models: []string{"claude-haiku-*", "exact"}}})
	other, _ := start(t, Options{Upstream: a.URL})
	const good = `{"model":"exact"}`
	for name, test := range map[string]struct {
		body   string
		change func(*http.Request)
		status int
	}{
		"no token":                {good, func(r *http.Request) { r.Header.Del("X-Api-Key") }, 401},
		"a guess":                 {good, func(r *http.Request) { r.Header.Set("X-Api-Key", "understudy-GUESS") }, 401},
		"a token and more":        {good, func(r *http.Request) { r.Header.Set("X-Api-Key", p.Token()+"x") }, 401},
		"another session's token": {good, func(r *http.Request) { r.Header.Set("X-Api-Key", other.Token()) }, 401},
		"the real key":            {good, func(r *http.Request) { r.Header.Set("X-Api-Key", theKey) }, 401},
		"another name":            {good, func(r *http.Request) { r.Host = "evil.example" }, 421},
		"another path":            {good, func(r *http.Request) { r.URL.Path = "/v1/files" }, 403},
		"a path above":            {good, func(r *http.Request) { r.URL.Opaque = "/v1/messages/../files" }, 403},
		"an escaped path":         {good, func(r *http.Request) { r.URL.Opaque = "/v1/messages%2f..%2ffiles" }, 403},
		"a doubled slash":         {good, func(r *http.Request) { r.URL.Opaque = "//v1/messages" }, 421},
		"a path below":            {good, func(r *http.Request) { r.URL.Path = "/v1/messages/batches" }, 403},
		"another query":           {good, func(r *http.Request) { r.URL.RawQuery = "x=y" }, 403},
		"GET":                     {"", func(r *http.Request) { r.Method = http.MethodGet }, 405},
		"another model":           {`{"model":"claude-opus-4"}`, nil, 403},
		"a model in a path":       {`{"model":"claude-haiku-4/../x"}`, nil, 403},
		"two models":              {`{"model":"exact","model":"claude-opus-4"}`, nil, 400},
		"two spellings":           {`{"model":"exact","Model":"claude-opus-4"}`, nil, 400},
		"no model":                {`{"messages":[{"model":"exact"}]}`, nil, 400},
		"a model that is none":    {`{"model":5}`, nil, 400},
		"no JSON":                 {`model=exact`, nil, 400},
		"two documents":           {good + good, nil, 400},
		"cut off":                 {`{"model":"exact"`, nil, 400},
	} {
		answer, text := ask(t, p, test.body, test.change)
		assert.Equal(t, test.status, answer.StatusCode, name)
		var body struct {
			Type  string
			Error struct{ Type, Message string }
		}
		require.NoError(t, json.Unmarshal([]byte(text), &body), "%s: %s", name, text)
		assert.Equal(t, "error", body.Type)
		assert.NotEmpty(t, body.Error.Message)
		assert.NotContains(t, text, theKey)
		assert.NotContains(t, text, p.Token())
	}
	assert.Zero(t, a.requests(), "nothing of it reached the API")
	assert.Equal(t, Usage{Refused: len(*records)}, p.Usage())
	for _, r := range *records {
		assert.NotEmpty(t, r.Refused)
	}

	p.Close()
	_, err := net.Dial("tcp", strings.TrimPrefix(p.URL(), "http://"))
	assert.Error(t, err, "nothing is there when the session is over")
}

// sse is an event of a stream.
func sse(kind, data string) string { return "event: " + kind + "\ndata: " + data + "\n\n" }

func TestStreamsPassWithoutDelay(t *testing.T) {
	next, seen := make(chan string), make(chan struct{})
	a := newAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.(http.Flusher).Flush()
		for text := range next {
			_, _ = io.WriteString(w, text)
			w.(http.Flusher).Flush()
		}
	})
	p, records := start(t, Options{Upstream: a.URL})
	r, err := http.NewRequest(http.MethodPost, p.URL()+"/v1/messages", strings.NewReader(`{"model":"claude-opus-4","stream":true}`))
	require.NoError(t, err)
	r.Header.Set("X-Api-Key", p.Token())
	answer, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err, "the head comes before the first event")
	defer answer.Body.Close()
	lines := bufio.NewReader(answer.Body)
	go func() { // ends with the stream
		defer close(next)
		for _, text := range []string{
			sse("message_start", `{"type":"message_start","message":{"usage":{"input_tokens":7,"output_tokens":1,"cache_read_input_tokens":3}}}`),
			sse("content_block_delta", `{"type":"content_block_delta","delta":{"text":"hello"}}`),
			sse("message_delta", `{"type":"message_delta","usage":{"output_tokens":42}}`),
			sse("message_stop", `{"type":"message_stop"}`),
		} {
			next <- text
			<-seen // the next is not sent before this one has arrived
		}
	}()
	for range 4 {
		for {
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			if line == "\n" {
				break
			}
		}
		seen <- struct{}{}
	}
	_, err = lines.ReadString('\n')
	require.ErrorIs(t, err, io.EOF)
	p.Close()
	require.Len(t, *records, 1)
	assert.Equal(t, []int{7, 42, 3}, []int{(*records)[0].Input, (*records)[0].Output, (*records)[0].CacheRead})
}

// A stream is counted the same however it is cut into pieces, and whatever is between its events.
func TestMeter(t *testing.T) {
	whole := sse("message_start", `{"type":"message_start","message":{"usage":{"input_tokens":7,"output_tokens":1}}}`) + ": a comment\n\n" +
		sse("x", "not json") + sse("ping", `{"type":"ping"}`) + sse("content_block_delta", `{"type":"content_block_delta","delta":{"text":"0123456789"}}`)
	ended := whole + sse("message_delta", `{"type":"message_delta","usage":{"output_tokens":5}}`)
	for name, test := range map[string]struct {
		text string
		want tokens
	}{
		"ended":    {ended, tokens{Input: 7, Output: 5}},
		"cut off":  {whole, tokens{Input: 7, Output: 6}}, // 21 bytes of delta
		"CRLF":     {strings.ReplaceAll(ended, "\n", "\r\n"), tokens{Input: 7, Output: 5}},
		"negative": {sse("message_delta", `{"type":"message_delta","usage":{"input_tokens":-5,"output_tokens":-9}}`), tokens{}},
		"empty":    {"", tokens{}},
		"too long": {"data: " + strings.Repeat("x", maxEvent) + "\n" + ended, tokens{Input: 7, Output: 5}},
	} {
		for _, reader := range []io.Reader{strings.NewReader(test.text), iotest.OneByteReader(strings.NewReader(test.text)), iotest.HalfReader(strings.NewReader(test.text))} {
			m := &meter{stream: true}
			_, err := io.Copy(m, struct{ io.Reader }{reader})
			require.NoError(t, err)
			assert.Equal(t, test.want, m.end(), name)
			if len(test.text) > 1<<20 {
				break
			}
		}
	}
	m := &meter{}
	_, _ = m.Write([]byte(usage))
	assert.Equal(t, tokens{1000, 100, 10, 1}, m.end())
}

func FuzzMeter(f *testing.F) {
	f.Add([]byte(sse("message_delta", `{"type":"message_delta","usage":{"output_tokens":5}}`)), 3, true)
	f.Add([]byte(usage), 1, false)
	f.Fuzz(func(t *testing.T, text []byte, piece int, stream bool) {
		whole, parts := &meter{stream: stream}, &meter{stream: stream}
		_, _ = whole.Write(text)
		for rest := text; len(rest) > 0; {
			n := min(max(1, piece), len(rest))
			_, _ = parts.Write(rest[:n])
			rest = rest[n:]
		}
		got := whole.end()
		require.Equal(t, got, parts.end())
		require.True(t, got.Input >= 0 && got.Output >= 0 && got.CacheRead >= 0 && got.CacheWrite >= 0)
	})
}

func TestLimits(t *testing.T) {
	a := newAPI(t, says(usage))
	p, _ := start(t, Options{Upstream: a.URL, Limits: Limits{RequestsPerMinute: 2}})
	const body = `{"model":"claude-haiku-4"}`
	for range 2 {
		answer, _ := ask(t, p, body, nil)
		require.Equal(t, http.StatusOK, answer.StatusCode)
	}
	answer, text := ask(t, p, body, nil)
	assert.Equal(t, http.StatusTooManyRequests, answer.StatusCode)
	assert.NotEmpty(t, answer.Header.Get("Retry-After"))
	assert.Contains(t, text, "rate_limit_error")

	p, _ = start(t, Options{Upstream: a.URL, Limits: Limits{TokensPerMinute: 1000}})
	answer, _ = ask(t, p, body, nil)
	require.Equal(t, http.StatusOK, answer.StatusCode)
	answer, _ = ask(t, p, body, nil)
	assert.Equal(t, http.StatusTooManyRequests, answer.StatusCode)

	p, records := start(t, Options{Upstream: a.URL, Limits: Limits{MaxBudgetUSD: 0.002, Prices: map[string]Price{"claude-*": {Input: 1, Output: 2}, "claude-haiku-*": {Input: 1, Output: 1}}}})
	for range 2 {
		answer, _ = ask(t, p, body, nil)
		require.Equal(t, http.StatusOK, answer.StatusCode)
	}
	answer, text = ask(t, p, body, nil)
	assert.Equal(t, http.StatusBadRequest, answer.StatusCode)
	assert.Contains(t, text, "budget")
	last := (*records)[len(*records)-1]
	assert.InDelta(t, 0.0022, last.SpentUSD, 0.0001)
	assert.Equal(t, 3, len(*records))
}

func TestTheMinutePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Proxy{options: Options{Limits: Limits{RequestsPerMinute: 3, TokensPerMinute: 100}}, now: time.Now}
		for range 3 {
			require.Nil(t, p.admit())
			time.Sleep(10 * time.Second)
		}
		no := p.admit()
		require.NotNil(t, no)
		assert.Equal(t, 30*time.Second, no.after)
		time.Sleep(no.after)
		require.Nil(t, p.admit())
		p.count(tokens{Input: 100}, &Request{Model: "x"})
		time.Sleep(20 * time.Second)
		no = p.admit()
		require.NotNil(t, no)
		assert.Equal(t, 40*time.Second, no.after)
		for range 10_000 { // memory stays bounded
			p.requests.add(time.Now(), 1)
		}
		assert.Less(t, len(p.requests.events), 10)
	})
}

func TestPrices(t *testing.T) {
	for model, want := range map[string]float64{"claude-opus-5-5": 5, "claude-sonnet-4": 3, "claude-3-haiku": 1, "gpt": 15, "": 15} {
		assert.Equal(t, want, Limits{}.price(model).Input, model)
	}
	own := Limits{Prices: map[string]Price{"*": {Input: 2, CacheRead: 1}}}.price("claude-opus-5-5")
	assert.Equal(t, Price{Input: 2, CacheRead: 1, CacheWrite: 2.5}, own)
}

func TestUpstreams(t *testing.T) {
	for text, want := range map[string]string{
		"https://api.anthropic.com": "", "https://x.example/base": "", "http://127.0.0.1:8080": "", "http://[::1]:1": "", "http://localhost": "",
		"http://api.anthropic.com": "in the clear", "http://10.0.0.1": "in the clear", "ftp://x": "expected https", "api.anthropic.com": "base URL",
		"https://user:pass@x": "base URL", "https://x?y=z": "base URL", "": "base URL", "http://localhost.evil.example": "in the clear",
	} {
		_, err := CheckUpstream(text)
		if want == "" {
			assert.NoError(t, err, text)
		} else {
			assert.ErrorContains(t, err, want, text)
		}
	}
	_, err := Start(Options{})
	assert.ErrorContains(t, err, "no key")
}

func TestUpstreamTroubles(t *testing.T) {
	gone := newAPI(t, says(usage))
	gone.Close()
	p, records := start(t, Options{Upstream: gone.URL})
	answer, text := ask(t, p, `{"model":"x"}`, nil)
	assert.Equal(t, http.StatusBadGateway, answer.StatusCode)
	assert.NotContains(t, text, theKey)

	busy := newAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(529)
	})
	p2, _ := start(t, Options{Upstream: busy.URL})
	answer, _ = ask(t, p2, `{"model":"x"}`, nil)
	assert.Equal(t, 529, answer.StatusCode)
	assert.Equal(t, "7", answer.Header.Get("Retry-After"), "what the API says of waiting arrives")

	elsewhere := newAPI(t, says(usage))
	moved := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	p3, _ := start(t, Options{Upstream: moved.URL})
	answer, _ = ask(t, p3, `{"model":"x"}`, nil)
	assert.Equal(t, http.StatusTemporaryRedirect, answer.StatusCode)
	assert.Zero(t, elsewhere.requests(), "the key is sent to no other address")

	torn := newAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, sse("message_start", `{"type":"message_start","message":{"usage":{"input_tokens":9}}}`))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	p4, records4 := start(t, Options{Upstream: torn.URL})
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, p4.URL()+"/v1/messages", bytes.NewReader([]byte(`{"model":"x","stream":true}`)))
	require.NoError(t, err)
	r.Header.Set("X-Api-Key", p4.Token())
	got, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	_, err = io.ReadAll(got.Body)
	assert.Error(t, err, "what broke off is not taken for whole")
	require.NoError(t, got.Body.Close())
	p4.Close()
	require.Len(t, *records4, 1)
	assert.Equal(t, 9, (*records4)[0].Input, "and is counted all the same")
	assert.Len(t, *records, 1)
}

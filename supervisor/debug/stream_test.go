package debug

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pipes is a listener without an operating system, so that servers can be tested at any speed.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.done:
		return net.ErrClosed
	default:
		close(p.done)
		return nil
	}
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// client asks over the pipes. It says nothing of who it is, as over a socket.
func (p *pipes) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: p.dial, DisableKeepAlives: true}}
}

// inBubble serves a handler in a bubble, where time passes when nobody does anything.
func inBubble(t *testing.T, h http.Handler, body func(t *testing.T, client *http.Client, server *http.Server)) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		server := NewServer(h)
		over := make(chan error, 1)
		go func() { over <- server.Serve(p) }() // ends with Close
		client := p.client()
		body(t, client, server)
		client.CloseIdleConnections()
		_ = server.Close()
		assert.ErrorIs(t, <-over, http.ErrServerClosed)
	})
}

func send(t *testing.T, client *http.Client, method, target, body string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+target, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(request)
	require.NoError(t, err)
	return response
}

func TestQueryStreamsFrames(t *testing.T) {
	for name, c := range map[string]struct {
		steps  []step
		status int
		body   string
		acted  string
	}{
		"a turn":         {[]step{{frame: `{"type":"a","x": null}`}, {frame: `{"type":"result"}`}}, 200, "{\"type\":\"a\",\"x\": null}\n{\"type\":\"result\"}\n", "ok"},
		"nothing":        {nil, 200, "", "ok"},
		"error result":   {[]step{{frame: `{}`}, {err: &Error{ErrorResult, "error_max_turns"}}}, 200, "{}\n{\"type\":\"understudy_error\",\"code\":\"error_result\",\"message\":\"error_max_turns\"}\n", "error_result"},
		"crash":          {[]step{{frame: `{}`}, {err: fmt.Errorf("turn 2: %w", &Error{Crashed, "signal: \"killed\"\n"})}}, 200, "{}\n{\"type\":\"understudy_error\",\"code\":\"crashed\",\"message\":\"turn 2: signal: \\\"killed\\\"\\n\"}\n", "crashed"},
		"error at once":  {[]step{{err: &Error{Busy, "16 queries wait"}}}, 429, "", "queue_full"},
		"line breaks in": {[]step{{frame: "{\n\"a\":\r\n1}"}}, 200, "{ \"a\":  1}\n", "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			f.query = answerOf(c.steps...)
			w := ask(fixed(f, Options{Socket: true, Actions: true}), "POST", Path+"sessions/reviewer/query", `{"prompt":"hello"}`)
			assert.Equal(t, c.status, w.Code)
			if c.status == 200 {
				assert.Equal(t, "application/x-ndjson", w.Header().Get("Content-Type"))
				assert.Equal(t, c.body, w.Body.String())
			} else {
				refused(t, w, Busy, "16 queries wait")
			}
			assert.Equal(t, []string{"query reviewer hello"}, f.called())
			assert.Equal(t, []string{"socket: query reviewer: " + c.acted}, f.acted())
		})
	}
}

// TestFramesAreSentOneByOne: the backend makes the next frame only when the client has seen the last one.
func TestFramesAreSentOneByOne(t *testing.T) {
	f := newFake()
	seen := make(chan struct{})
	f.query = func(ctx context.Context, _, _ string) iter.Seq2[json.RawMessage, error] {
		return func(yield func(json.RawMessage, error) bool) {
			for i := range 5 {
				if !yield(fmt.Appendf(nil, `{"i":%d}`, i), nil) {
					return
				}
				select {
				case <-seen:
				case <-ctx.Done():
					return
				}
			}
		}
	}
	server := httptest.NewServer(Handler(f, Options{Actions: true, Socket: true}))
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+Path+"sessions/a/query", strings.NewReader(`{"prompt":"p"}`))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := server.Client().Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	reader := bufio.NewReader(response.Body)
	for i := range 5 {
		line, err := reader.ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintf("{\"i\":%d}\n", i), line)
		seen <- struct{}{}
	}
	_, err = reader.ReadByte()
	assert.ErrorIs(t, err, io.EOF)
}

// TestStreamsOutliveTheServersLimits: WriteTimeout would cut the answer, and ReadTimeout would cancel the
// request's context in the middle of it.
func TestStreamsOutliveTheServersLimits(t *testing.T) {
	f := newFake()
	f.query = func(ctx context.Context, _, _ string) iter.Seq2[json.RawMessage, error] {
		return func(yield func(json.RawMessage, error) bool) {
			for i := range 3 {
				select {
				case <-time.After(time.Hour):
				case <-ctx.Done():
					yield(nil, ctx.Err())
					return
				}
				if !yield(fmt.Appendf(nil, `{"i":%d}`, i), nil) {
					return
				}
			}
		}
	}
	inBubble(t, fixed(f, Options{Socket: true, Actions: true}), func(t *testing.T, client *http.Client, _ *http.Server) {
		begun := time.Now()
		response := send(t, client, "POST", Path+"sessions/a/query", `{"prompt":"p"}`)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, "{\"i\":0}\n{\"i\":1}\n{\"i\":2}\n", string(body))
		assert.Equal(t, 3*time.Hour, time.Since(begun))
		require.NoError(t, response.Body.Close())
	})
}

// TestSlowBodiesAreCutOff: patience begins when the request has been read.
func TestSlowBodiesAreCutOff(t *testing.T) {
	f := newFake()
	inBubble(t, fixed(f, Options{Socket: true, Actions: true}), func(t *testing.T, client *http.Client, _ *http.Server) {
		begun := time.Now()
		conn, err := client.Transport.(*http.Transport).DialContext(t.Context(), "", "")
		require.NoError(t, err)
		_, err = io.WriteString(conn, "POST "+Path+"sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		require.NoError(t, err)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		assert.Equal(t, http.StatusBadRequest, answer.StatusCode)
		assert.Equal(t, bodyTimeout, time.Since(begun))
		require.NoError(t, conn.Close())
	})
	assert.Empty(t, f.called())
}

// TestAClientThatLeavesEndsItsQuery and has it recorded all the same.
func TestAClientThatLeavesEndsItsQuery(t *testing.T) {
	f := newFake()
	ended := make(chan struct{})
	f.query = func(ctx context.Context, _, _ string) iter.Seq2[json.RawMessage, error] {
		return func(yield func(json.RawMessage, error) bool) {
			defer close(ended)
			yield(json.RawMessage(`{}`), nil)
			<-ctx.Done()
			yield(nil, ctx.Err())
		}
	}
	inBubble(t, fixed(f, Options{Socket: true, Actions: true}), func(t *testing.T, client *http.Client, _ *http.Server) {
		response := send(t, client, "POST", Path+"sessions/a/query", `{"prompt":"p"}`)
		_, err := bufio.NewReader(response.Body).ReadString('\n')
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		<-ended
		synctest.Wait()
		assert.Equal(t, []string{"socket: query a: internal"}, f.acted())
	})
}

// TestASlowReaderHoldsUpNobodyElse leaves a stream unread, on a connection that buffers nothing, and asks
// for other things meanwhile.
func TestASlowReaderHoldsUpNobodyElse(t *testing.T) {
	f := newFake()
	f.query = func(_ context.Context, name, _ string) iter.Seq2[json.RawMessage, error] {
		return func(yield func(json.RawMessage, error) bool) {
			for range 200 {
				if !yield(json.RawMessage(`{"x":"`+strings.Repeat(name, 1000)+`"}`), nil) {
					return
				}
			}
		}
	}
	inBubble(t, fixed(f, Options{Socket: true, Actions: true}), func(t *testing.T, client *http.Client, _ *http.Server) {
		slow := send(t, client, "POST", Path+"sessions/s/query", `{"prompt":"p"}`)
		synctest.Wait() // it is stuck in a write
		for range 3 {
			quick := send(t, client, "POST", Path+"sessions/q/query", `{"prompt":"p"}`)
			body, err := io.ReadAll(quick.Body)
			require.NoError(t, err)
			assert.Equal(t, 200, strings.Count(string(body), "\n"))
			require.NoError(t, quick.Body.Close())
			assert.Equal(t, http.StatusOK, send(t, client, "GET", Path+"tree", "").StatusCode)
		}
		time.Sleep(24 * time.Hour) // of the bubble: nobody minds a pager
		body, err := io.ReadAll(slow.Body)
		require.NoError(t, err)
		assert.Equal(t, 200, strings.Count(string(body), "\n"))
		require.NoError(t, slow.Body.Close())
	})
}

func TestAudit(t *testing.T) {
	f := newFake()
	f.records = []step{{frame: `{"seq":1}`}, {frame: `{"seq":2}`}, {frame: `{"seq":3}`}}
	h := fixed(f, Options{})
	assert.Equal(t, "{\"seq\":2}\n{\"seq\":3}\n", ask(h, "GET", Path+"audit?n=2", "").Body.String())
	assert.Equal(t, "{\"seq\":1}\n{\"seq\":2}\n{\"seq\":3}\n", ask(h, "GET", Path+"audit", "").Body.String())
	assert.Empty(t, ask(h, "GET", Path+"audit?n=0&follow=false", "").Body.String())
	for _, query := range []string{"n=-1", "n=x", "n=1e3", "n=100001", "n=99999999999999999999", "follow=maybe"} {
		refused(t, ask(h, "GET", Path+"audit?"+query, ""), BadRequest, "expected")
	}
	f.records = []step{{err: errBoom}}
	refused(t, ask(h, "GET", Path+"audit", ""), Internal, "boom")
	f.records = []step{{frame: `{}`}, {err: errBoom}}
	assert.Equal(t, "{}\n{\"type\":\"understudy_error\",\"code\":\"internal\",\"message\":\"boom\"}\n", ask(h, "GET", Path+"audit", "").Body.String())
	assert.Empty(t, f.acted(), "to read is no action")
}

// TestFollowedAuditEndsWithTheServer: Shutdown does not wait for a stream that would never end.
func TestFollowedAuditEndsWithTheServer(t *testing.T) {
	f := newFake()
	f.records = []step{{frame: `{"seq":1}`}}
	inBubble(t, fixed(f, Options{Socket: true}), func(t *testing.T, client *http.Client, server *http.Server) {
		f.more = make(chan string) // of the bubble
		response := send(t, client, "GET", Path+"audit?follow=1", "")
		reader := bufio.NewReader(response.Body)
		line, _ := reader.ReadString('\n')
		assert.Equal(t, "{\"seq\":1}\n", line)
		time.Sleep(time.Hour) // of the bubble
		f.more <- `{"seq":2}`
		line, _ = reader.ReadString('\n')
		assert.Equal(t, "{\"seq\":2}\n", line)
		begun := time.Now()
		rest := make(chan error, 1)
		go func() { // a pipe does not buffer the end; ends with it
			_, err := reader.ReadString('\n')
			rest <- err
		}()
		require.NoError(t, server.Shutdown(t.Context()))
		assert.Less(t, time.Since(begun), time.Second)
		assert.ErrorIs(t, <-rest, io.EOF, "a clean end")
		require.NoError(t, response.Body.Close())
	})
}

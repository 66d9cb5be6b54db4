package debug

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEventsSayThatSomethingHasChanged(t *testing.T) {
	f := newFake()
	inBubble(t, fixed(f, Options{Socket: true}), func(t *testing.T, client *http.Client, server *http.Server) {
		response := send(t, client, "GET", Path+"events", "")
		assert.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
		reader := bufio.NewReader(response.Body)
		next := func() string {
			t.Helper()
			for {
				line, err := reader.ReadString('\n')
				require.NoError(t, err)
				if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "id: ") {
					return line
				}
			}
		}
		assert.Equal(t, "retry: 2000", next())
		// What it has may be old. The first look is at the same time: it is told by itself, or the beginning has it already.
		if first := next(); first != `data: {"seq":1,"all":true,"paths":[]}` {
			assert.Equal(t, `data: {"seq":0,"all":true,"paths":[]}`, first)
			assert.Equal(t, `data: {"seq":1,"all":false,"paths":["root","root/audit","root/debug","root/sessions","root/sessions/importer","root/sessions/nightly","root/sessions/reviewer","root/sessions/writer"]}`, next(), "the first look")
		}
		begun := time.Now()
		assert.Equal(t, ": still there", next())
		assert.Equal(t, 15*time.Second, time.Since(begun), "and nothing else meanwhile")
		f.setState("writer", "draining")
		assert.Equal(t, `data: {"seq":2,"all":false,"paths":["root/sessions/writer"]}`, next())
		assert.LessOrEqual(t, time.Since(begun), 16*time.Second)
		begun = time.Now()
		go func() { _, _ = io.Copy(io.Discard, reader) }() // a pipe does not buffer the end; ends with it
		require.NoError(t, server.Shutdown(t.Context()), "it ends at once")
		assert.Less(t, time.Since(begun), time.Second)
		require.NoError(t, response.Body.Close())
	})
}

// TestEventsCostNothingWithoutListeners counts how often the tree is looked at.
func TestEventsCostNothingWithoutListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looked := 0
		c := newChanges(func(context.Context) (map[string]uint64, error) { looked++; return digests(Node{}), nil }, time.Second)
		time.Sleep(time.Minute) // of the bubble
		assert.Zero(t, looked)
		_, done1 := c.listen()
		_, done2 := c.listen()
		synctest.Wait()
		time.Sleep(9500 * time.Millisecond)
		done1()
		assert.Equal(t, 10, looked, "once for both")
		done2()
		time.Sleep(time.Minute)
		assert.Equal(t, 10, looked)
		numbers, done3 := c.listen()
		synctest.Wait()
		assert.Equal(t, uint64(1), <-numbers, "a late listener gets the newest")
		done3()
	})
}

func TestALookThatPanicsOrFailsIsOnlyALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []func() (map[string]uint64, error){
			func() (map[string]uint64, error) { panic("blown") },
			func() (map[string]uint64, error) { return nil, errBoom },
			func() (map[string]uint64, error) { return nil, errBoom },
			func() (map[string]uint64, error) { return digests(Node{Name: "root"}), nil },
		}
		i := -1
		c := newChanges(func(context.Context) (map[string]uint64, error) { i = min(i+1, len(answers)-1); return answers[i]() }, time.Second)
		numbers, done := c.listen()
		defer done()
		var got []uint64
		deadline := time.After(10 * time.Second)
		for waiting := true; waiting; {
			select {
			case n := <-numbers:
				got = append(got, n)
			case <-deadline:
				waiting = false
			}
		}
		assert.Equal(t, []uint64{0, 1, 2}, got)
	})
}

func TestStreamsAreBounded(t *testing.T) {
	h := fixed(newFake(), Options{Socket: true})
	for range maxStreams {
		require.NoError(t, h.takeStream())
	}
	refused(t, ask(h, "GET", Path+"events", ""), Unavailable, "64 streams")
	refused(t, ask(h, "GET", Path+"audit?follow=1", ""), Unavailable, "64 streams")
	assert.Equal(t, http.StatusOK, ask(h, "GET", Path+"audit", "").Code, "this one ends by itself")
}

// TestEventsNeedAServerThatStreams: the embedder's middleware may hide it.
func TestEventsNeedAServerThatStreams(t *testing.T) {
	recorder := httptest.NewRecorder()
	r := httptest.NewRequest("GET", Path+"events", nil)
	fixed(newFake(), Options{Socket: true}).ServeHTTP(struct{ http.ResponseWriter }{recorder}, r)
	refused(t, recorder, NotImplemented, "look again from time to time")
}

// TestEventsGoOnWhereTheyWere connects again with the id of the last event.
func TestEventsGoOnWhereTheyWere(t *testing.T) {
	f := newFake()
	h := fixed(f, Options{Socket: true})
	inBubble(t, h, func(t *testing.T, client *http.Client, _ *http.Server) {
		// events reads up to that number, and goes away. The look at the tree that comes to it is at the same time, and may be in the first.
		events := func(lastID string, seq int) (data, id string) {
			t.Helper()
			request, err := http.NewRequestWithContext(t.Context(), "GET", "http://localhost"+Path+"events", nil)
			require.NoError(t, err)
			if lastID != "" {
				request.Header.Set("Last-Event-ID", lastID)
			}
			response, err := client.Do(request)
			require.NoError(t, err)
			reader := bufio.NewReader(response.Body)
			for !strings.HasPrefix(data, fmt.Sprintf(`{"seq":%d,`, seq)) {
				line, err := reader.ReadString('\n')
				require.NoError(t, err)
				if after, ok := strings.CutPrefix(strings.TrimSpace(line), "id: "); ok {
					id = after
				}
				if after, ok := strings.CutPrefix(strings.TrimSpace(line), "data: "); ok {
					data = after
				}
			}
			require.NoError(t, response.Body.Close())
			return data, id
		}
		_, id := events("", 1)
		f.setState("writer", "draining") // nobody listens
		f.setState("reviewer", "idle")
		time.Sleep(time.Minute)
		data, next := events(id, 2)
		assert.Equal(t, `{"seq":2,"all":false,"paths":["root/sessions/reviewer","root/sessions/writer"]}`, data)
		data, _ = events(id, 2)
		assert.Equal(t, `{"seq":2,"all":false,"paths":["root/sessions/reviewer","root/sessions/writer"]}`, data, "what was missed is told again")
		data, _ = events(next, 2)
		assert.Equal(t, `{"seq":2,"all":false,"paths":[]}`, data)
		for _, strange := range []string{"otherday-1", h.changes.epoch + "-99", h.changes.epoch + "-x", "garbage"} {
			data, _ = events(strange, 2)
			assert.Contains(t, data, `"all":true`, strange)
		}
	})
}

func TestManyChangesAreEverything(t *testing.T) {
	c := newChanges(nil, time.Second)
	for i := range maxChanges + 10 {
		c.look = func(context.Context) (map[string]uint64, error) {
			return map[string]uint64{"root": uint64(i), "a": 1, "b": uint64(i / 100)}, nil
		}
		c.compare(t.Context())
	}
	now := c.seq
	assert.Equal(t, changed{Seq: now, Paths: []string{"root"}}, c.between(now-3, now))
	assert.Equal(t, changed{Seq: now, Paths: []string{"b", "root"}}, c.between(now-150, now))
	assert.True(t, c.between(1, now).All, "so long ago that it is not known any more")
	many := make(map[string]uint64)
	for i := range maxPaths + 10 {
		many[strings.Repeat("x", i+1)] = 1
	}
	c.look = func(context.Context) (map[string]uint64, error) { return many, nil }
	c.compare(t.Context())
	assert.Equal(t, changed{Seq: now + 1, All: true, Paths: []string{}}, c.between(now, now+1))
}

// TestLifeOfASession reads the moments of a session.
func TestLifeOfASession(t *testing.T) {
	f := newFake()
	h := fixed(f, Options{Socket: true})
	f.followErr = errBoom // what ends it
	w := ask(h, "GET", Path+"sessions/reviewer/events", "", header("Last-Event-ID", h.changes.epoch+"-1"))
	assert.Equal(t, "text/event-stream", w.Header().Get("Content-Type"))
	moment := func(seq string) string {
		return "id: " + h.changes.epoch + "-" + seq + "\nevent: turn_started\ndata: " +
			`{"session":"reviewer","seq":` + seq + `,"at":"2026-11-23T12:00:00Z","type":"turn_started","generation":1,"turn":1}` + "\n\n"
	}
	assert.Equal(t, "retry: 2000\n\n"+moment("2")+moment("3")+
		"event: error\ndata: {\"type\":\"understudy_error\",\"code\":\"internal\",\"message\":\"boom\"}\n\n", w.Body.String())
	refused(t, ask(h, "GET", Path+"sessions/nobody/events", ""), NoSuchSession, "nobody")
}

// TestFramesAreForThoseWhoMayAct: a page on loopback may look, and not read along.
func TestFramesAreForThoseWhoMayAct(t *testing.T) {
	frames := Path + "sessions/reviewer/frames"
	refused(t, ask(fixed(newFake(), Options{}), "GET", frames, ""), Forbidden, "without a token")
	h := fixed(newFake(), Options{Token: "secret-token"})
	refused(t, ask(h, "GET", frames, ""), Unauthorized, "needs the endpoint's token")
	w := ask(h, "GET", frames, "", token("secret-token"))
	assert.Equal(t, http.StatusOK, w.Code)
	assert.JSONEq(t, `{"generation":1,"turn":1,"own":false,"frame":{"type":"result"}}`, w.Body.String())
	assert.Equal(t, http.StatusOK, ask(fixed(newFake(), Options{Socket: true}), "GET", frames, "").Code)
	refused(t, ask(fixed(newFake(), Options{Socket: true}), "GET", Path+"sessions/nobody/frames", ""), NoSuchSession, "nobody")
}

// TestAnEmbedderDecides puts an authentication of its own in place of token and address.
func TestAnEmbedderDecides(t *testing.T) {
	f := newFake()
	h := fixed(f, Options{Actions: true, Token: "ignored", Authorize: func(r *http.Request, access Access) (string, error) {
		switch user := r.Header.Get("X-User"); {
		case user == "":
			return "", &Error{Unauthorized, "log in first"}
		case user == "viewer" && access != Look:
			return "", errBoom
		default:
			return user, nil
		}
	}})
	user := func(name string) func(*http.Request) { return header("X-User", name) }
	refused(t, ask(h, "GET", Path+"tree", ""), Unauthorized, "log in first")
	refused(t, ask(h, "GET", Path+"tree", "", token("ignored")), Unauthorized, "log in first")
	assert.Equal(t, http.StatusOK, ask(h, "GET", Path+"tree", "", user("viewer"), from("192.0.2.1:999")).Code)
	refused(t, ask(h, "GET", Path+"sessions/reviewer/frames", "", user("viewer")), Forbidden, "boom")
	refused(t, ask(h, "POST", Path+"sessions/reviewer/restart", "", user("viewer")), Forbidden, "boom")
	assert.Equal(t, http.StatusNoContent, ask(h, "POST", Path+"sessions/reviewer/restart", "", user("admin")).Code)
	assert.Equal(t, []string{"admin: restart reviewer: ok"}, f.acted())
	assert.Equal(t, http.StatusOK, ask(h, "GET", Path+"sessions/reviewer/frames", "", user("admin")).Code)
	refused(t, ask(h, "POST", Path+"sessions/reviewer/restart", "", user("admin"), header("Sec-Fetch-Site", "cross-site")), CrossOrigin, "another site")
	refused(t, ask(h, "GET", Path+"tree", "", user("admin"), host("evil.example")), Misdirected, "evil.example")
	readOnly := fixed(f, Options{Authorize: h.options.Authorize})
	refused(t, ask(readOnly, "POST", Path+"sessions/reviewer/restart", "", user("admin")), Forbidden, "switched off")
}

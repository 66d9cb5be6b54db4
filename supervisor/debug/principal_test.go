package debug

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// deeds are a request for each thing that can be done, by method and route, and what the record of it says.
var deeds = map[string]struct{ target, body, want string }{
	"POST sessions":                  {"sessions", `{"name":"new"}`, "spawn new"},
	"POST sessions/{name}/query":     {"sessions/reviewer/query", `{"prompt":"p"}`, "query reviewer"},
	"POST sessions/{name}/restart":   {"sessions/reviewer/restart", "", "restart reviewer"},
	"POST sessions/{name}/interrupt": {"sessions/reviewer/interrupt", "", "interrupt reviewer"},
	"POST sessions/{name}/stop":      {"sessions/reviewer/stop", "", "stop reviewer"},
	"DELETE sessions/{name}":         {"sessions/a?force=true", "", "remove a"},
	"POST sessions/{name}/remove":    {"sessions/a/remove", "", "remove a"},
	"POST approvals/{id}":            {"approvals/k3v7", `{"decision":"deny","message":"no"}`, "deny approval k3v7"},
	"POST reload":                    {"reload", "", "reload "},
}

// TestEachDeedIsRecordedWithWhoDidIt does everything that can be done, as everybody who may: each leaves one record that names
// them, whether it worked, failed or panicked; who may not leaves none. A route that is new is missing from the table, which is a failure.
func TestEachDeedIsRecordedWithWhoDidIt(t *testing.T) {
	const secret = "s3cret-token-0123456789"
	boom := &Error{Conflict, "not now"}
	var routes []string
	for path, methods := range newHandler(newFake(), Options{}).routes {
		for _, method := range methods {
			if method != http.MethodGet {
				routes = append(routes, method+" "+strings.TrimPrefix(path, Path))
			}
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(deeds)), routes, "each that is no GET needs an entry")

	type way struct {
		options Options
		unix    bool
		header  http.Header
		who     string // of the record, behind what differs from run to run; empty: it is refused
	}
	ways := map[string]way{
		"socket":           {options: Options{Socket: true}, unix: true, who: fmt.Sprintf("socket uid=%d pid=%d", os.Getuid(), os.Getpid())},
		"token":            {options: Options{Token: secret}, header: http.Header{"Authorization": {"Bearer " + secret}}, who: "token from 127.0.0.1:"},
		"no token":         {options: Options{Token: secret}},
		"embedder":         {options: Options{Authorize: func(r *http.Request, _ Access) (string, error) { return r.Header.Get("X-User"), nil }}, header: http.Header{"X-User": {"ann"}}, who: "ann"},
		"embedder refuses": {options: Options{Authorize: func(*http.Request, Access) (string, error) { return "bob", boom }}},
		"embedder's name": {options: Options{Token: secret, Principal: func(r *http.Request) string { return r.Header.Get("X-User") }},
			header: http.Header{"Authorization": {"Bearer " + secret}, "X-User": {"ann"}}, who: "ann"},
	}
	for name, way := range ways {
		for _, outcome := range []string{"ok", "conflict", "internal"} {
			t.Run(name+" "+outcome, func(t *testing.T) {
				f := newFake()
				end := func() error {
					switch outcome {
					case "conflict":
						return boom
					case "internal":
						panic("a bug")
					}
					return nil
				}
				o := way.options
				o.Actions, o.Reload = true, func(context.Context, string, bool) (Reload, error) { return Reload{}, end() }
				server := httptest.NewUnstartedServer(nil)
				server.Config = NewServer(newHandler(&ending{f, end}, o))
				if way.unix {
					require.NoError(t, server.Listener.Close())
					path := filepath.Join(t.TempDir(), "u.sock")
					var err error
					server.Listener, err = ListenUnix(path)
					require.NoError(t, err)
					server.Start()
					server.Client().Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
						return (&net.Dialer{}).DialContext(ctx, "unix", path)
					}}
					server.URL = "http://socket"
				} else {
					server.Start()
				}
				defer server.Close()
				for route, deed := range deeds {
					method, _, _ := strings.Cut(route, " ")
					r, err := http.NewRequestWithContext(t.Context(), method, server.URL+Path+deed.target, strings.NewReader(deed.body))
					require.NoError(t, err)
					if deed.body != "" {
						r.Header.Set("Content-Type", "application/json")
					}
					maps.Copy(r.Header, way.header)
					response, err := server.Client().Do(r)
					require.NoError(t, err)
					_, _ = io.Copy(io.Discard, response.Body) // of a query that panicked it is cut
					require.NoError(t, response.Body.Close())
					acted := f.acted()
					f.mu.Lock()
					f.acts = nil
					f.mu.Unlock()
					if way.who == "" {
						assert.Contains(t, []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict}, response.StatusCode, route)
						assert.Empty(t, acted, route)
						continue
					}
					require.Len(t, acted, 1, route)
					assert.True(t, strings.HasPrefix(acted[0], way.who), "%s: %s", route, acted[0])
					assert.True(t, strings.HasSuffix(acted[0], ": "+deed.want+": "+outcome), "%s: %s", route, acted[0])
					assert.NotContains(t, acted[0], secret)
				}
			})
		}
	}
}

// ending is a backend whose actions end as it is told.
type ending struct {
	*fake
	end func() error
}

func (b *ending) Spawn(context.Context, string, []string) error { return b.end() }
func (b *ending) Restart(context.Context, string) error         { return b.end() }
func (b *ending) Interrupt(context.Context, string) error       { return b.end() }
func (b *ending) Stop(context.Context, string) error            { return b.end() }
func (b *ending) Remove(context.Context, string, bool) error    { return b.end() }

func (b *ending) Answer(context.Context, string, string, ApprovalAnswer) error { return b.end() }

func (b *ending) Query(context.Context, string, string) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		if err := b.end(); err != nil {
			yield(nil, err)
		}
	}
}

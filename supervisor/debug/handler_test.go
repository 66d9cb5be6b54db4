package debug

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDocuments(t *testing.T) {
	h := fixed(newFake(), Options{})
	get := func(target string, into any, changes ...func(*http.Request)) {
		t.Helper()
		w := ask(h, "GET", Path+target, "", changes...)
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), into))
	}
	var root, one Node
	get("tree", &root)
	assert.Equal(t, sample(), root)
	var sessions []Node
	get("sessions", &sessions)
	assert.Equal(t, sample().Children[1].Children, sessions)
	get("sessions/reviewer", &one)
	assert.Equal(t, sessions[0], one)
	var lines []string
	get("sessions/reviewer/stderr", &lines, header("Accept", "application/json"))
	assert.Equal(t, newFake().stderr, lines)

	w := ask(h, "GET", Path+"sessions/reviewer/stderr", "")
	assert.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
	assert.Equal(t, "a warning\nerror: <b>529</b> overloaded\n", w.Body.String())
}

// TestTreeDocument pins the document down that design §9 describes.
func TestTreeDocument(t *testing.T) {
	golden(t, "tree.json", ask(fixed(newFake(), Options{}), "GET", Path+"tree", "").Body.String())
}

func TestNothingIsAnEmptyList(t *testing.T) {
	f := newFake()
	f.root.Children, f.stderr = []Node{{Name: "idle", Kind: "session", State: "idle"}}, nil
	assert.Equal(t, "[]\n", ask(fixed(f, Options{}), "GET", Path+"sessions/idle/stderr", "", header("Accept", "application/json")).Body.String())
	f.root.Children = nil
	assert.Equal(t, "[]\n", ask(fixed(f, Options{}), "GET", Path+"sessions", "").Body.String())
}

func TestSessionIsAPageForBrowsersOnly(t *testing.T) {
	h := fixed(newFake(), Options{})
	for accept, want := range map[string]string{
		"":    "application/json",
		"*/*": "application/json",
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": "text/html; charset=utf-8",
		"application/json":                      "application/json",
		"application/json, text/html":           "application/json",
		"text/html;q=0.5, application/json":     "application/json",
		"text/*":                                "text/html; charset=utf-8",
		"text/html;q=x":                         "text/html; charset=utf-8",
		"text/html;q=0, */*":                    "application/json",
		";;;,,, /":                              "application/json",
		"application/json;q=0.1, text/html;q=1": "text/html; charset=utf-8",
	} {
		w := ask(h, "GET", Path+"sessions/reviewer", "", header("Accept", accept))
		assert.Equal(t, want, w.Header().Get("Content-Type"), accept)
		assert.Equal(t, "Accept", w.Header().Get("Vary"))
	}
}

// TestPathTricks asks for what is not there in ways that made servers redirect, or look elsewhere.
func TestPathTricks(t *testing.T) {
	h := fixed(newFake(), Options{Socket: true, Actions: true})
	for target, code := range map[string]Code{
		"/nothing":                                     NotFound,
		Path + "nothing":                               NotFound,
		Path + "tree/":                                 NotFound,
		Path + "sessions/":                             NotFound,
		Path + "web/style.css":                         NotFound,
		Path + "page.html":                             NotFound,
		Path + "sessions/reviewer/nothing":             NotFound,
		Path + "sessions/../tree":                      NotFound,
		Path + "sessions/%2e%2e/tree":                  NotFound,
		Path + "sessions/%2E./stderr":                  NotFound,
		Path + "sessions/.":                            NotFound,
		Path + "sessions//stderr":                      NotFound,
		"//evil.example" + Path + "tree":               NotFound,
		"/debug//understudy/tree":                      NotFound,
		Path + "sessions/nobody":                       NoSuchSession,
		Path + "sessions/a%2fb":                        NoSuchSession,
		Path + "sessions/..%2f..%2fetc%2fpasswd":       NoSuchSession,
		Path + "sessions/%00":                          NoSuchSession,
		Path + "sessions/%ff%fe":                       NoSuchSession,
		Path + "sessions/%3Cscript%3E":                 NoSuchSession,
		Path + "sessions/root":                         NoSuchSession, // a supervisor
		Path + "sessions/audit":                        NoSuchSession,
		Path + "sessions/reviewer%20":                  NoSuchSession,
		Path + "sessions/nobody/stderr":                NoSuchSession,
		Path + "sessions/" + strings.Repeat("n", 9000): NoSuchSession,
	} {
		w := ask(h, "GET", target, "")
		refused(t, w, code, "")
		assert.Less(t, w.Body.Len(), 2000, target)
	}
	assert.Equal(t, http.StatusNotFound, ask(h, "OPTIONS", "*", "").Code)
}

func TestSlashesInNamesAreEscaped(t *testing.T) {
	f := newFake()
	f.root.Children[1].Children[0].Name = "team/a?b#c"
	w := ask(fixed(f, Options{}), "GET", Path+"sessions/team%2Fa%3Fb%23c", "")
	assert.Equal(t, http.StatusOK, w.Code)
	page := ask(fixed(f, Options{}), "GET", Path, "", html).Body.String()
	assert.Contains(t, page, `href="sessions/team%2Fa%3Fb%23c"`)
}

func TestMethods(t *testing.T) {
	f := newFake()
	h := fixed(f, Options{Socket: true, Actions: true})
	for _, c := range []struct{ method, path, allow string }{
		{"GET", "sessions/reviewer/query", "POST"}, {"GET", "sessions/reviewer/restart", "POST"}, {"HEAD", "sessions/reviewer/stop", "POST"},
		{"GET", "sessions/reviewer/interrupt", "POST"}, {"POST", "tree", "GET, HEAD"}, {"POST", "", "GET, HEAD"}, {"DELETE", "sessions", "GET, POST, HEAD"}, {"PUT", "sessions/reviewer", "DELETE, GET, HEAD"},
		{"GET", "sessions/reviewer/remove", "POST"},
		{"PUT", "sessions", "GET, POST, HEAD"}, {"OPTIONS", "sessions", "GET, POST, HEAD"}, {"BREW", "audit", "GET, HEAD"}, {"POST", "style.css", "GET, HEAD"},
	} {
		w := ask(h, c.method, Path+c.path, "")
		refused(t, w, MethodNotAllowed, c.method)
		assert.Equal(t, c.allow, w.Header().Get("Allow"), c.path)
	}
	assert.Empty(t, f.called())
	assert.Empty(t, f.acted())
}

// TestAnyPrefix mounts the handler below another path and walks it as a browser does.
func TestAnyPrefix(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/ops/box/", http.StripPrefix("/ops/box", Handler(newFake(), Options{})))
	server := httptest.NewServer(mux)
	defer server.Close()
	client := server.Client()
	defer client.CloseIdleConnections()
	get := func(path string) (string, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+path, nil)
		require.NoError(t, err)
		request.Header.Set("Accept", "text/html")
		response, err := client.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode, string(body))
		return response.Request.URL.Path, string(body)
	}
	const home = "/ops/box/debug/understudy/"
	for _, path := range []string{"/ops/box/", "/ops/box/debug/understudy", home} {
		at, body := get(path)
		assert.Equal(t, home, at)
		assert.Contains(t, body, `href="./style.css"`)
		assert.NotRegexp(t, `(href|src)="/`, body)
	}
	_, body := get(home + "sessions/reviewer")
	assert.Contains(t, body, `href="../style.css"`)
	assert.NotRegexp(t, `(href|src)="/`, body)
	for name := range assets {
		get(home + name)
	}
	get(home + "sessions/reviewer/stderr")
	get("/ops/box/readyz")
}

func TestAPanicIsAnErrorOfOneRequest(t *testing.T) {
	f := newFake()
	f.blow = true
	refused(t, ask(fixed(f, Options{}), "GET", Path+"tree", ""), Internal, "log")
}

func TestErrorsHaveTheirStatus(t *testing.T) {
	for code, status := range map[Code]int{
		NoSuchSession: 404, BadRequest: 400, Conflict: 409, Busy: 429, Unavailable: 503, Crashed: 502, ErrorResult: 502, Internal: 500, "what": 500,
	} {
		assert.Equal(t, status, code.Status(), code)
	}
}

func TestCut(t *testing.T) {
	assert.Equal(t, "abc", cut("abc", 3))
	assert.Equal(t, "abc…", cut("abcdefghij", 6))
	assert.Equal(t, "ä…", cut("äöüäöü", 6))
	assert.Equal(t, "\uFFFD", cut("\xff", 6))
}

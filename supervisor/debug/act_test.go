package debug

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestActions(t *testing.T) {
	f := newFake()
	h := fixed(f, Options{Actions: true, Token: "t"})
	for _, action := range []string{"restart", "interrupt", "stop"} {
		w := ask(h, "POST", Path+"sessions/a%2Fb/"+action, "", token("t"))
		assert.Equal(t, http.StatusNoContent, w.Code)
	}
	w := ask(h, "POST", Path+"sessions", `{"name":"new","options":["model=haiku","env.A=b=c"]}`, token("t"))
	assert.Equal(t, http.StatusCreated, w.Code, w.Body.String())
	assert.Equal(t, "sessions/new", w.Header().Get("Location"))
	f.err = &Error{Conflict, "there is one already"}
	refused(t, ask(h, "POST", Path+"sessions", `{"name":"new"}`, token("t")), Conflict, "there is one already")
	f.err = fmt.Errorf("session a: %w", &Error{NoSuchSession, "no such session"})
	refused(t, ask(h, "POST", Path+"sessions/a/stop", "", token("t")), NoSuchSession, "session a: no such session")
	f.err = errBoom
	refused(t, ask(h, "POST", Path+"sessions/a/stop", "", token("t")), Internal, "boom")

	assert.Equal(t, []string{"restart a/b", "interrupt a/b", "stop a/b", "spawn new [model=haiku env.A=b=c]", "spawn new []", "stop a", "stop a"}, f.called())
	const who = "token from 127.0.0.1:54321: "
	assert.Equal(t, []string{
		who + "restart a/b: ok", who + "interrupt a/b: ok", who + "stop a/b: ok", who + "spawn new: ok",
		who + "spawn new: conflict", who + "stop a: no_such_session", who + "stop a: internal",
	}, f.acted())
}

func TestRemove(t *testing.T) {
	f := newFake()
	h := fixed(f, Options{Actions: true, Token: "t"})
	assert.Equal(t, http.StatusNoContent, ask(h, "DELETE", Path+"sessions/a%2Fb", "", token("t")).Code)
	assert.Equal(t, http.StatusNoContent, ask(h, "DELETE", Path+"sessions/a?force=true", "", token("t")).Code)
	refused(t, ask(h, "DELETE", Path+"sessions/a?force=perhaps", "", token("t")), BadRequest, `force="perhaps"`)
	refused(t, ask(h, "DELETE", Path+"sessions/a", strings.Repeat("x", 5000), token("t")), BadRequest, "takes no body")
	for action, to := range map[string]string{"POST " + Path + "sessions/a/remove": "../../", "DELETE " + Path + "sessions/a": "../"} {
		method, address, _ := strings.Cut(action, " ")
		w := ask(h, method, address, "", token("t"), html)
		assert.Equal(t, http.StatusSeeOther, w.Code, "a form is led to the tree, since there is no page of the session any more")
		assert.Equal(t, to, w.Header().Get("Location"))
	}
	f.err = &Error{AtWork, "a turn is running"}
	w := ask(h, "DELETE", Path+"sessions/a", "", token("t"))
	refused(t, w, AtWork, "a turn is running")
	assert.Equal(t, http.StatusConflict, w.Code)
	refused(t, ask(h, "DELETE", Path+"sessions/a", "", token("t"), header("Sec-Fetch-Site", "cross-site")), CrossOrigin, "")
	refused(t, ask(h, "DELETE", Path+"sessions/a", ""), Unauthorized, "")
	refused(t, ask(fixed(f, Options{Token: "t"}), "DELETE", Path+"sessions/a", "", token("t")), Forbidden, "read-only")
	assert.Equal(t, []string{"remove a/b false", "remove a true", "remove a false", "remove a false", "remove a false"}, f.called())
	assert.Len(t, f.acted(), 5)

	old := struct{ Backend }{f} // of an embedder, from before there was that
	refused(t, ask(newHandler(old, Options{Socket: true, Actions: true}), "DELETE", Path+"sessions/a", ""), Unavailable, "cannot be removed here")
}

// keeper is a fake with a session that has left its state.
type keeper struct {
	*fake
	err error
}

func (k *keeper) Kept(context.Context) ([]Node, error) {
	return []Node{{Name: "old", Kind: KindSession, State: StateKept, Since: ago(time.Hour), SessionFields: &SessionFields{SessionID: "x", Turns: 3}}}, k.err
}

func TestAllSessions(t *testing.T) {
	k := &keeper{fake: newFake()}
	names := func(b Backend, address string) (all []string) {
		t.Helper()
		w := ask(fixed(b, Options{}), "GET", Path+address, "")
		require.Equal(t, http.StatusOK, w.Code)
		var sessions []Node
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &sessions))
		_, compiler := openAPI(t)
		for _, n := range sessions {
			all = append(all, n.Name)
			data, err := json.Marshal(n)
			require.NoError(t, err)
			valid(t, compiler, "openapi.json#/components/schemas/Node", data, n.Name)
		}
		return all
	}
	there := []string{"reviewer", "writer", "nightly", "importer"}
	assert.Equal(t, there, names(k, "sessions"))
	assert.Equal(t, append(there, "old"), names(k, "sessions?all=true"))
	assert.Equal(t, there, names(k.fake, "sessions?all=true"), "a backend that knows of none")
	refused(t, ask(fixed(k, Options{}), "GET", Path+"sessions?all=perhaps", ""), BadRequest, `all="perhaps"`)
	k.err = errBoom
	refused(t, ask(fixed(k, Options{}), "GET", Path+"sessions?all=true", ""), Internal, "boom")

	var text strings.Builder
	nodes, _ := k.Kept(t.Context())
	require.NoError(t, RenderSessions(&text, nodes, RenderOptions{Now: noon}))
	assert.Contains(t, text.String(), "□ kept 1h00m")
}

func TestPrincipal(t *testing.T) {
	f := newFake()
	h := fixed(f, Options{Socket: true, Actions: true, Principal: func(r *http.Request) string { return r.Header.Get("X-User") }})
	ask(h, "POST", Path+"sessions/a/stop", "", header("X-User", "ann"))
	ask(fixed(f, Options{Socket: true, Actions: true}), "POST", Path+"sessions/a/stop", "")
	assert.Equal(t, []string{"ann: stop a: ok", "socket: stop a: ok"}, f.acted())
}

func TestBodiesThatAreNotAsTheyShould(t *testing.T) {
	f := newFake()
	f.query = answerOf()
	h := fixed(f, Options{Socket: true, Actions: true, MaxBody: 1000})
	for name, c := range map[string]struct {
		path, body string
		code       Code
		detail     string
	}{
		"no JSON":           {"sessions", "name=a", BadRequest, "JSON"},
		"cut":               {"sessions", `{"name":"a"`, BadRequest, "JSON"},
		"a list":            {"sessions", `[]`, BadRequest, "JSON"},
		"two":               {"sessions", `{"name":"a"} {"name":"b"}`, BadRequest, "goes on"},
		"garbage behind":    {"sessions", `{"name":"a"} x`, BadRequest, ""},
		"unknown field":     {"sessions", `{"name":"a","modle":"x"}`, BadRequest, "modle"},
		"no name":           {"sessions", `{}`, BadRequest, "session name"},
		"dots":              {"sessions", `{"name":".."}`, BadRequest, "session name"},
		"slash":             {"sessions", `{"name":"a/b"}`, BadRequest, "without slashes"},
		"space":             {"sessions", `{"name":"a b"}`, BadRequest, "session name"},
		"escape":            {"sessions", `{"name":"a\u001b[2J"}`, BadRequest, "session name"},
		"turned around":     {"sessions", `{"name":"a\u202eb"}`, BadRequest, "session name"},
		"long":              {"sessions", `{"name":"` + strings.Repeat("n", 129) + `"}`, BadRequest, "128"},
		"no pair":           {"sessions", `{"name":"a","options":["model"]}`, BadRequest, "key=value"},
		"no key":            {"sessions", `{"name":"a","options":["=x"]}`, BadRequest, "key=value"},
		"prompt too long":   {"sessions/a/query", `{"prompt":"` + strings.Repeat("p", 1000) + `"}`, TooLarge, "1000 bytes"},
		"spaces too long":   {"sessions/a/query", `{"prompt":"p"}` + strings.Repeat(" ", 1000), TooLarge, "1000 bytes"},
		"no prompt":         {"sessions/a/query", `{"prompt":""}`, BadRequest, "empty"},
		"prompt of a type":  {"sessions/a/query", `{"prompt":7}`, BadRequest, "prompt"},
		"deep":              {"sessions/a/query", strings.Repeat("[", 900), BadRequest, ""},
		"null":              {"sessions/a/query", "null", BadRequest, "empty"},
		"prompt with a tag": {"sessions/a/query", `{"prompt":"x","model":"y"}`, BadRequest, "model"},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, ask(h, "POST", Path+c.path, c.body), c.code, c.detail)
		})
	}
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx"} {
		refused(t, ask(h, "POST", Path+"sessions", `{"name":"a"}`, header("Content-Type", media)), UnsupportedMedia, "application/json")
	}
	refused(t, ask(h, "POST", Path+"sessions/a/stop", strings.Repeat("x", 5000)), BadRequest, "takes no body")
	refused(t, ask(h, "GET", Path+"tree", "x"), BadRequest, "takes no body")
	assert.Empty(t, f.called(), "nothing was done")
	assert.Equal(t, http.StatusCreated, ask(h, "POST", Path+"sessions", ` {"name":"é-1.x_y"} `, header("Content-Type", "application/json; charset=utf-8")).Code)
}

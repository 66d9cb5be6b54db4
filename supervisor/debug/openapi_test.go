package debug

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// contract is the part of openapi.json that the test looks at.
type contract struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			Name, In string
		}
		RequestBody *struct {
			Content map[string]json.RawMessage
		}
		Responses map[string]struct {
			Content map[string]struct {
				Schema json.RawMessage
			}
		}
	}
	Components struct {
		Schemas map[string]json.RawMessage
	}
}

// openAPI reads the document as the handler serves it.
func openAPI(t *testing.T) (contract, *jsonschema.Compiler) {
	t.Helper()
	w := ask(fixed(newFake(), Options{}), "GET", Path+"openapi.json", "")
	require.Equal(t, http.StatusOK, w.Code)
	var c contract
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &c))
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(w.Body.Bytes()))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	require.NoError(t, compiler.AddResource("openapi.json", document))
	return c, compiler
}

// TestOpenAPIHasEveryRoute compares paths and methods, both ways.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	c, _ := openAPI(t)
	documented := make(map[string][]string)
	for path, methods := range c.Paths {
		for method, operation := range methods {
			documented[path] = append(documented[path], strings.ToUpper(method))
			for parameter := range strings.SplitSeq(path, "/") {
				if name, ok := strings.CutPrefix(parameter, "{"); ok {
					assert.True(t, slices.ContainsFunc(operation.Parameters, func(p struct{ Name, In string }) bool {
						return p.In == "path" && p.Name == strings.TrimSuffix(name, "}")
					}), "%s %s does not describe %s", method, path, parameter)
				}
			}
		}
		slices.Sort(documented[path])
	}
	served := make(map[string][]string)
	for path, methods := range fixed(newFake(), Options{Metrics: http.NotFoundHandler()}).routes {
		served[strings.ReplaceAll(path, "{$}", "")] = methods
	}
	assert.Equal(t, served, documented)
}

// TestOpenAPIDescribesEveryAnswer asks for every path by every method, and holds the answer against its schema, and
// that of an error against its own.
func TestOpenAPIDescribesEveryAnswer(t *testing.T) {
	c, compiler := openAPI(t)
	for path := range c.Paths {
		for method, operation := range c.Paths[path] {
			for _, accept := range []string{"*/*", "text/html", "application/json", "text/plain"} {
				name := strings.ToUpper(method) + " " + path + " " + accept
				body := ""
				if operation.RequestBody != nil {
					body = `{"prompt":"Hello"}`
					if strings.HasSuffix(path, "/sessions") {
						body = `{"name":"new","options":["model=haiku"]}`
					}
					if strings.Contains(path, "/approvals/") {
						body = `{"decision":"deny"}`
					}
				}
				w := call(t, strings.ToUpper(method), path, body, accept)
				code := http.StatusText(w.Code)
				response, ok := operation.Responses[statusOf(w.Code)]
				if !assert.True(t, ok, "%s answers %s: %s", name, code, w.Body) {
					continue
				}
				if w.Body.Len() == 0 {
					continue
				}
				media, _, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
				require.NoError(t, err, name)
				content, ok := response.Content[media]
				if !assert.True(t, ok, "%s answers %s, which is not described: %v", name, media, slices.Collect(maps.Keys(response.Content))) {
					continue
				}
				pointer := "openapi.json#/paths/" + escapePointer(path) + "/" + method + "/responses/" + statusOf(w.Code) + "/content/" + escapePointer(media) + "/schema"
				switch media {
				case "application/json":
					valid(t, compiler, pointer, w.Body.Bytes(), name)
				case "application/x-ndjson":
					require.NotNil(t, content.Schema)
					for line := range bytes.Lines(w.Body.Bytes()) {
						if bytes.Contains(line, []byte(TypeError)) {
							continue
						}
						valid(t, compiler, pointer, line, name)
					}
				case "text/event-stream":
					schema := "Changed"
					if strings.Contains(path, "{name}") {
						schema = "Moment"
					}
					for line := range strings.Lines(w.Body.String()) {
						if data, ok := strings.CutPrefix(line, "data: "); ok && !strings.Contains(data, TypeError) {
							valid(t, compiler, "openapi.json#/components/schemas/"+schema, []byte(data), name)
						}
					}
				}
			}
		}
	}
	for _, r := range []*httptest.ResponseRecorder{
		ask(fixed(newFake(), Options{}), "GET", Path+"sessions/nobody", ""),
		ask(fixed(newFake(), Options{}), "GET", "/nowhere", ""),
		ask(fixed(newFake(), Options{}), "DELETE", Path+"tree", ""),
		ask(fixed(newFake(), Options{}), "POST", Path+"sessions/reviewer/stop", ""),
		ask(fixed(newFake(), Options{}), "GET", Path+"tree", "", host("evil.example")),
	} {
		require.Equal(t, "application/problem+json", r.Header().Get("Content-Type"))
		valid(t, compiler, "openapi.json#/components/schemas/Problem", r.Body.Bytes(), "problem")
	}
	for name := range statuses {
		body, err := json.Marshal(problem{Type: "about:blank", Title: "x", Status: 400, Detail: "x", Code: name})
		require.NoError(t, err)
		valid(t, compiler, "openapi.json#/components/schemas/Problem", body, "every code is described")
	}
}

// call makes a request that can succeed, of a handler of its own.
func call(t *testing.T, method, path, body, accept string) *httptest.ResponseRecorder {
	t.Helper()
	f := newFake()
	f.past = samplePast()
	f.followErr = errBoom // or its streams would not end
	f.query = answerOf(step{frame: `{"type":"result"}`})
	f.records = []step{{frame: `{"seq":1,"kind":"session.started"}`}}
	h := fixed(f, Options{Socket: true, Actions: true, Metrics: saying("understudy_build_info 1"), Reload: func(context.Context, string, bool) (Reload, error) {
		return Reload{Path: "/etc/u.yaml", SHA256: "00", Live: []string{}, NeedsRestart: []string{"pools.p"}, Changes: []Change{
			{Session: "reviewer", Action: Changed, Fields: []FieldChange{{Field: "model", Before: "haiku", After: "opus"}, {Field: "env"}}},
			{Session: "gone", Action: Removed, Error: "boom"},
			{Setting: "pools.workers", Action: Changed, Fields: []FieldChange{{Field: "max", Before: 2, After: 4}}},
		}}, nil
	}})
	if path == Path+"events" {
		// It does not end by itself: the client goes away.
		w := &leaver{ResponseRecorder: httptest.NewRecorder(), after: "data: "}
		h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w.ResponseRecorder
	}
	return ask(h, method, strings.NewReplacer("{name}", "reviewer", "{id}", "k3v7", "{seq}", "1").Replace(path), body, header("Accept", accept))
}

// saying is a handler that says that.
func saying(says string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeText(w, says+"\n") })
}

// leaver is a client that goes away when it has read something.
type leaver struct {
	*httptest.ResponseRecorder
	after string
}

func (l *leaver) Write(p []byte) (int, error) {
	if strings.Contains(l.Body.String(), l.after) {
		return 0, errBoom
	}
	return l.ResponseRecorder.Write(p)
}

func statusOf(code int) string { return strconv.Itoa(code) }

func escapePointer(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(s)
}

func valid(t *testing.T, compiler *jsonschema.Compiler, schema string, document []byte, what string) {
	t.Helper()
	compiled, err := compiler.Compile(schema)
	require.NoError(t, err, what)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	require.NoError(t, err, what)
	assert.NoError(t, compiled.Validate(value), "%s: %s", what, document)
}

// TestOpenAPISchemasAreStrict: what is not described is refused, or the test above could not fail.
func TestOpenAPISchemasAreStrict(t *testing.T) {
	_, compiler := openAPI(t)
	compiled, err := compiler.Compile("openapi.json#/components/schemas/Node")
	require.NoError(t, err)
	for _, wrong := range []string{
		`{"name":"a","kind":"worker","state":"running","restarts":0,"mailbox":0,"surprise":1}`,
		`{"name":"a","kind":"session","state":"running","restarts":0,"mailbox":0}`,
		`{"name":"a","kind":"worker","state":"dancing","restarts":0,"mailbox":0}`,
		`{"name":"a","kind":"worker","state":"running","restarts":0,"mailbox":0,"since":"yesterday"}`,
	} {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(wrong))
		require.NoError(t, err)
		assert.Error(t, compiled.Validate(value), wrong)
	}
}

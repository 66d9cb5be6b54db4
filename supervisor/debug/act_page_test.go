package debug

import (
	"context"
	"encoding/json"
	htmlpkg "html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPageActsWithForms: without a script a form is sent as browsers do, and leads back to the page.
func TestPageActsWithForms(t *testing.T) {
	f := newFake()
	h := fixed(f, Options{Socket: true, Actions: true})
	form := header("Content-Type", "application/x-www-form-urlencoded")
	w := ask(h, "POST", Path+"sessions/importer/restart", "", html, form)
	assert.Equal(t, http.StatusSeeOther, w.Code)
	assert.Equal(t, "../importer", w.Header().Get("Location"), "relative, for any prefix")
	assert.Equal(t, http.StatusNoContent, ask(h, "POST", Path+"sessions/importer/restart", "", header("Accept", "application/json"), form).Code, "the script's")
	assert.Equal(t, []string{"restart importer", "restart importer"}, f.called())
	refused(t, ask(h, "POST", Path+"sessions/importer/restart", "", html, form, header("Sec-Fetch-Site", "cross-site")), CrossOrigin, "another site")
}

// TestPageHasNoButtonsWhereNothingCanBeDone looks at the page of a handler that only shows.
func TestPageHasNoButtonsWhereNothingCanBeDone(t *testing.T) {
	for _, target := range []string{Path, Path + "sessions/importer"} {
		assert.Zero(t, strings.Count(ask(fixed(newFake(), Options{}), "GET", target, "", html).Body.String(), `method="post"`), target)
		assert.Positive(t, strings.Count(ask(fixed(newFake(), Options{Socket: true, Actions: true}), "GET", target, "", html).Body.String(), `method="post"`), target)
	}
}

// TestPageRemovesWhatCanBeRemoved: one of the configuration has no button for it, and says why.
func TestPageRemovesWhatCanBeRemoved(t *testing.T) {
	const button, why = `popovertarget="remove"`, "in the configuration and cannot be removed"
	look := func(b Backend, name string) string {
		return ask(newHandler(b, Options{Socket: true, Actions: true}), "GET", Path+"sessions/"+name, "", html).Body.String()
	}
	fixed, spawned := look(newFake(), "reviewer"), look(newFake(), "importer")
	assert.NotContains(t, fixed, button)
	assert.NotContains(t, fixed, "/remove")
	assert.Contains(t, fixed, why)
	assert.Contains(t, spawned, button)
	assert.Contains(t, spawned, `action="../sessions/importer/remove?force=true"`)
	assert.NotContains(t, spawned, why)
	for _, name := range []string{"reviewer", "importer"} {
		body := look(struct{ Backend }{newFake()}, name) // it cannot remove any
		assert.NotContains(t, body, button, name)
		assert.NotContains(t, body, why, name)
	}
}

// TestPageUnderAForeignPrefix follows every address of the pages, as a browser would resolve it.
func TestPageUnderAForeignPrefix(t *testing.T) {
	f := newFake()
	f.past = samplePast()
	mux := http.NewServeMux()
	mux.Handle("/ops/team/", http.StripPrefix("/ops/team", fixed(f, Options{Socket: true, Actions: true})))
	const prefix = "/ops/team" + Path
	seen := map[string]bool{}
	queue := []string{prefix}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		w := ask(mux, "GET", at, "", html)
		assert.Equal(t, http.StatusOK, w.Code, at)
		if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			continue
		}
		for _, to := range addresses(t, at, w.Body.String()) {
			assert.True(t, strings.HasPrefix(to, prefix), "%s leads to %s", at, to)
			if !seen[to] && len(seen) < 200 {
				seen[to] = true
				queue = append(queue, to)
			}
		}
	}
	for _, want := range []string{"audit", "budgets", "style.css", "script.js", "icon.svg", "openapi.json", "sessions/reviewer", "sessions/reviewer/stderr", "sessions/reviewer/setup", "?sort=cost", "?faults=1", "?state=busy"} {
		assert.True(t, seen[prefix+want], want)
	}
}

// addresses are where a page's links lead, from an address.
func addresses(t *testing.T, at, body string) []string {
	t.Helper()
	base, err := url.Parse(at)
	require.NoError(t, err)
	var all []string
	for _, m := range regexp.MustCompile(`(?:href|src)="([^"#]*)`).FindAllStringSubmatch(body, -1) {
		to, err := base.Parse(htmlpkg.UnescapeString(m[1]))
		require.NoError(t, err)
		all = append(all, to.String())
	}
	return all
}

// questioning is a backend whose sessions have questions of their own.
type questioning struct{ asking }

func (q *questioning) Approvals(context.Context) ([]Approval, error) {
	list := []Approval{
		{ID: "one", Session: "reviewer", Tool: "AskUserQuestion", AskedAt: noon, ExpiresAt: noon.Add(time.Minute), Input: json.RawMessage(`{"a":1}`),
			Questions: []Question{{Question: "Which license?", Options: []QuestionOption{{Label: "MIT"}, {Label: "Apache-2.0"}}}}},
		{ID: "two", Session: "writer", Tool: "AskUserQuestion", AskedAt: noon, ExpiresAt: noon.Add(time.Minute), Input: json.RawMessage(`{`),
			Questions: []Question{{Question: "Where?", MultiSelect: true, Options: []QuestionOption{{Label: "here"}, {Label: "there"}}}, {Question: "When?"}}},
	}
	return list, nil
}

// TestPageAnswersQuestions sends the forms that the page has.
func TestPageAnswersQuestions(t *testing.T) {
	b := &questioning{asking{fake: newFake()}}
	h := fixed(b, Options{Socket: true, Actions: true})
	body := ask(h, "GET", Path, "", html).Body.String()
	assert.Contains(t, body, "Which license?")
	assert.Contains(t, body, `<button name="answer:Which license?" value="Apache-2.0"`)
	assert.Contains(t, body, "has 2 questions")
	assert.Contains(t, body, `<time class="count" datetime="2026-11-23 12:01:00 UTC" title="2026-11-23 12:01:00 UTC" data-until="1795435260000">1m00s</time>`)
	page := ask(h, "GET", Path+"approvals/two", "", html).Body.String()
	assert.Contains(t, page, `<input type="checkbox" name="answer:Where?" value="there">`)
	assert.Contains(t, page, `<input type="text" name="answer:When?"`)
	refused(t, ask(h, "GET", Path+"approvals/three", "", html), NoSuchApproval, "does not wait")

	form := header("Content-Type", "application/x-www-form-urlencoded")
	for body, want := range map[string]ApprovalAnswer{
		"decision=allow": {Decision: "allow"},
		"decision=allow&answer:Which+license%3F=MIT":                                           {Decision: "allow", Answers: map[string]string{"Which license?": "MIT"}},
		"decision=allow&answer:Where%3F=here&answer:Where%3F=there&answer:When%3F=+&message=x": {Decision: "allow", Answers: map[string]string{"Where?": "here, there"}},
		"decision=deny&message=not+today&answer:Where%3F=here":                                 {Decision: "deny", Message: "not today"},
	} {
		w := ask(h, "POST", Path+"approvals/two", body, html, form)
		require.Equal(t, http.StatusSeeOther, w.Code, w.Body.String())
		assert.Equal(t, "../", w.Header().Get("Location"))
		assert.Equal(t, want, b.answer, body)
	}
	refused(t, ask(h, "POST", Path+"approvals/two", "decision=perhaps", html, form), BadRequest, "expected allow or deny")
	refused(t, ask(h, "POST", Path+"approvals/two", "%zz", html, form), BadRequest, "the form cannot be read")
	refused(t, ask(fixed(b, Options{Token: "t"}), "GET", Path+"approvals/two", "", html), Unauthorized, "needs the endpoint's token")
	assert.NotContains(t, ask(fixed(b, Options{}), "GET", Path, "", html).Body.String(), `<button class="primary">Allow`, "where nothing can be done")
}

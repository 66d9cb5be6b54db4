package debug

import (
	htmlpkg "html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

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

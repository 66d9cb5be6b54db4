package debug

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// names are those of the rows of a page, with the lines of the tree before them.
func names(t *testing.T, h http.Handler, query string) []string {
	t.Helper()
	w := ask(h, "GET", Path+query, "", html)
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	var found []string
	for _, m := range regexp.MustCompile(`<th scope="row"><span class="branch" aria-hidden="true">([^<]*)</span>(?:<a [^>]*>)?([^<]*)`).FindAllStringSubmatch(w.Body.String(), -1) {
		found = append(found, m[1]+m[2])
	}
	return found
}

func TestRowsOfTheTree(t *testing.T) {
	h := fixed(newFake(), Options{})
	for query, want := range map[string][]string{
		"":                     {"root", "├─ audit", "├─ sessions", "│  ├─ reviewer", "│  ├─ writer", "│  ├─ nightly", "│  └─ importer", "└─ debug"},
		"?q=IGHT":              {"root", "└─ sessions", "   └─ nightly"},
		"?q=sonnet":            {"root", "└─ sessions", "   ├─ reviewer", "   └─ nightly"},
		"?q=race":              {"root", "└─ sessions", "   └─ reviewer"}, // in what its tool does
		"?state=idle":          {"root", "└─ sessions", "   └─ writer"},
		"?faults=1":            {"root", "└─ sessions", "   ├─ nightly", "   └─ importer"},
		"?faults=1&q=night":    {"root", "└─ sessions", "   └─ nightly"},
		"?under=root/sessions": {"root", "└─ sessions", "   ├─ reviewer", "   ├─ writer", "   ├─ nightly", "   └─ importer"},
		"?under=root/sess":     nil,
		"?q=nothing":           nil,
		"?sort=cost":           {"reviewer", "nightly", "writer", "importer"},
		"?sort=name":           {"importer", "nightly", "reviewer", "writer"},
		"?sort=state":          {"importer", "nightly", "reviewer", "writer"},
		"?sort=rss":            {"writer", "reviewer", "nightly", "importer"},
		"?sort=queue&faults=1": {"nightly", "importer"},
		"?page=2":              nil,
		"?page=99999":          nil,
	} {
		assert.Equal(t, want, names(t, h, query), query)
	}
	for query, problem := range map[string]string{
		"?sort=beauty": "sort=beauty", "?page=0": "page=0", "?page=x": "page=x", "?faults=yes": "faults=yes", "?part=whole": "part=whole",
	} {
		refused(t, ask(h, "GET", Path+query, "", html), BadRequest, problem)
	}
}

// TestANodeOnTheBrinkIsTrouble: how close something is to giving up is seen before it does.
func TestANodeOnTheBrinkIsTrouble(t *testing.T) {
	f := newFake()
	f.root.Children[1].Intensity.Used = 3
	body := ask(fixed(f, Options{}), "GET", Path, "", html).Body.String()
	assert.Contains(t, body, "the next restart is one too many: it will give up")
	assert.Contains(t, body, "<title>(4) Understudy</title>")
}

// fleet is a tree with that many sessions.
func fleet(n int) *fake {
	f := newFake()
	sessions := &f.root.Children[1]
	like := sessions.Children[0]
	sessions.Children = nil
	for i := range n {
		session, fields := like, *like.SessionFields
		session.Name, session.Since = fmt.Sprintf("worker-%04d", i), ago(time.Duration(i)*time.Second)
		fields.PID, fields.CostUSD = 1000+i, float64(i%17)/10
		session.SessionFields = &fields
		if i%100 == 99 {
			session.State = "failed"
		}
		sessions.Children = append(sessions.Children, session)
	}
	return f
}

func TestPagesOfAThousandSessions(t *testing.T) {
	h := fixed(fleet(1000), Options{})
	first := names(t, h, "")
	assert.Len(t, first, rowsPerPage)
	assert.Equal(t, "root", first[0])
	second := names(t, h, "?page=2")
	assert.Equal(t, []string{"root", "├─ sessions", "│  ├─ worker-0097"}, second[:3], "where one is, and how it goes on")
	assert.Len(t, second, rowsPerPage+2)
	seen := make(map[string]bool)
	for page := 1; page <= 11; page++ {
		for _, name := range names(t, h, fmt.Sprintf("?page=%d", page)) {
			seen[strings.TrimLeft(name, "│├└─ ")] = true
		}
	}
	assert.Len(t, seen, 1004)
	body := ask(h, "GET", Path+"?page=2&q=worker", "", html).Body.String()
	assert.Contains(t, body, "101–200 of 1,002")
	assert.Contains(t, body, `href="?page=3&amp;q=worker" rel="next"`)
	assert.Contains(t, body, `href="?q=worker" rel="prev"`)
	assert.Contains(t, body, "1,000 sessions")
	assert.Less(t, len(body), 256<<10, "bytes of a page")
}

// BenchmarkPage is the page of 1,000 sessions, without the rest that follows on it; it must take less than 100 ms.
func BenchmarkPage(b *testing.B) {
	h := fixed(fleet(1000), Options{})
	for name, query := range map[string]string{"first": "", "filtered": "?q=worker-07", "sorted": "?sort=cost", "last": "?page=11", "faults": "?faults=1"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r := httptest.NewRequest("GET", Path+query, nil)
				r.Host, r.RemoteAddr = "127.0.0.1:7070", "127.0.0.1:54321"
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
			}
		})
	}
}

// BenchmarkLook is what the stream of events does twice a second while somebody looks.
func BenchmarkLook(b *testing.B) {
	h := fixed(fleet(1000), Options{})
	for b.Loop() {
		if _, err := h.digest(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

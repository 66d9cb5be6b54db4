package debug

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var html = header("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")

func TestPagesAreAsRecorded(t *testing.T) {
	f := newFake()
	f.past = samplePast()
	f.records = sampleRecords()
	h := fixed(f, Options{Version: "v0.1.0", Actions: true, Socket: true})
	for name, target := range map[string]string{
		"page.html":         Path,
		"page-part.html":    Path + "?part=main",
		"session.html":      Path + "sessions/reviewer",
		"session-fail.html": Path + "sessions/importer?part=main",
		"audit.html":        Path + "audit?part=main",
		"budgets.html":      Path + "budgets?part=main",
	} {
		w := ask(h, "GET", target, "", html)
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
		assert.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
		golden(t, name, w.Body.String())
	}
}

// TestPagesShowTroubleFirst pins down the order: what failed, what is being tried again, then the tree.
func TestPagesShowTroubleFirst(t *testing.T) {
	body := ask(fixed(newFake(), Options{}), "GET", Path, "", html).Body.String()
	failed, again, tree := strings.Index(body, "not tried again"), strings.Index(body, "next try in "), strings.Index(body, "<table")
	assert.Positive(t, failed)
	assert.Less(t, failed, again)
	assert.Less(t, again, tree)
	assert.Contains(t, body, "<title>(3) Understudy</title>")
}

// TestPagesShowWhatOthersWroteAsText puts markup wherever a session, a tool or a process has a say.
func TestPagesShowWhatOthersWroteAsText(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>'&`
	f := newFake()
	f.past = samplePast()
	for i := range f.past.Generations {
		f.past.Generations[i].Exit = evil
	}
	for i := range f.past.Tools {
		f.past.Tools[i].ID, f.past.Tools[i].Name, f.past.Tools[i].Argument, f.past.Tools[i].Outcome = evil, evil, evil, evil
	}
	f.past.LastWords = []string{evil}
	encoded, err := json.Marshal(map[string]any{"seq": 1, "kind": evil, "session": evil, "tool": evil, "principal": evil, "detail": map[string]any{"error": evil}})
	require.NoError(t, err)
	f.records = []step{{frame: string(encoded)}, {frame: "no JSON " + evil}}
	f.stderr = []string{evil, "</pre><script>alert(1)</script>"}
	for i := range f.root.Children[1].Children {
		n := &f.root.Children[1].Children[i]
		n.Name, n.State, n.Reason, n.Restart = evil+n.Name, "failed", evil, evil
		n.LastExit = &Exit{At: noon, Reason: evil}
		s := n.SessionFields
		s.SessionID, s.Model, s.Mode, s.CWD, s.CLIVersion, s.Tool, s.ToolArg = evil, evil, evil, evil, evil, evil, evil
	}
	f.root.Children[0].Name, f.root.Children[0].State, f.root.Strategy = "javascript:alert(1)", evil, evil
	h := fixed(f, Options{Version: evil})
	name := f.root.Children[1].Children[0].Name
	session := "sessions/" + regexpEscape(name)
	for _, target := range []string{Path, Path + session, Path + "audit", Path + "budgets", Path + "?sort=cost&q=" + url.QueryEscape(evil) + "&under=" + url.QueryEscape(evil) + "&state=" + url.QueryEscape(evil)} {
		w := ask(h, "GET", target, "", html)
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
		body := w.Body.String()
		assert.Equal(t, 1, strings.Count(body, "<script"), "ours only")
		assert.Equal(t, 1, strings.Count(body, "<img"), "ours only")
		assert.NotContains(t, body, " onerror=alert(1)>")
		assert.NotContains(t, body, `href="javascript`)
		for _, href := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(body, -1) {
			assert.Regexp(t, `^(#main|(\./|\.\./)?(style\.css|icon\.svg|script\.js|openapi\.json|budgets|audit(/\d+)?(\?[^<>\s]*)?|(\?[^<>\s]*)|approvals/[a-z0-9]+|sessions/[^/?#<>\s]+(/stderr|/setup|#stderr)?|))$`, href[1])
		}
		assert.NotContains(t, body, "style=", "the content policy forbids inline style")
	}
}

func regexpEscape(name string) string {
	return url.PathEscape(name)
}

// TestPagesAreWellFormed reads them as XML, but for the few elements that have no end in HTML.
func TestPagesAreWellFormed(t *testing.T) {
	f := newFake()
	f.past = samplePast()
	f.records = sampleRecords()
	h := fixed(f, Options{Actions: true, Socket: true})
	for _, target := range []string{Path, Path + "sessions/reviewer", Path + "sessions/writer", Path + "sessions/importer", Path + "audit", Path + "budgets", Path + "?sort=rss&page=1&faults=1"} {
		body := ask(h, "GET", target, "", html).Body.String()
		body = regexp.MustCompile(`<(meta|link|img|input|col)( [^>]*)?>`).ReplaceAllString(body, "<$1$2/>")
		body = strings.NewReplacer("<!doctype html>", "", " defer>", ">").Replace(body)
		decoder := xml.NewDecoder(strings.NewReader(body))
		for {
			_, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, target)
		}
		ids := regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(body, -1)
		seen := make(map[string]bool)
		for _, id := range ids {
			assert.False(t, seen[id[1]], "%s twice in %s", id[1], target)
			seen[id[1]] = true
		}
	}
}

func TestPageOfNothing(t *testing.T) {
	f := newFake()
	f.root = Node{Name: "root", Kind: "supervisor", State: "starting"}
	w := ask(fixed(f, Options{}), "GET", Path, "", html)
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Contains(t, w.Body.String(), "<b>0 sessions</b>")
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 999 * time.Millisecond: "0s", 59 * time.Second: "59s", time.Minute: "1m00s", 3*time.Minute + 4*time.Second: "3m04s",
		time.Hour: "1h00m", 23*time.Hour + 59*time.Minute: "23h59m", 76 * time.Hour: "3d04h",
	} {
		assert.Equal(t, want, age(d), d)
	}
}

package debug

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bookish is a fake that has ten records.
type bookish struct {
	*fake
	asked AuditQuery
}

func (p *bookish) AuditPage(_ context.Context, q AuditQuery) (records []json.RawMessage, last uint64, err error) {
	p.asked = q
	if q.Newest {
		for last = min(q.Before-1, 10) + 1; last > 1 && len(records) < q.Limit; {
			last--
			records = append(records, fmt.Appendf(nil, `{"seq":%d,"kind":"turn.started"}`, last))
		}
		return records, last, nil
	}
	for last = q.After; last < 10 && len(records) < q.Limit; {
		last++
		records = append(records, fmt.Appendf(nil, `{"seq":%d}`, last))
	}
	return records, last, nil
}

func TestAuditPages(t *testing.T) {
	p := &bookish{fake: newFake()}
	h := fixed(p, Options{})
	w := ask(h, "GET", Path+"audit?limit=4&session=a,b&session=c", "")
	assert.Equal(t, "{\"seq\":1}\n{\"seq\":2}\n{\"seq\":3}\n{\"seq\":4}\n", w.Body.String())
	assert.Equal(t, `<audit?after=4&limit=4&session=a%2Cb&session=c>; rel="next"`, w.Header().Get("Link"))
	assert.Equal(t, []string{"a", "b", "c"}, p.asked.Sessions)
	w = ask(h, "GET", Path+"audit?after=8&limit=4", "")
	assert.Equal(t, "{\"seq\":9}\n{\"seq\":10}\n", w.Body.String())
	assert.Empty(t, w.Header().Get("Link"), "there is no more")

	ask(h, "GET", Path+"audit?kind=tool.&tool=Bash&outcome=deny&turn=3&tool_use=t1&since=2025-11-05T08:30:00Z&until=2025-11-06T00:00:00Z&text=rm", "")
	assert.Equal(t, AuditQuery{
		Kinds: []string{"tool."}, Tools: []string{"Bash"}, Outcomes: []string{"deny"}, Turn: 3, ToolUse: "t1", Text: "rm", Limit: 100,
		Since: time.Date(2025, 11, 5, 8, 30, 0, 0, time.UTC), Until: time.Date(2025, 11, 6, 0, 0, 0, 0, time.UTC),
	}, p.asked)

	// From the newest backwards.
	w = ask(h, "GET", Path+"audit?before=0&limit=4", "")
	assert.Equal(t, "{\"seq\":10,\"kind\":\"turn.started\"}\n{\"seq\":9,\"kind\":\"turn.started\"}\n{\"seq\":8,\"kind\":\"turn.started\"}\n{\"seq\":7,\"kind\":\"turn.started\"}\n", w.Body.String())
	assert.Equal(t, `<audit?before=7&limit=4>; rel="next"`, w.Header().Get("Link"))
	w = ask(h, "GET", Path+"audit?before=3&limit=4", "")
	assert.Equal(t, "{\"seq\":2,\"kind\":\"turn.started\"}\n{\"seq\":1,\"kind\":\"turn.started\"}\n", w.Body.String())
	assert.Empty(t, w.Header().Get("Link"), "there is no more")

	// Times can be said as people do.
	for text, want := range map[string]time.Time{
		"2h": noon.Add(-2 * time.Hour), "2026-11-23": noon.Add(-12 * time.Hour), "2026-11-23T11:30": noon.Add(-30 * time.Minute), "2026-11-23 11:30:15": noon.Add(-29*time.Minute - 45*time.Second),
		"2026-11-23T12:00:00+01:00": noon.Add(-time.Hour),
	} {
		ask(h, "GET", Path+"audit?since="+url.QueryEscape(text), "")
		assert.True(t, want.Equal(p.asked.Since), "%s: %s", text, p.asked.Since)
	}

	for _, query := range []string{"after=x", "before=x", "before=3&after=1", "since=-2h", "limit=0", "limit=1001", "turn=0", "since=yesterday", "until=1", "after=1&n=3", "limit=3&follow=true", "sesion=a", "n=3&outcom=deny", "since=1h&until=2h"} {
		refused(t, ask(h, "GET", Path+"audit?"+query, ""), BadRequest, "expected")
	}
	refused(t, ask(fixed(newFake(), Options{}), "GET", Path+"audit?after=0", ""), Unavailable, "no pages")
}

// links are the addresses of a page by what they say.
func links(body string) map[string]string {
	all := make(map[string]string)
	for _, found := range regexp.MustCompile(`<a href="([^"]*)"[^>]*>([^<]*)</a>`).FindAllStringSubmatch(body, -1) {
		all[found[2]] = strings.ReplaceAll(found[1], "&amp;", "&")
	}
	return all
}

// numbers are those of the records of a page.
func numbers(body string) (all []string) {
	for _, found := range regexp.MustCompile(`<tr id="a-(\d+)"`).FindAllStringSubmatch(body, -1) {
		all = append(all, found[1])
	}
	return all
}

// TestAuditInABrowser goes through the log by the addresses of its pages, without a script.
func TestAuditInABrowser(t *testing.T) {
	h := fixed(&bookish{fake: newFake()}, Options{})
	look := func(address string) ([]string, map[string]string) {
		w := ask(h, "GET", Path+address, "", html)
		require.Equal(t, http.StatusOK, w.Code, address)
		require.Contains(t, w.Header().Get("Content-Type"), "text/html", address)
		return numbers(w.Body.String()), links(w.Body.String())
	}
	seqs, to := look("audit?limit=4")
	assert.Equal(t, []string{"10", "9", "8", "7"}, seqs)
	assert.NotContains(t, to, "newer")
	assert.Equal(t, "audit?before=7&limit=4", to["older"])
	assert.Equal(t, "audit/9", to["9"], "each record has an address")
	seqs, to = look(to["older"])
	assert.Equal(t, []string{"6", "5", "4", "3"}, seqs)
	newer := to["newer"]
	seqs, to = look(to["older"])
	assert.Equal(t, []string{"2", "1"}, seqs)
	assert.NotContains(t, to, "older")
	assert.Equal(t, "audit?limit=4", to["the newest"])
	seqs, to = look(newer)
	assert.Equal(t, []string{"10", "9", "8", "7"}, seqs, "the next newer ones, the newest first")
	assert.Equal(t, "audit?before=7&limit=4", to["older"])
	seqs, to = look("audit?after=10&session=reviewer")
	assert.Empty(t, seqs)
	assert.Equal(t, "audit?before=11&session=reviewer", to["older"])
	assert.NotContains(t, to, "newer")
	seqs, _ = look("audit?n=2")
	assert.Len(t, seqs, 2)

	// What is asked for stays in the form.
	w := ask(h, "GET", Path+"audit?session=reviewer&kind=tool.&tool=Bash&outcome=deny&since=2h&until=&text=%22rm%22", "", html)
	for _, field := range []string{`name="session" value="reviewer"`, `name="kind" value="tool."`, `name="tool" value="Bash"`, `name="outcome" value="deny"`, `name="since" value="2h"`, `name="text" value="&#34;rm&#34;"`} {
		assert.Contains(t, w.Body.String(), field)
	}
	w = ask(h, "GET", Path+"audit?since=yesterday&text=x", "", html)
	assert.Equal(t, http.StatusBadRequest, w.Code)
	assert.Contains(t, w.Body.String(), "since=yesterday: expected a time")
	assert.Contains(t, w.Body.String(), `name="text" value="x"`)
	assert.Equal(t, "application/x-ndjson", ask(h, "GET", Path+"audit?limit=4", "", header("Accept", "*/*")).Header().Get("Content-Type"))
}

// TestAuditOfABackendWithoutPages has only the last records to look among.
func TestAuditOfABackendWithoutPages(t *testing.T) {
	f := newFake()
	f.records = sampleRecords()
	h := fixed(f, Options{})
	for query, want := range map[string][]string{
		"": {"6", "5", "4", "3", "2", "1"}, "limit=2": {"6", "5"}, "before=3": {"2", "1"}, "after=4": {"6", "5"}, "session=reviewer": {"3", "2", "1"},
		"kind=tool.": {"4", "3", "2"}, "kind=tool.intent&tool=Bash": {"2"}, "tool=Read&tool=Bash": {"4", "3", "2"}, "outcome=deny": {"3"}, "turn=3": {"4"}, "text=rm+-rf": {"2"},
		"since=2026-11-23T11:59:55Z": {"6"}, "until=30m": {"1"}, "kind=nothing": nil,
	} {
		assert.Equal(t, want, numbers(ask(h, "GET", Path+"audit?"+query, "", html).Body.String()), query)
	}

	// A tool that has two names is one, by whichever it was recorded and is asked for.
	f.records = []step{
		{frame: `{"seq":1,"kind":"tool.intent","tool":"Agent","tool_use_id":"t1"}`},
		{frame: `{"seq":2,"kind":"tool.intent","tool":"Task","tool_use_id":"t2"}`},
		{frame: `{"seq":3,"kind":"tool.intent","tool":"Read","tool_use_id":"t3","parent_tool_use_id":"t1"}`},
		{frame: `{"seq":4,"kind":"turn.result","outcome":"success"}`},
		{frame: `no JSON`},
	}
	for query, want := range map[string][]string{
		"tool=Task": {"2", "1"}, "tool=Agent": {"2", "1"}, "tool=Agent&tool=Read": {"3", "2", "1"}, "tool=Agents": nil, "tool_use=t1": {"3", "1"},
		"outcome=success": {"4"}, "tool=Task&before=2": {"1"}, "tool=Task&after=1": {"2"},
	} {
		assert.Equal(t, want, numbers(ask(h, "GET", Path+"audit?"+query, "", html).Body.String()), query)
	}
	assert.Contains(t, ask(h, "GET", Path+"audit", "", html).Body.String(), "no JSON", "that there is something is to be seen")
	assert.NotContains(t, ask(h, "GET", Path+"audit?tool=Task", "", html).Body.String(), "no JSON")
}

func TestOneRecord(t *testing.T) {
	f := newFake()
	f.records = sampleRecords()
	h := fixed(f, Options{})
	assert.Equal(t, f.records[2].frame+"\n", ask(h, "GET", Path+"audit/3", "").Body.String())
	body := ask(h, "GET", Path+"audit/3", "", html).Body.String()
	assert.Contains(t, body, "<h1>Record 3</h1>")
	assert.Contains(t, body, "&#34;reason&#34;: &#34;not here&#34;")
	to := links(body)
	assert.Equal(t, "../sessions/reviewer", to["reviewer"])
	assert.Equal(t, "2", to["the one before"])
	assert.Equal(t, "4", to["the next"])
	refused(t, ask(h, "GET", Path+"audit/7", ""), NoSuchRecord, "not written yet")
	for _, seq := range []string{"0", "x", "-1", "99999999999999999999"} {
		refused(t, ask(h, "GET", Path+"audit/"+seq, ""), BadRequest, "number of a record")
	}
}

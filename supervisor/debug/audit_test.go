package debug

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// bookish is a fake that has ten records.
type bookish struct {
	*fake
	asked AuditQuery
}

func (p *bookish) AuditPage(_ context.Context, q AuditQuery) (records []json.RawMessage, last uint64, err error) {
	p.asked = q
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

	for _, query := range []string{"after=x", "limit=0", "limit=1001", "turn=0", "since=yesterday", "until=1", "after=1&n=3", "limit=3&follow=true"} {
		refused(t, ask(h, "GET", Path+"audit?"+query, ""), BadRequest, "expected")
	}
	refused(t, ask(fixed(newFake(), Options{}), "GET", Path+"audit?after=0", ""), Unavailable, "no pages")
}

package understudy_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// TestNewestRecordsFirst looks back through a log of several segments, in steps that are shorter than what is looked for.
func TestNewestRecordsFirst(t *testing.T) {
	rt, err := understudy.Start(t.Context(), understudy.Options{DataDir: t.TempDir(), Audit: understudy.AuditOptions{SegmentBytes: 64 << 10}})
	require.NoError(t, err)
	defer func() { assert.NoError(t, rt.Shutdown(t.Context())) }()
	const all = 3000
	for i := range all {
		session := "often"
		if i%1400 == 5 {
			session = fmt.Sprint("rare-", i)
		}
		r := audit.Record{Kind: audit.SessionNotice, Session: session, Detail: map[string]any{"notice": "test", "text": fmt.Sprint("number ", i)}}
		if i%100 < 99 && i < all-1 {
			rt.Audit().Post(r)
			continue
		}
		require.NoError(t, rt.Audit().Append(t.Context(), r)) // waits for those before it
	}
	pager := rt.Backend(nil).(debug.AuditPager)
	look := func(q debug.AuditQuery) (texts []string, last uint64) {
		records, last, err := pager.AuditPage(t.Context(), q)
		require.NoError(t, err)
		for _, raw := range records {
			var r audit.Record
			require.NoError(t, json.Unmarshal(raw, &r))
			texts = append(texts, fmt.Sprint(r.Detail["text"]))
		}
		return texts, last
	}
	_, _, err = pager.AuditPage(t.Context(), debug.AuditQuery{Limit: 3, Outcomes: []string{"denied"}})
	require.ErrorContains(t, err, "outcome=denied: expected one of [ok error allow deny timeout killed unknown]")
	texts, last := look(debug.AuditQuery{Newest: true, Limit: 3, Kinds: []string{"session.notice"}})
	assert.Equal(t, []string{"number 2999", "number 2998", "number 2997"}, texts)
	texts, _ = look(debug.AuditQuery{Newest: true, Before: last, Limit: 2, Kinds: []string{"session.notice"}})
	assert.Equal(t, []string{"number 2996", "number 2995"}, texts, "the page before that")

	texts, last = look(debug.AuditQuery{Newest: true, Limit: 2, Text: `"rare-`})
	assert.Equal(t, []string{"number 2805", "number 1405"}, texts)
	texts, last = look(debug.AuditQuery{Newest: true, Before: last, Limit: 2, Text: `"rare-`})
	assert.Equal(t, []string{"number 5"}, texts)
	assert.LessOrEqual(t, last, uint64(1), "there is no more")

	// Every record once, whatever the size of a page.
	seen := 0
	for last = 0; last != 1; {
		texts, last = look(debug.AuditQuery{Newest: true, Before: last, Limit: 700, Sessions: []string{"often"}})
		seen += len(texts)
	}
	assert.Equal(t, all-3, seen)
}

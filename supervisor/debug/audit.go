package debug

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AuditQuery asks for a page of the audit log: the oldest records that fit, behind a number. The zero value of a field
// means any; those that are set must all fit.
type AuditQuery struct {
	// Sessions are names, of which one must fit; so with Kinds, where tool. stands for all that begin so, Tools and
	// Outcomes.
	Sessions, Kinds, Tools, Outcomes []string
	Turn                             int
	// ToolUse is a tool use, and those it is the parent of.
	ToolUse string
	// Since is the first time that fits, Until the first that does not any more.
	Since, Until time.Time
	// Text is a part of the record's JSON.
	Text string
	// After leaves out records up to that number, Limit ends the page.
	After uint64
	Limit int
}

// AuditPager is a Backend that gives pages of the audit log.
type AuditPager interface {
	// AuditPage gives the records, oldest first, each as it is in the log, and the number of the last: what the next page
	// is After. A page that is not full is the last so far.
	AuditPage(ctx context.Context, q AuditQuery) (records []json.RawMessage, last uint64, err error)
}

// maxPage is how many records a page has at most, defaultPage without limit.
const (
	defaultPage = 100
	maxPage     = 1000
)

// paged are the parameters of GET audit that ask for a page.
var paged = []string{"after", "limit", "session", "kind", "tool", "outcome", "turn", "tool_use", "since", "until", "text"}

// asksForPage reports whether a request is for a page and not for the last records.
func asksForPage(q url.Values) bool {
	return slices.ContainsFunc(paged, q.Has)
}

// auditPages gives a page of the log as JSON lines, and the address of the next in the header Link.
func (h *handler) auditPages(w http.ResponseWriter, r *http.Request) {
	pager, ok := h.backend.(AuditPager)
	if !ok {
		refuse(w, &Error{Unavailable, "this program gives no pages of its audit log"})
		return
	}
	values := r.URL.Query()
	q, err := parseAuditQuery(values)
	if err != nil {
		refuse(w, err)
		return
	}
	records, last, err := pager.AuditPage(r.Context(), q)
	if err != nil {
		refuse(w, err)
		return
	}
	if len(records) >= q.Limit {
		values.Set("after", strconv.FormatUint(last, 10))
		w.Header().Set("Link", `<audit?`+values.Encode()+`>; rel="next"`)
	}
	out := newLines(w)
	for _, record := range records {
		if out.put(record) != nil {
			return
		}
	}
	out.end(nil)
}

func parseAuditQuery(values url.Values) (q AuditQuery, err error) {
	bad := func(name, expected string) error {
		return &Error{BadRequest, fmt.Sprintf("%s=%s: expected %s", name, cut(values.Get(name), 40), expected)}
	}
	for _, name := range []string{"n", "follow"} {
		if values.Has(name) {
			return q, bad(name, "no such parameter with those of a page, which has limit and after")
		}
	}
	list := func(name string) (all []string) {
		for _, value := range values[name] {
			for one := range strings.SplitSeq(value, ",") {
				if one != "" {
					all = append(all, one)
				}
			}
		}
		return all
	}
	q = AuditQuery{
		Sessions: list("session"), Kinds: list("kind"), Tools: list("tool"), Outcomes: list("outcome"),
		ToolUse: values.Get("tool_use"), Text: values.Get("text"), Limit: defaultPage,
	}
	if values.Has("after") {
		if q.After, err = strconv.ParseUint(values.Get("after"), 10, 62); err != nil {
			return q, bad("after", "the number of a record")
		}
	}
	if values.Has("limit") {
		if q.Limit, err = strconv.Atoi(values.Get("limit")); err != nil || q.Limit < 1 || q.Limit > maxPage {
			return q, bad("limit", fmt.Sprintf("a number from 1 to %d", maxPage))
		}
	}
	if values.Has("turn") {
		if q.Turn, err = strconv.Atoi(values.Get("turn")); err != nil || q.Turn < 1 {
			return q, bad("turn", "a turn's number, from 1")
		}
	}
	for name, into := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if values.Has(name) {
			if *into, err = time.Parse(time.RFC3339Nano, values.Get(name)); err != nil {
				return q, bad(name, "a time such as 2025-11-05T08:30:00Z")
			}
		}
	}
	return q, nil
}

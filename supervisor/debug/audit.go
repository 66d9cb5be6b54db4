package debug

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
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
	// After leaves out records up to that number, Before those from that number on; 0 leaves out none. Limit ends the page.
	After, Before uint64
	Limit         int
	// Newest turns the order round: the page has the newest records that fit, the newest first.
	Newest bool
}

// AuditPager is a Backend that gives pages of the audit log.
type AuditPager interface {
	// AuditPage gives the records, oldest first, each as it is in the log, and the number of the last: what the next page
	// is After. A page that is not full is the last so far. With Newest it is the newest first, and the number is what the next page
	// is Before: above 1 if there may be more, also if the page is not full, since looking back may end for the time it takes.
	AuditPage(ctx context.Context, q AuditQuery) (records []json.RawMessage, last uint64, err error)
}

// maxPage is how many records a page has at most, defaultPage without limit.
const (
	defaultPage = 100
	maxPage     = 1000
)

// paged are the parameters of GET audit that ask for a page.
var paged = []string{"after", "before", "limit", "session", "kind", "tool", "outcome", "turn", "tool_use", "since", "until", "text"}

// unknownParameter refuses what is no parameter of GET audit: a filter that is misspelled would let everything through.
func unknownParameter(q url.Values) error {
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if !slices.Contains(paged, name) && name != "n" && name != "follow" {
			return &Error{BadRequest, fmt.Sprintf("%s: expected one of n, follow, %s", cut(name, 40), strings.Join(paged, ", "))}
		}
	}
	return nil
}

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
	q, err := parseAuditQuery(values, h.now())
	if err != nil {
		refuse(w, err)
		return
	}
	records, last, err := pager.AuditPage(r.Context(), q)
	if err != nil {
		refuse(w, err)
		return
	}
	switch {
	case q.Newest && last > 1:
		values.Set("before", strconv.FormatUint(last, 10))
		w.Header().Set("Link", `<audit?`+values.Encode()+`>; rel="next"`)
	case !q.Newest && len(records) >= q.Limit:
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

func parseAuditQuery(values url.Values, now time.Time) (q AuditQuery, err error) {
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
		ToolUse: values.Get("tool_use"), Text: values.Get("text"), Limit: defaultPage, Newest: values.Has("before"),
	}
	if values.Has("before") {
		if q.Before, err = strconv.ParseUint(values.Get("before"), 10, 62); err != nil {
			return q, bad("before", "the number of a record, or 0 for the newest")
		}
		if values.Has("after") {
			return q, bad("before", "no after beside it: a page has one or the other")
		}
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
	if values.Get("turn") != "" {
		if q.Turn, err = strconv.Atoi(values.Get("turn")); err != nil || q.Turn < 1 {
			return q, bad("turn", "a turn's number, from 1")
		}
	}
	for name, into := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if text := strings.TrimSpace(values.Get(name)); text != "" {
			if *into, err = parseWhen(text, now); err != nil {
				return q, bad(name, "a time such as 2025-11-05T08:30:00Z, or how long ago, such as 2h")
			}
		}
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return q, bad("until", "a time after since")
	}
	return q, nil
}

// parseWhen reads a time, to the minute at least, in UTC if it does not say otherwise; or how long ago it is.
func parseWhen(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Parse(time.RFC3339Nano, text)
}

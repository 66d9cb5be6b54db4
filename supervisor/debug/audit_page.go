package debug

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/understudy-run/understudy/session/toolname"
)

// auditView is the browser of the audit log: a page of it, the newest first.
type auditView struct {
	frame
	Asked     auditAsked
	Narrow    bool // something is asked for
	Records   []auditItem
	Problem   string
	Shown     string
	Newest    string // addresses; empty if there is no such page
	Newer     string
	Older     string
	Sizes     []sizeChoice
	Sessions  []string // there are, for the form
	KindNames []string
}

// auditAsked is what was asked for, as it was written.
type auditAsked struct {
	Session, Kind, Tool, Outcome, Since, Until, Text string
	Turn, ToolUse                                    string
	Limit                                            int
}

type sizeChoice struct {
	N       int
	Href    string
	Current bool
}

// auditItem is a record of the audit log in words. What is in it is the log's to say: this package knows a few of
// the fields that records have.
type auditItem struct {
	ID, Href                   string
	Seq, Kind, Session, Tool   string
	At                         *moment
	Who, Outcome, Tone, Detail string
	Turn                       string
}

// auditRecord are those fields.
type auditRecord struct {
	Seq             uint64    `json:"seq"`
	Time            time.Time `json:"time"`
	Kind            string    `json:"kind"`
	Session         string    `json:"session"`
	Principal       string    `json:"principal"`
	Turn            int       `json:"turn"`
	Tool            string    `json:"tool"`
	ToolUseID       string    `json:"tool_use_id"`
	ParentToolUseID string    `json:"parent_tool_use_id"`
	IsError         *bool     `json:"is_error"`
	Decision        *struct {
		Outcome, By, Rule, Reason string
	} `json:"decision"`
	Exit *struct {
		Reason string `json:"reason"`
	} `json:"exit"`
	Outcome string         `json:"outcome"`
	CostUSD float64        `json:"cost_usd"`
	Detail  map[string]any `json:"detail"`
	Input   any            `json:"input"`
}

// kindNames are beginnings of kinds that the form offers: what there is beyond them can be written.
var kindNames = []string{"tool.", "tool.intent", "tool.decision", "tool.result", "session.", "session.crashed", "turn.", "approval.", "budget.", "admin.action", "supervisor.event", "config.loaded", "log."}

// auditPage shows a page of the log. What cannot be asked for so is said in the page, whose form has it still.
func (h *handler) auditPage(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	values := r.URL.Query()
	values.Del("part")
	values.Del("follow")
	if n := values.Get("n"); n != "" { // as a program asks for the last ones
		values.Set("limit", n)
		values.Del("n")
	}
	v := auditView{frame: h.frame("Audit", "audit", "./"), KindNames: kindNames, Asked: auditAsked{
		Session: values.Get("session"), Kind: values.Get("kind"), Tool: values.Get("tool"), Outcome: values.Get("outcome"), Turn: values.Get("turn"),
		ToolUse: values.Get("tool_use"), Since: values.Get("since"), Until: values.Get("until"), Text: values.Get("text"), Limit: defaultPage,
	}}
	v.Narrow = slices.ContainsFunc([]string{"session", "kind", "tool", "outcome", "since", "until", "text", "turn", "tool_use"}, func(name string) bool { return values.Get(name) != "" })
	if root, err := h.backend.Tree(ctx); err == nil { // without it the form offers no names
		for _, s := range root.Sessions() {
			if len(v.Sessions) < maxListed {
				v.Sessions = append(v.Sessions, s.Name)
			}
		}
	}
	q, err := parseAuditQuery(values, h.now())
	if err != nil {
		v.Problem = err.Error()
		h.renderAs(w, r, CodeOf(err).Status(), "audit", v)
		return
	}
	v.Asked.Limit = q.Limit
	onwards := q.After > 0
	q.Newest = !onwards
	records, last, err := h.records(ctx, q)
	if err != nil {
		v.Problem = err.Error()
	}
	if onwards {
		slices.Reverse(records)
	}
	now := h.now()
	for _, raw := range records {
		v.Records = append(v.Records, auditItemOf(raw, now, ""))
	}
	v.pages(values, q, onwards, last)
	h.render(w, r, "audit", v)
}

// pages fills in where else there is something to see.
func (v *auditView) pages(values url.Values, q AuditQuery, onwards bool, last uint64) {
	to := func(change func(url.Values)) string {
		next := make(url.Values)
		for name, all := range values {
			if name != "before" && name != "after" && values.Get(name) != "" {
				next[name] = all
			}
		}
		change(next)
		return strings.TrimSuffix("audit?"+next.Encode(), "?")
	}
	seq := func(n uint64) string { return strconv.FormatUint(n, 10) }
	at := func(name string, n uint64) string { return to(func(q url.Values) { q.Set(name, seq(n)) }) }
	first, oldest := q.Before-min(q.Before, 1), last
	if len(v.Records) > 0 {
		first, _ = strconv.ParseUint(v.Records[0].Seq, 10, 64) // 0 of what is no record: there is no newer page then
		oldest, _ = strconv.ParseUint(v.Records[len(v.Records)-1].Seq, 10, 64)
	} else if onwards {
		first, oldest = q.After, q.After+1
	}
	if !onwards {
		oldest = last
	}
	if onwards || q.Before > 0 {
		v.Newest = to(func(url.Values) {})
		if !onwards || len(v.Records) == q.Limit {
			v.Newer = at("after", first)
		}
	}
	if oldest > 1 {
		v.Older = at("before", oldest)
	}
	if len(v.Records) > 0 {
		v.Shown = fmt.Sprintf("%s, from number %s to %s, the newest first", plural(len(v.Records), "record"), v.Records[0].Seq, v.Records[len(v.Records)-1].Seq)
	} else if v.Older != "" && v.Problem == "" {
		v.Shown = "looked at down to number " + seq(oldest) + ": there is more before that"
	}
	for _, n := range []int{100, 300, 1000} {
		v.Sizes = append(v.Sizes, sizeChoice{n, to(func(q url.Values) { q.Set("limit", strconv.Itoa(n)) }), n == q.Limit})
	}
}

// records gives a page of the log: by the backend, or of the last records if it gives none.
func (h *handler) records(ctx context.Context, q AuditQuery) (records []json.RawMessage, last uint64, err error) {
	if pager, ok := h.backend.(AuditPager); ok {
		return pager.AuditPage(ctx, q)
	}
	var damage error
	for raw, err := range h.backend.Audit(ctx, maxPage, false) {
		if err != nil { // a damaged segment: what can be read of the others is shown
			damage = err
			continue
		}
		if q.fits(raw) {
			records = append(records, raw)
		}
	}
	if q.Newest {
		slices.Reverse(records)
	}
	if len(records) > q.Limit {
		records = records[:q.Limit]
		last = seqOf(records[q.Limit-1])
	}
	return records, last, damage
}

func seqOf(raw json.RawMessage) uint64 {
	var r struct {
		Seq uint64 `json:"seq"`
	}
	if json.Unmarshal(raw, &r) != nil {
		return 0
	}
	return r.Seq
}

// fits is for records of a backend that does not look for them itself.
func (q AuditQuery) fits(raw json.RawMessage) bool {
	var r auditRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return q.Text == "" && len(q.Sessions)+len(q.Kinds)+len(q.Tools)+len(q.Outcomes) == 0 // it is to be seen that there is something
	}
	outcome := r.Outcome
	if r.Decision != nil {
		outcome = r.Decision.Outcome
	}
	one := func(of []string, value string) bool { return len(of) == 0 || slices.Contains(of, value) }
	kind := slices.ContainsFunc(q.Kinds, func(name string) bool {
		return name == r.Kind || strings.HasSuffix(name, ".") && strings.HasPrefix(r.Kind, name)
	})
	return (len(q.Kinds) == 0 || kind) && one(q.Sessions, r.Session) && one(toolname.Of(q.Tools), toolname.Now(r.Tool)) && one(q.Outcomes, outcome) &&
		(q.Turn == 0 || q.Turn == r.Turn) && (q.ToolUse == "" || q.ToolUse == r.ToolUseID || q.ToolUse == r.ParentToolUseID) &&
		!r.Time.Before(q.Since) && (q.Until.IsZero() || r.Time.Before(q.Until)) && strings.Contains(string(raw), q.Text) &&
		r.Seq > q.After && (q.Before == 0 || r.Seq < q.Before)
}

// recordView is the page of one record.
type recordView struct {
	frame
	Record      auditItem
	Raw         string
	Newer       string
	Older       string
	SessionHref string
	ToolUse     string // address of what belongs to the same tool use
}

// record answers GET audit/{seq}: the record as JSON, or a page.
func (h *handler) record(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 62)
	if err != nil || seq == 0 {
		refuse(w, &Error{BadRequest, fmt.Sprintf("audit/%s: expected the number of a record", cut(r.PathValue("seq"), 40))})
		return
	}
	records, _, err := h.records(ctx, AuditQuery{After: seq - 1, Limit: 1})
	if err == nil && (len(records) == 0 || seqOf(records[0]) != seq) {
		err = &Error{NoSuchRecord, fmt.Sprintf("there is no record %d: it is not written yet, or was removed with its segment for being old", seq)}
	}
	if err != nil {
		refuse(w, err)
		return
	}
	raw := records[0]
	w.Header().Set("Vary", "Accept")
	if !prefers(r, "text/html", "application/json") {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(slices.Clone(raw), '\n')) // an error means that the client is gone
		return
	}
	v := recordView{
		frame: h.frame(fmt.Sprintf("Record %d", seq), "record", "../"), Record: auditItemOf(raw, h.now(), "../"), Raw: indented(raw),
		Newer: strconv.FormatUint(seq+1, 10), Older: strconv.FormatUint(seq-1, 10),
	}
	if seq == 1 {
		v.Older = ""
	}
	var fields auditRecord
	if json.Unmarshal(raw, &fields) == nil { // what it says is shown in any case
		if fields.Session != "" {
			v.SessionHref = "../sessions/" + url.PathEscape(fields.Session)
		}
		if fields.ToolUseID != "" {
			v.ToolUse = "../audit?" + url.Values{"tool_use": {fields.ToolUseID}}.Encode()
		}
	}
	h.render(w, r, "record", v)
}

// NoSuchRecord is the code of a record of the audit log that there is not: 404.
const NoSuchRecord Code = "no_such_record"

// lastOf gives the last records of a session, the newest first, as far back as that is quick.
func (h *handler) lastOf(ctx context.Context, session string, most int, base string) ([]auditItem, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	records, _, err := h.records(ctx, AuditQuery{Sessions: []string{session}, Newest: true, Limit: most})
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	var all []auditItem
	now := h.now()
	for _, raw := range records {
		all = append(all, auditItemOf(raw, now, base))
	}
	return all, err
}

func auditItemOf(raw json.RawMessage, now time.Time, base string) auditItem {
	var r auditRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return auditItem{Kind: "?", Detail: cut(string(raw), 200), Tone: "warn"}
	}
	seq := strconv.FormatUint(r.Seq, 10)
	a := auditItem{
		ID: "a-" + seq, Href: base + "audit/" + seq, Seq: seq, Kind: r.Kind, Session: r.Session, Tool: r.Tool, Who: r.Principal,
		At: since(r.Time, now), Turn: positive(r.Turn), Tone: "calm",
	}
	switch {
	case r.Decision != nil && r.IsError == nil: // a result has the decision before it too
		a.Outcome, a.Who = r.Decision.Outcome, r.Decision.By
		a.Detail = strings.TrimSpace(r.Decision.Rule + " " + r.Decision.Reason)
		a.Tone = "good"
		if r.Decision.Outcome != "allow" {
			a.Tone = "warn"
		}
	case r.Exit != nil:
		a.Outcome, a.Tone, a.Detail = "ended", "bad", r.Exit.Reason
	case r.IsError != nil && *r.IsError:
		a.Outcome, a.Tone = "error", "bad"
	case r.IsError != nil:
		a.Outcome, a.Tone = "ok", "good"
	}
	if a.Detail == "" {
		a.Detail = detailOf(r)
	}
	a.Detail = cut(a.Detail, 200)
	return a
}

// detailOf is a line about what else there is in a record.
func detailOf(r auditRecord) string {
	if fields, ok := r.Input.(map[string]any); ok {
		for _, key := range []string{"command", "file_path", "path", "pattern", "url", "query", "description"} {
			if text, ok := fields[key].(string); ok && text != "" {
				return strings.Join(strings.Fields(text), " ")
			}
		}
	}
	var parts []string
	for _, key := range []string{"action", "subtype", "cli_version", "resumed", "delay_ms", "duration_ms", "restarts", "path", "error"} {
		if value, ok := r.Detail[key]; ok {
			parts = append(parts, fmt.Sprintf("%s %v", strings.ReplaceAll(key, "_", " "), value))
		}
	}
	if r.CostUSD > 0 {
		parts = append(parts, fmt.Sprintf("$%.4f", r.CostUSD))
	}
	return strings.Join(parts, ", ")
}

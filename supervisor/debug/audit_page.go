package debug

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// auditView is the browser of the audit log.
type auditView struct {
	frame
	Text    string
	N       int
	Records []auditItem
	Problem string
	Sizes   []sizeChoice
}

type sizeChoice struct {
	N       int
	Href    string
	Current bool
}

// auditItem is a record of the audit log in words. What is in it is the log's to say: this package knows a few of
// the fields that records have.
type auditItem struct {
	ID                         string
	Seq, Kind, Session, Tool   string
	At                         *moment
	Who, Outcome, Tone, Detail string
	Turn                       string
	Raw                        string
}

// auditRecord are those fields.
type auditRecord struct {
	Seq       json.Number `json:"seq"`
	Time      time.Time   `json:"time"`
	Kind      string      `json:"kind"`
	Session   string      `json:"session"`
	Principal string      `json:"principal"`
	Turn      int         `json:"turn"`
	Tool      string      `json:"tool"`
	IsError   *bool       `json:"is_error"`
	Decision  *struct {
		Outcome, By, Rule, Reason string
	} `json:"decision"`
	Exit *struct {
		Reason string `json:"reason"`
	} `json:"exit"`
	CostUSD float64        `json:"cost_usd"`
	Detail  map[string]any `json:"detail"`
	Input   any            `json:"input"`
}

// auditPage shows the last records, of one n that have a text in them.
func (h *handler) auditPage(w http.ResponseWriter, r *http.Request, n int) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	v := auditView{frame: h.frame("Audit", "audit", "./"), Text: strings.TrimSpace(r.URL.Query().Get("q")), N: n}
	text := strings.ToLower(v.Text)
	records, err := h.auditTail(ctx, func(a auditItem) bool { return text == "" || strings.Contains(strings.ToLower(a.Raw), text) }, n, n)
	if err != nil {
		v.Problem = err.Error()
	}
	v.Records = records
	for _, size := range []int{100, 500, 2000} {
		q := url.Values{"n": {fmt.Sprint(size)}}
		if v.Text != "" {
			q.Set("q", v.Text)
		}
		v.Sizes = append(v.Sizes, sizeChoice{size, "audit?" + q.Encode(), size == n})
	}
	h.render(w, r, "audit", v)
}

// auditTail gives up to most of the last n records that are wanted, the newest first.
func (h *handler) auditTail(ctx context.Context, wanted func(auditItem) bool, n, most int) ([]auditItem, error) {
	var all []auditItem
	var problem error
	now := h.now()
	for raw, err := range h.backend.Audit(ctx, n, false) {
		if err != nil { // a damaged segment: what can be read of the others is shown
			problem = err
			continue
		}
		if a := auditItemOf(raw, now); wanted(a) {
			all = append(all, a)
		}
	}
	slices.Reverse(all)
	return all[:min(len(all), most)], problem
}

func auditItemOf(raw json.RawMessage, now time.Time) auditItem {
	var r auditRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return auditItem{Kind: "?", Detail: cut(string(raw), 200), Raw: string(raw), Tone: "warn"}
	}
	a := auditItem{
		ID: "a-" + r.Seq.String(), Seq: r.Seq.String(), Kind: r.Kind, Session: r.Session, Tool: r.Tool, Who: r.Principal,
		At: since(r.Time, now), Turn: positive(r.Turn), Raw: string(raw), Tone: "calm",
	}
	switch {
	case r.Decision != nil:
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

func queryEscape(text string) string { return url.QueryEscape(text) }

package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/understudy-run/understudy/audit/internal/format"
)

const (
	maxBody = 64 << 10 // of input, output and detail each
	maxHead = 16 << 10 // what is kept of a bigger one
	maxText = 8 << 10  // of any other text
)

// began is when MonoNS is 0.
var began = time.Now()

// encoded is a record on its way: all of it but what only the log knows.
type encoded struct {
	kind    Kind
	session string
	use     uint64 // the tool use that it begins or ends, 0 if none: see useOf
	rest    []byte // what follows the head, without a newline
}

// tallies are kept for the next record: most of what encoding one would allocate.
var tallies = sync.Pool{New: func() any { return new(tally) }}

// encode redacts a record and makes the payload's part behind the head, in a buffer that it may get.
func encode(r Record, red *redactor, levels levels, into []byte) (encoded, error) {
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	year := r.Time.UTC().Year()
	if year < 0 || year > 9999 {
		return encoded{}, fmt.Errorf("encode record: year %d: RFC 3339 knows 0 to 9999", year)
	}
	if bad(r.CostUSD) || bad(r.TotalCostUSD) {
		return encoded{}, errors.New("encode record: a cost that is no number")
	}
	n, _ := tallies.Get().(*tally)
	defer n.release()
	var detail []byte
	if len(r.Detail) > 0 {
		var err error
		if detail, err = json.Marshal(r.Detail); err != nil {
			return encoded{}, fmt.Errorf("encode detail: %w", err)
		}
	}
	session := cut(red.text(r.Session, n))
	w := fields{red: red, n: n, out: into[:0]}
	if need := 512 + len(r.Input) + len(r.Output) + len(detail); cap(w.out) < need {
		w.out = make([]byte, 0, need)
	}
	w.name("id")
	if r.ID == "" {
		w.out = appendID(append(w.out, '"'), r.Time)
		w.out = append(w.out, '"')
	} else {
		w.value(r.ID)
	}
	w.name("time")
	w.out = append(r.Time.UTC().AppendFormat(append(w.out, '"'), time.RFC3339Nano), '"')
	w.number("mono_ns", r.MonoNS)
	w.text("runtime", r.Runtime)
	w.text("actor", r.Actor)
	w.text("session_id", r.SessionID)
	w.number("generation", int64(r.Generation))
	w.number("turn", int64(r.Turn))
	use, at := uint64(0), len(w.out)
	w.text("tool_use_id", r.ToolUseID)
	if r.ToolUseID != "" && ofToolUse(r.Kind) {
		use = useOf(session, w.out[at+len(fieldNames[fieldToolUseID])+1:]) // behind the comma and the name
	}
	w.text("parent_tool_use_id", r.ParentToolUseID)
	w.text("agent_id", r.AgentID)
	w.text("tool", r.Tool)
	w.text("outcome", string(r.outcome()))
	w.json("input", levels.input.body(r.Input, red, n))
	w.json("output", levels.output.body(r.Output, red, n))
	if r.IsError != nil {
		w.name("is_error")
		w.out = strconv.AppendBool(w.out, *r.IsError)
	}
	if d := r.Decision; d != nil {
		w.object("decision", func() {
			w.name("outcome")
			w.value(string(d.Outcome))
			w.text("by", d.By)
			w.text("rule", d.Rule)
			w.texts("rules", d.Rules)
			w.text("reason", d.Reason)
		})
	}
	if e := r.Exit; e != nil {
		w.object("exit", func() {
			w.text("reason", e.Reason)
			w.name("code")
			w.out = strconv.AppendInt(w.out, int64(e.Code), 10)
			w.text("signal", e.Signal)
		})
	}
	w.float("cost_usd", r.CostUSD)
	w.float("total_cost_usd", r.TotalCostUSD)
	w.text("principal", r.Principal)
	w.text("policy", r.Policy)
	w.json("detail", body(detail, red, n))
	if len(n.counts) > 0 {
		w.name("redactions")
		for i, c := range n.counts {
			w.out = append(w.out, "[,"[min(i, 1)])
			w.out = fmt.Appendf(w.out, `{"rule":%q,"n":%d}`, c.Rule, c.N)
		}
		w.out = append(w.out, ']')
	}
	return encoded{r.Kind, session, use, append(w.out, '}')}, nil
}

func bad(f float64) bool { return math.IsNaN(f) || math.IsInf(f, 0) }

// fields writes the fields of a JSON object, zero ones left out: what encoding/json would write, in a third
// of its time.
type fields struct {
	red   *redactor
	n     *tally
	out   []byte
	begun bool // a comma goes before the next
}

func (w *fields) name(name string) {
	if w.begun {
		w.out = append(w.out, ',')
	}
	w.begun = true
	w.out = append(w.out, '"')
	w.out = append(w.out, name...)
	w.out = append(w.out, '"', ':')
}

func (w *fields) text(name, s string) {
	if s != "" {
		w.name(name)
		w.value(s)
	}
}

func (w *fields) texts(name string, all []string) {
	for i, s := range all {
		if i == 0 {
			w.name(name)
		}
		w.out = append(w.out, "[,"[min(i, 1)])
		w.value(s)
	}
	if len(all) > 0 {
		w.out = append(w.out, ']')
	}
}

func (w *fields) value(s string) { w.out = format.AppendString(w.out, cut(w.red.text(s, w.n))) }

func (w *fields) number(name string, n int64) {
	if n != 0 {
		w.name(name)
		w.out = strconv.AppendInt(w.out, n, 10)
	}
}

func (w *fields) float(name string, f float64) {
	if f == 0 {
		return
	}
	w.name(name)
	form := byte('f')
	if abs := math.Abs(f); abs < 1e-6 || abs >= 1e21 {
		form = 'e'
	}
	w.out = strconv.AppendFloat(w.out, f, form, -1, 64)
}

func (w *fields) json(name string, raw []byte) {
	if len(raw) > 0 {
		w.name(name)
		w.out = append(w.out, raw...)
	}
}

func (w *fields) object(name string, inside func()) {
	w.name(name)
	w.out = append(w.out, '{')
	w.begun = false
	inside()
	w.out = append(w.out, '}')
	w.begun = true
}

// body prepares JSON of any size and origin. It is valid as long as clean's is. Redaction comes before the cut and the digest: neither may
// give a secret away.
func body(raw []byte, red *redactor, n *tally) json.RawMessage {
	if len(raw) == 0 {
		return nil
	}
	out := clean(raw, red, n)
	if len(out) <= maxBody {
		return out
	}
	sum := sha256.Sum256(out)
	short := fmt.Appendf(nil, `{"truncated":true,"bytes":%d,"sha256":%q,"head":`, len(out), hex.EncodeToString(sum[:]))
	// The cut may make a secret out of an escape's first half.
	short = append(short, quote(red.text(string(out[:boundary(out, maxHead)]), n))...)
	return append(short, '}')
}

// clean is redacted, compact JSON. It is valid until the next call with the same tally.
func clean(raw []byte, red *redactor, n *tally) []byte {
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\ufffd"))
	}
	if isCompact(raw) {
		return red.json(raw, n)
	}
	n.compact.Reset()
	if err := json.Compact(&n.compact, raw); err != nil {
		out := append([]byte(`{"malformed":true,"text":`), quote(red.text(string(raw), n))...)
		return append(out, '}')
	}
	return red.json(n.compact.Bytes(), n)
}

// cut shortens a text that has no business being long.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes)", s[:boundary([]byte(s), maxText)], len(s))
}

// boundary is the end of the last whole rune within n bytes.
func boundary(s []byte, n int) int {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return n
}

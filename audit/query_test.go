package audit

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestQuery(t *testing.T) {
	trail := newTrail(t, Options{SegmentBytes: 1500}, nil)
	pid := start(t, trail)
	at := time.Date(2025, 11, 5, 8, 0, 0, 0, time.UTC)
	no, yes := false, true
	for _, r := range []Record{
		{Kind: TurnStarted, Session: "a", Turn: 1},
		{Kind: ToolIntent, Session: "a", Turn: 1, Tool: "Bash", ToolUseID: "t1", Input: json.RawMessage(`{"command":"rm -rf /tmp/x"}`)},
		{Kind: ToolDecision, Session: "a", Turn: 1, Tool: "Bash", ToolUseID: "t1", Decision: &Decision{Outcome: Deny, By: "rule"}},
		{Kind: ToolIntent, Session: "b", Turn: 1, Tool: "Task", ToolUseID: "t2"},
		{Kind: ToolIntent, Session: "b", Turn: 1, Tool: "Read", ToolUseID: "t3", ParentToolUseID: "t2"},
		{Kind: ToolResult, Session: "b", Turn: 1, Tool: "Read", ToolUseID: "t3", ParentToolUseID: "t2", IsError: &no},
		{Kind: ToolResult, Session: "b", Turn: 1, Tool: "Agent", ToolUseID: "t2", IsError: &no},
		{Kind: TurnResult, Session: "b", Turn: 1, IsError: &yes, CostUSD: 0.5},
	} {
		at = at.Add(time.Minute)
		r.Time = at
		require.NoError(t, trail.Append(deadline(t), r))
	}
	stop(t, pid)
	log := Log{trail.options.Dir}
	ask := func(f Filter) (turns []Kind) {
		for r, err := range log.Records(deadline(t), f) {
			require.NoError(t, err)
			if !strings.HasPrefix(string(r.Kind), "log.") {
				turns = append(turns, r.Kind)
			}
		}
		return turns
	}
	assert.Len(t, ask(Filter{}), 8)
	assert.Equal(t, []Kind{TurnStarted, ToolIntent, ToolDecision}, ask(Filter{Sessions: []string{"a"}}))
	assert.Equal(t, []Kind{ToolDecision}, ask(Filter{Outcomes: []Outcome{Deny}}))
	assert.Equal(t, []Kind{TurnResult}, ask(Filter{Outcomes: []Outcome{Failed}}))
	assert.Equal(t, []Kind{ToolResult, ToolResult}, ask(Filter{Outcomes: []Outcome{OK}}))
	assert.Equal(t, []Kind{ToolIntent}, ask(Filter{Text: "rm -rf"}))
	assert.Equal(t, []Kind{ToolIntent, ToolIntent, ToolResult, ToolResult}, ask(Filter{ToolUse: "t2"}))
	assert.Equal(t, []Kind{ToolIntent, ToolResult}, ask(Filter{Tools: []string{"Read"}}))
	for _, name := range []string{"Task", "Agent"} { // one tool, by its earlier name and by the one it has
		assert.Equal(t, []Kind{ToolIntent, ToolResult}, ask(Filter{Tools: []string{name}}), "%s", name)
		assert.Equal(t, []Kind{ToolResult}, ask(Filter{Tools: []string{name}, Outcomes: []Outcome{OK}, ToolUse: "t2", Kinds: []Kind{ToolResult}}), "%s", name)
	}
	assert.Equal(t, []Kind{ToolIntent, ToolIntent}, ask(Filter{Kinds: []Kind{ToolIntent}, Sessions: []string{"b"}}))
	assert.Equal(t, []Kind{TurnResult}, ask(Filter{Since: at, Until: at.Add(1)}))
	assert.Empty(t, ask(Filter{Until: at.Add(-time.Hour)}))
	assert.Len(t, ask(Filter{Sessions: []string{"b"}, Limit: 2}), 2)
	var last uint64 // where the segments end depends on what records come to
	for r, err := range log.Records(deadline(t), Filter{Kinds: []Kind{TurnResult}}) {
		require.NoError(t, err)
		last = r.Seq
	}
	assert.Equal(t, []Kind{TurnResult}, ask(Filter{Turn: 1, After: last - 1}))

	for _, encoding := range Encodings {
		for r, err := range log.Records(deadline(t), Filter{}) {
			require.NoError(t, err)
			line, err := encoding.Encode(r, "source")
			require.NoError(t, err)
			assert.NotContains(t, string(line), "\n")
			var v map[string]any
			require.NoError(t, json.Unmarshal(line, &v))
			switch encoding {
			case JSONL:
				assert.EqualValues(t, r.Seq, v["seq"])
			case CloudEvents:
				assert.Equal(t, "run.understudy.audit."+string(r.Kind), v["type"])
				assert.Equal(t, "1.0", v["specversion"])
				assert.Equal(t, r.ID, v["id"])
				assert.Equal(t, "source", v["source"])
			case OCSF:
				assert.EqualValues(t, 6003, v["class_uid"])
				assert.EqualValues(t, 600300+v["activity_id"].(float64), v["type_uid"])
				// The captions of numbers are OCSF's; ours is in status_code and event_code, and the caption of "other".
				caption := map[float64]any{1: "Create", 2: "Read", 99: string(r.Kind)}[v["activity_id"].(float64)]
				assert.Equal(t, caption, v["activity_name"])
				assert.Equal(t, []any{"Unknown", "Success", "Failure"}[int(v["status_id"].(float64))], v["status"])
				assert.Equal(t, string(r.Kind), v["metadata"].(map[string]any)["event_code"])
				if r.Outcome != "" {
					assert.Equal(t, string(r.Outcome), v["status_code"])
				}
			case OTLP:
				assert.Contains(t, string(line), `"eventName":"`+string(r.Kind)+`"`)
				assert.Contains(t, string(line), `"intValue":"`+fmt.Sprint(r.Seq)+`"`, "64-bit numbers are strings in protobuf's JSON")
			}
		}
	}
	_, err := Encoding("xml").Encode(Record{}, "")
	require.ErrorContains(t, err, "expected one of [jsonl cloudevents ocsf otlp]")
}

// What is left out by its bytes is what does not fit.
func TestSieveLetsThroughWhatFits(t *testing.T) {
	text := rapid.SampledFrom([]string{"", "a", "Bash", `q"uote`, "back\\slash", "new\nline", "\u00e9\u2028", "<b>", "sk-tool", "7", "77"})
	at := time.Date(2025, 11, 5, 8, 0, 0, 0, time.UTC)
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		return at.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "seconds"))*time.Second + time.Duration(rapid.SampledFrom([]int{0, 1, 5e8, 999999999}).Draw(t, "ns")))
	})
	outcome := rapid.SampledFrom([]Outcome{"", OK, Deny, Failed})
	fits, left := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		r := Record{
			Kind: ToolIntent, Session: text.Draw(t, "session"), Turn: rapid.IntRange(0, 12).Draw(t, "turn"), Tool: text.Draw(t, "tool"),
			ToolUseID: text.Draw(t, "use"), ParentToolUseID: text.Draw(t, "parent"), Outcome: outcome.Draw(t, "outcome"), Time: moment.Draw(t, "time"),
			Detail: map[string]any{"time": text.Draw(t, "detail"), "outcome": "ok", "tool": "Bash"},
		}
		e, err := encode(r, newRedactor(nil, nil), levels{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		written, err := decode(whole(e))
		if err != nil {
			t.Fatal(err)
		}
		f := Filter{Turn: rapid.SampledFrom([]int{0, 0, 1, 7}).Draw(t, "of turn"), ToolUse: rapid.SampledFrom([]string{"", "", `q"uote`, "7"}).Draw(t, "of use")}
		f.Tools = rapid.SliceOfN(text, 0, 2).Draw(t, "of tools")
		f.Outcomes = rapid.SliceOfN(outcome, 0, 2).Draw(t, "of outcomes")
		if rapid.Bool().Draw(t, "bounded") {
			f.Since, f.Until = moment.Draw(t, "since"), moment.Draw(t, "until")
		}
		lets := newSieve(&f).lets(whole(e))
		if !lets {
			left++
		}
		if f.Match(&written) {
			fits++
			if !lets {
				t.Fatalf("%s was left out by %+v", whole(e), f)
			}
		}
	})
	assert.Positive(t, fits)
	assert.Positive(t, left)
}

func TestLevels(t *testing.T) {
	const key = "ghp_abcdefghijklmnopqrstuvwxyz0123"
	trail := newTrail(t, Options{Redact: []string{"known-secret"}, Levels: []LevelRule{
		{Tool: "Read", Path: "/etc/**", Input: LevelRedacted, Output: LevelNone},
		{Tool: "Read", Output: LevelMetadata},
		{Tool: "mcp__*", Input: LevelDigest, Output: LevelDigest},
		{Tool: "Full", Input: LevelFull},
		{Tool: "Tas?", Input: LevelNone, Output: LevelNone},
	}}, nil)
	pid := start(t, trail)
	for _, r := range []Record{
		{Kind: ToolIntent, Tool: "Read", ToolUseID: "1", Input: json.RawMessage(`{"file_path":"/etc/ssl/key"}`)},
		{Kind: ToolResult, Tool: "Read", ToolUseID: "1", Output: json.RawMessage(`"x"`)},
		{Kind: ToolIntent, Tool: "Read", ToolUseID: "2", Input: json.RawMessage(`{"file_path":"/home/x"}`)},
		{Kind: ToolResult, Tool: "Read", ToolUseID: "2", Output: json.RawMessage(`"xyz"`)},
		{Kind: ToolIntent, Tool: "mcp__a__b", ToolUseID: "3", Input: json.RawMessage(`{"a": 1}`)},
		{Kind: ToolIntent, Tool: "Full", Input: json.RawMessage(`{"a":"` + key + ` known-secret"}`)},
		{Kind: ToolIntent, Tool: "Other", Input: json.RawMessage(`{"a":"` + key + ` known-secret","password":"x"}`)},
		{Kind: ToolIntent, Tool: "Agent", Input: json.RawMessage(`{"prompt":"by the tool's earlier name"}`)},
	} {
		require.NoError(t, trail.Append(deadline(t), r))
	}
	stop(t, pid)
	records := read(t, trail.options.Dir)[1:]
	assert.Nil(t, records[1].Output)
	assert.JSONEq(t, `{"level":"metadata","bytes":5}`, string(records[3].Output))
	assert.JSONEq(t, `{"level":"digest","bytes":7,"sha256":"015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"}`, string(records[4].Input))
	assert.Equal(t, `{"a":"`+key+` [redacted]"}`, unmark(string(records[5].Input)))
	assert.Equal(t, []Redaction{{"value", 1}}, records[5].Redactions)
	assert.Equal(t, `{"a":"[redacted] [redacted]","password":"[redacted]"}`, unmark(string(records[6].Input)))
	assert.ElementsMatch(t, []Redaction{{"github-token", 1}, {"value", 1}, {"field", 1}}, records[6].Redactions)
	assert.Nil(t, records[7].Input)

	_, err := newTrail(t, Options{Levels: []LevelRule{{Input: "some"}}}, nil).Start(deadline(t))
	require.ErrorContains(t, err, "expected none, metadata")
	_, err = newTrail(t, Options{Levels: []LevelRule{{Tool: "["}}}, nil).Start(deadline(t))
	require.ErrorContains(t, err, "syntax error in pattern")
}

func TestPatterns(t *testing.T) {
	red := newRedactor(nil, []byte("salt"))
	for rule, text := range map[string]string{
		"anthropic-key": "key sk-ant-api03-abcdefgh1234", "openai-key": "sk-proj-abcdefghij0123456789",
		"github-token": "ghp_abcdefghijklmnopqrstuvwxyz0123", "gitlab-token": "glpat-abcdefghijklmnop1234",
		"slack-token": "xoxb-1234567890-abc", "aws-key": "AKIAABCDEFGHIJKLMNOP",
		"aws-secret": "aws_secret_access_key = abcdefghijklmnopqrstuvwxyz0123456789ABCD", "google-key": "AIzaabcdefghijklmnopqrstuvwxyz012345678",
		"npm-token": "npm_abcdefghijklmnopqrstuvwxyz0123456789", "huggingface-token": "hf_abcdefghijklmnopqrstuvwxyz0123456789",
		"stripe-key": "sk_live_abcdefghijklmnop", "jwt": "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
		"private-key":  "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
		"url-password": "postgres://user:hunter22@db/x", "authorization": "Authorization: Bearer abcdefghijk",
		"assignment": "DB_PASSWORD=hunter22 run --quiet",
	} {
		n := &tally{}
		got := red.text(text, n)
		assert.Contains(t, got, "[redacted ", text)
		require.NotEmpty(t, n.counts, text)
		assert.Equal(t, rule, n.counts[0].Rule, text)
		assert.Equal(t, got, red.text(got, &tally{}), "a mark is let be")
		// In JSON, and in JSON in JSON, whose escapes split it.
		inner := quote(text)
		outer := quote(string(inner))
		for _, raw := range [][]byte{inner, outer} {
			clean := red.json(raw, &tally{})
			assert.True(t, json.Valid(clean))
			assert.Contains(t, string(clean), "[redacted "+rule, "%s", raw)
		}
	}
	for _, text := range []string{"", "an ordinary text", "https://example.com/a:b@c", "task-force", "the password is secret", `{"a":"b"}`,
		"password=args.password", "export TOKEN=$(cat token)", "--max-tokens=4096000", "--token --verbose", "--token-file=/etc/token.txt", "SECRET=", "next page: token=abcdef"} {
		assert.Equal(t, text, red.text(text, &tally{}))
	}
	for text, want := range map[string]string{
		"PGPASSWORD='hunter22' psql":                     "PGPASSWORD='[redacted]' psql",
		"mysql --db-password=hunter22 -p x":              "mysql --db-password=[redacted] -p x",
		"tool --api-key hunter22; ls":                    "tool --api-key [redacted]; ls",
		"curl 'https://x/y?a=1&access_token=hunter22&b'": "curl 'https://x/y?a=1&access_token=[redacted]&b'",
	} {
		assert.Equal(t, want, unmark(red.text(text, &tally{})))
	}
	// All that stands under the name of a secret is one, however deep, and nothing behind it.
	for in, want := range map[string]string{
		`{"apiKey":["a","b"],"c":"d"}`:                        `{"apiKey":["[redacted]","[redacted]"],"c":"d"}`,
		`{"password":{"value":"a","n":[1,[true]]},"c":[2]}`:   `{"password":{"value":"[redacted]","n":["[redacted]",[true]]},"c":[2]}`,
		`[{"password":1234},{"c":{"d":"e"}},"f"]`:             `[{"password":"[redacted]"},{"c":{"d":"e"}},"f"]`,
		`{"password":null,"secret":"","authorization":false}`: `{"password":null,"secret":"","authorization":false}`,
		`{"password":{},"c":"d","secret":[],"e":"f"}`:         `{"password":{},"c":"d","secret":[],"e":"f"}`,
	} {
		out := red.json([]byte(in), &tally{})
		assert.Equal(t, want, unmark(string(out)))
		assert.True(t, json.Valid(out))
	}
	same := newRedactor([]string{"secret-one"}, []byte("salt"))
	assert.Equal(t, same.text("secret-one", &tally{}), same.text("secret-one", &tally{}))
	assert.NotEqual(t, same.text("secret-one", &tally{}), same.salted([]byte("other")).text("secret-one", &tally{}))
}

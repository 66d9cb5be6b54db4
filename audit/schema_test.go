package audit

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSchema has a schema for each kind, whose fields are those of Record.
func TestSchema(t *testing.T) {
	var fields []string
	for field := range reflect.TypeFor[Record]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields = append(fields, name)
	}
	var known []Kind
	for _, s := range Schema() {
		known = append(known, s.Kind)
		assert.NotEmpty(t, s.Text, s.Kind)
		for _, name := range slices.Concat(s.Always, s.Sometimes) {
			name, _, _ = strings.Cut(name, ".")
			assert.Contains(t, fields, name, s.Kind)
		}
	}
	slices.Sort(known)
	assert.Equal(t, Kinds(), known)
	for _, name := range common {
		assert.Contains(t, fields, name)
	}
}

func TestCheck(t *testing.T) {
	gap := Record{Seq: 3, Kind: LogGap, Lost: 1, Detail: map[string]any{"count": 1, "kinds": 1, "reasons": 1, "first": 1, "last": 1}}
	require.NoError(t, Check(gap))
	gap.Tool = "Bash"
	require.EqualError(t, Check(gap), "record 3, log.gap: tool is not in its schema")
	gap.Tool, gap.Detail["more"] = "", 1
	require.EqualError(t, Check(gap), "record 3, log.gap: detail.more is not in its schema")
	delete(gap.Detail, "more")
	delete(gap.Detail, "kinds")
	require.EqualError(t, Check(gap), "record 3, log.gap: detail.kinds is missing")
	require.Error(t, Check(Record{Kind: "none"}))
	require.NoError(t, Check(Record{Kind: AdminAction, Principal: "uid 0", Detail: map[string]any{"action": "x", "more": 1}}))
}

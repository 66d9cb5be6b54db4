package config

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// kinds are the Go types that options may grow fields of.
type kinds struct {
	Small  int8              `json:"small"`
	Byte   uint8             `json:"byte"`
	Big    uint64            `json:"big"`
	Float  float32           `json:"float"`
	Ptr    *int              `json:"ptr"`
	Maybe  *bool             `json:"maybe"`
	Delays []time.Duration   `json:"delays"`
	Limits map[string]int    `json:"limits"`
	Any    any               `json:"any"`
	Inner  *kinds            `json:"inner"`
	Groups map[string][]bool `json:"groups"`
	Skip   int               `json:"-"`
}

func decodeKinds(t *testing.T, text string) (kinds, error) {
	t.Helper()
	r, b := &report{file: "x"}, &budget{left: maxValues}
	root := parseText(text, r, b)
	require.NotNil(t, root)
	k := kinds{Limits: map[string]int{"old": 1}}
	d := &decoder{report: r, surroundings: directories("N=7"), budget: b}
	d.structure("", root, reflect.ValueOf(&k).Elem())
	return k, r.err()
}

func TestDecodeKinds(t *testing.T) {
	yes, seven := true, 7
	got, err := decodeKinds(t, `{small: -128, byte: 255, big: 18446744073709551615, float: 1e3, ptr: "${env:N}", maybe: true,
  delays: [1s, 2m], limits: {new: 2}, any: {a: [0x10, 0o17, 010, +5, 1_000, TRUE, Null, yes, 1., 99999999999999999999]},
  inner: {small: 1}, groups: {a: [true, false]}}`)
	require.NoError(t, err)
	assert.Equal(t, kinds{
		Small: -128, Byte: 255, Big: 1<<64 - 1, Float: 1000, Ptr: &seven, Maybe: &yes, Delays: []time.Duration{time.Second, 2 * time.Minute},
		Limits: map[string]int{"old": 1, "new": 2},
		Any:    map[string]any{"a": []any{int64(16), int64(15), "010", int64(5), "1_000", true, nil, "yes", 1.0, 1e20}},
		Inner:  &kinds{Small: 1}, Groups: map[string][]bool{"a": {true, false}},
	}, got)
	got, err = decodeKinds(t, `{any: , ptr: null, inner: ~}`)
	assert.EqualError(t, err, `x:1:2: any: no value after the key; give one, or remove the key; null takes back what the defaults say`)
	assert.Nil(t, got.Ptr)
}

func TestDecodeKindsMistakes(t *testing.T) {
	_, err := decodeKinds(t, `{small: 128, byte: -1, big: 18446744073709551616, float: 1e99, ptr: x, maybe: 1, delays: [1, 2s, x],
  limits: {a: b}, inner: {small: 1.5, nothing: 1}, groups: {a: [1]}, Skip: 1, skip: 1, any: [.inf]}`)
	assert.EqualError(t, err, `x:1:9: small: expected a whole number that fits into 8 bits (got "128")
x:1:20: byte: expected a whole number from 0 that fits into 8 bits (got "-1")
x:1:29: big: expected a whole number from 0 that fits into 64 bits (got "18446744073709551616")
x:1:58: float: expected a number that is not as large (got "1e99")
x:1:69: ptr: expected a whole number (got "x")
x:1:79: maybe: expected true or false (got "1"); did you mean true?
x:1:91: delays[0]: expected a duration such as 5s or 1m30s (got "1"); for seconds, write 1s
x:1:98: delays[2]: expected a duration such as 5s or 1m30s (got "x")
x:2:15: limits.a: expected a whole number (got "b")
x:2:34: inner.small: expected a whole number (got "1.5")
x:2:39: inner.nothing: unknown key (got "nothing"); expected one of: any, big, byte, delays, float, groups, inner, limits, maybe, ptr, small
x:2:65: groups.a[0]: expected true or false (got "1"); did you mean true?
x:2:70: Skip: unknown key (got "Skip"); expected one of: any, big, byte, delays, float, groups, inner, limits, maybe, ptr, small
x:2:79: skip: unknown key (got "skip"); expected one of: any, big, byte, delays, float, groups, inner, limits, maybe, ptr, small
x:2:94: any[0]: expected a finite number (got ".inf")`)
}

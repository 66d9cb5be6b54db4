package config

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	wholeNumber   = regexp.MustCompile(`^[-+]?(?:0|[1-9][0-9]*)$`)
	anyInteger    = regexp.MustCompile(`^[-+]?[0-9]+$|^0o[0-7]+$|^0x[0-9a-fA-F]+$`)
	decimalNumber = regexp.MustCompile(`^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$`)
	specialNumber = regexp.MustCompile(`^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$`)
)

// scalar is the text for a type that is written as a single value. Quoted says that it stands in quotes, and so
// is text, no number; a value from the environment may be either.
func (d *decoder) scalar(path string, n *node, expected string) (text string, quoted, fromEnv, ok bool) {
	if n.kind != scalarNode {
		return "", false, false, d.mismatch(path, n, expected, "")
	}
	text, fromEnv, ok = d.text(path, n)
	return text, !n.plain && !fromEnv, fromEnv, ok
}

func (d *decoder) string(path string, n *node, v reflect.Value) bool {
	if n.kind != scalarNode {
		return d.mismatch(path, n, "text", "")
	}
	if n.plain && !isText(n.text) {
		return d.mismatch(path, n, "text", "put it in quotes")
	}
	text, _, ok := d.text(path, n)
	if !ok {
		return false
	}
	if strings.ContainsRune(text, 0) {
		return d.problem(path, n, "text must not hold a NUL character", "")
	}
	v.SetString(text)
	return true
}

// isText reports whether a scalar without quotes is text, and not a number or a boolean.
func isText(s string) bool {
	switch plainValue(s).(type) {
	case string:
		return true
	}
	return false
}

// plainValue is what a scalar without quotes means by YAML's core schema, but for integers with leading zeros:
// they are octal to some and decimal to others, and are left as text.
func plainValue(s string) any {
	switch s {
	case "true", "True", "TRUE":
		return true
	case "false", "False", "FALSE":
		return false
	}
	switch {
	case wholeNumber.MatchString(s), strings.HasPrefix(s, "0x") && anyInteger.MatchString(s), strings.HasPrefix(s, "0o") && anyInteger.MatchString(s):
		if i, err := strconv.ParseInt(strings.TrimPrefix(s, "+"), 0, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(strings.TrimPrefix(s, "+"), 0, 64); err == nil {
			return u
		}
		f, _ := strconv.ParseFloat(s, 64) // an integer beyond 64 bits; out of range is infinite, which is refused
		return f
	case anyInteger.MatchString(s):
		return s
	case decimalNumber.MatchString(s):
		f, _ := strconv.ParseFloat(s, 64)
		return f
	case specialNumber.MatchString(s):
		return math.NaN()
	}
	return s
}

func (d *decoder) bool(path string, n *node, v reflect.Value) bool {
	const expected = "true or false"
	text, quoted, _, ok := d.scalar(path, n, expected)
	if !ok {
		return false
	}
	b, isBool := plainValue(text).(bool)
	switch {
	case isBool && quoted:
		return d.mismatch(path, n, expected, "remove the quotes")
	case !isBool:
		hint := ""
		switch strings.ToLower(n.text) {
		case "yes", "on", "y", "1":
			hint = "did you mean true?"
		case "no", "off", "n", "0":
			hint = "did you mean false?"
		}
		return d.mismatch(path, n, expected, hint)
	}
	v.SetBool(b)
	return true
}

func (d *decoder) integer(path string, n *node, v reflect.Value) bool {
	const expected = "a whole number"
	text, quoted, _, ok := d.scalar(path, n, expected)
	if !ok {
		return false
	}
	switch {
	case quoted && anyInteger.MatchString(text):
		return d.mismatch(path, n, expected, "remove the quotes")
	case !wholeNumber.MatchString(text):
		hint := ""
		if anyInteger.MatchString(text) {
			hint = "write it in decimal, without leading zeros"
		}
		return d.mismatch(path, n, expected, hint)
	}
	if v.CanUint() {
		u, err := strconv.ParseUint(strings.TrimPrefix(text, "+"), 10, v.Type().Bits())
		if err != nil {
			return d.mismatch(path, n, fmt.Sprintf("a whole number from 0 that fits into %d bits", v.Type().Bits()), "")
		}
		v.SetUint(u)
		return true
	}
	i, err := strconv.ParseInt(text, 10, v.Type().Bits())
	if err != nil {
		return d.mismatch(path, n, fmt.Sprintf("a whole number that fits into %d bits", v.Type().Bits()), "")
	}
	v.SetInt(i)
	return true
}

func (d *decoder) float(path string, n *node, v reflect.Value) bool {
	const expected = "a number"
	text, quoted, _, ok := d.scalar(path, n, expected)
	if !ok {
		return false
	}
	isNumber := decimalNumber.MatchString(text)
	switch {
	case isNumber && quoted:
		return d.mismatch(path, n, expected, "remove the quotes")
	case !isNumber:
		hint := ""
		if strings.HasPrefix(n.text, "$") && !strings.HasPrefix(n.text, "${") {
			hint = "remove the $"
		}
		return d.mismatch(path, n, expected, hint)
	}
	f, err := strconv.ParseFloat(text, v.Type().Bits())
	if err != nil {
		return d.mismatch(path, n, "a number that is not as large", "")
	}
	v.SetFloat(f)
	return true
}

const aDuration = "a duration such as 5s or 1m30s"

func (d *decoder) duration(path string, n *node, v reflect.Value) bool {
	text, _, fromEnv, ok := d.scalar(path, n, aDuration)
	if !ok {
		return false
	}
	if text == "0" { // time.ParseDuration takes it; a number has no unit here
		return d.mismatch(path, n, aDuration, withUnit(n, text, fromEnv))
	}
	value, err := time.ParseDuration(text)
	if err != nil {
		return d.mismatch(path, n, aDuration, withUnit(n, text, fromEnv))
	}
	v.SetInt(int64(value))
	return true
}

// withUnit is the hint for a duration without a unit.
func withUnit(n *node, text string, fromEnv bool) string {
	if !decimalNumber.MatchString(text) {
		return ""
	}
	if fromEnv {
		text = n.text
	}
	return fmt.Sprintf("for seconds, write %ss", cut(text))
}

// unmarshalText is for types that know their own names. Their error is ours, but for what it repeats.
func (d *decoder) unmarshalText(path string, n *node, v reflect.Value) bool {
	words := wordsOf(v.Type())
	expected := "text"
	if len(words) > 0 {
		expected = oneOf(words)
	}
	text, _, fromEnv, ok := d.scalar(path, n, expected)
	if !ok {
		return false
	}
	p := reflect.New(v.Type())
	err := p.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	if err == nil {
		v.Set(p.Elem())
		return true
	}
	if fromEnv {
		// The error holds the value. The same error about what is written does not.
		if err = reflect.New(v.Type()).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.text)); err == nil {
			return d.mismatch(path, n, expected, "")
		}
	}
	hint := suggest(n.text, words)
	if v.Type() == shutdownType {
		hint = cmp.Or(withUnit(n, text, fromEnv), hint)
	}
	return d.problem(path, n, expectation(err), hint)
}

// expectation is the part of an error like `restart "x": expected a, b or c` that does not repeat key and value.
func expectation(err error) string {
	message := err.Error()
	for _, word := range []string{": expected ", ": want "} {
		if i := strings.LastIndex(message, word); i >= 0 {
			return "expected " + message[i+len(word):]
		}
	}
	return message
}

// json hands a value to a type that reads JSON.
func (d *decoder) json(path string, n *node, v reflect.Value) bool {
	const expected = "a path, a JSON object as text, or a mapping"
	var value any
	fromEnv := false
	switch n.kind {
	case mappingNode:
		var ok bool
		if value, ok = d.any(path, n, nil); !ok {
			return false
		}
	case scalarNode:
		if n.plain && !isText(n.text) {
			return d.mismatch(path, n, expected, "")
		}
		var text string
		var ok bool
		if text, fromEnv, ok = d.text(path, n); !ok {
			return false
		}
		if strings.ContainsRune(text, 0) {
			return d.problem(path, n, "text must not hold a NUL character", "")
		}
		value = text
	default:
		return d.mismatch(path, n, expected, "")
	}
	data, err := json.Marshal(value)
	if err != nil {
		return d.mismatch(path, n, expected, "")
	}
	p := reflect.New(v.Type())
	if err := p.Interface().(json.Unmarshaler).UnmarshalJSON(data); err != nil {
		hint := ""
		if !fromEnv { // the error holds parts of the value
			hint = err.Error()
		}
		return d.mismatch(path, n, expected, hint)
	}
	v.Set(p.Elem())
	return true
}

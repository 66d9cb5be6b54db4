package main

import (
	"bytes"
	"strings"
	"testing"
)

// A small run of everything: whoever takes part answers every measurement.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, scale{killed: 10, crashes: 20, loop: 20, children: 20, samples: 100}, 1); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, r := range rows {
		if !strings.Contains(text, "| "+r.text+" | "+r.unit+" |") {
			t.Errorf("no row %q in\n%s", r.text, text)
		}
	}
	missing := 1 // suture has no templates
	if !strings.Contains(text, "OTP skipped") {
		missing += 2 // OTP's long loop takes too long
	}
	if got := strings.Count(text, "–"); got != missing {
		t.Errorf("%d measurements are missing, want %d, in\n%s", got, missing, text)
	}
}

func TestCell(t *testing.T) {
	runs := []figures{{"a": 1234567}, {"a": 99.96}, {"a": 4.567}, {"b": 1}}
	for _, c := range []struct {
		row  row
		want string
	}{
		{row{key: "a"}, "4.57 / 100 / 1,230,000"},
		{row{key: "a", most: true}, "1,230,000 / 100 / 4.57"},
		{row{key: "c"}, "–"},
	} {
		if got := c.row.cell(runs); got != c.want {
			t.Errorf("%+v: %q, want %q", c.row, got, c.want)
		}
	}
}

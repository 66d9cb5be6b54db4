package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// row is one line of the table.
type row struct {
	key  string
	text string
	unit string
	most bool // more is better
}

var rows = []row{
	{"killed", "1,000 children killed at once", "restarts/s", true},
	{"storm", "one child crashing 10,000 times in a row", "restarts/s", true},
	{"storm.first", "the first thousand of them", "restarts/s", true},
	{"storm.last", "the last thousand of them", "restarts/s", true},
	{"loop.first", "one child crashing 100,000 times in a row: the first half", "restarts/s", true},
	{"loop.second", "the second half", "restarts/s", true},
	{"started", "10,000 children started by one caller, one_for_one", "ms", false},
	{"instances", "the same, simple_one_for_one", "ms", false},
	{"crash.alone.p50", "crash to new child running, p50", "µs", false},
	{"crash.alone.p99", "the same, p99", "µs", false},
	{"crash.among.p50", "the same among 10,000 siblings, p50", "µs", false},
	{"crash.among.p99", "the same among 10,000 siblings, p99", "µs", false},
	{"memory", "memory per idle child", "bytes", false},
}

// column is one supervisor's runs.
type column struct {
	name string
	runs []figures
}

// print writes the table: best, median and worst of the runs.
func print(w io.Writer, columns []column) error {
	var b strings.Builder
	b.WriteString("| best / median / worst | unit |")
	for _, c := range columns {
		fmt.Fprintf(&b, " %s |", c.name)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---:|", len(columns)) + "\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s |", r.text, r.unit)
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", r.cell(c.runs))
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r row) cell(runs []figures) string {
	var values []float64
	for _, f := range runs {
		if v, measured := f[r.key]; measured {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return "–"
	}
	slices.Sort(values)
	if r.most {
		slices.Reverse(values)
	}
	return number(values[0]) + " / " + number(values[len(values)/2]) + " / " + number(values[len(values)-1])
}

// number gives three digits, which is more than the runs agree on.
func number(v float64) string {
	if v == 0 {
		return "0"
	}
	digits := int(math.Floor(math.Log10(math.Abs(v)))) // of the leading one
	unit := math.Pow(10, float64(digits-2))
	v = math.Round(v/unit) * unit
	if v < 100 {
		return strconv.FormatFloat(v, 'f', max(2-digits, 0), 64)
	}
	return thousands(int64(v))
}

func thousands(n int64) string {
	if n < 1000 && n > -1000 {
		return strconv.FormatInt(n, 10)
	}
	return thousands(n/1000) + fmt.Sprintf(",%03d", max(n, -n)%1000)
}

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Diagnostic is one thing that is wrong with a configuration.
type Diagnostic struct {
	// File is the file's name as it was given, or "-o #2" for the second pair of ParseSession.
	File string `json:"file"`
	// Line and Col count from 1, Col in characters. Both are 0 if the trouble has no place in a file.
	Line int `json:"line,omitzero"`
	Col  int `json:"col,omitzero"`
	// Path is the key, such as sessions.reviewer.max_turns or defaults.add_dir[0].
	Path string `json:"path,omitzero"`
	// Value is what is there, as it is written: never what ${env:…} stands for, and [redacted] for a secret.
	Value string `json:"value,omitzero"`
	// Message says what was expected, Hint what to do about it.
	Message string `json:"message"`
	Hint    string `json:"hint,omitzero"`

	source *source
	caret  int   // column in source
	row    int   // line in source
	cause  error // for errors.Is: why a file could not be read
}

// String is the diagnostic on one line.
func (d Diagnostic) String() string {
	var b strings.Builder
	b.WriteString(d.head())
	if d.Hint != "" {
		b.WriteString("; ")
		b.WriteString(d.Hint)
	}
	return b.String()
}

func (d Diagnostic) head() string {
	return d.place() + ": " + d.what()
}

func (d Diagnostic) place() string {
	place := printable(d.File)
	if d.Line > 0 {
		place += fmt.Sprintf(":%d:%d", d.Line, d.Col)
	}
	return place
}

func (d Diagnostic) what() string {
	what := printable(d.Message)
	if d.Path != "" {
		what = printable(d.Path) + ": " + what
	}
	if d.Value != "" {
		what += " (got " + quote(d.Value) + ")"
	}
	return what
}

// Diagnostics are all that is wrong with a configuration, in the order of the file.
type Diagnostics []Diagnostic

// Error is one line for each diagnostic, as editors and CI systems know them:
//
//	FILE:LINE:COL: PATH: MESSAGE (got "VALUE"); HINT
func (ds Diagnostics) Error() string {
	lines := make([]string, len(ds))
	for i, d := range ds {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.Is what the operating system said, such as fs.ErrNotExist.
func (ds Diagnostics) Unwrap() []error {
	var causes []error
	for _, d := range ds {
		if d.cause != nil {
			causes = append(causes, d.cause)
		}
	}
	return causes
}

// Render is for a terminal: each diagnostic with the lines of the file around it and a mark under the place.
// Secrets are masked in these lines. With color it uses ANSI escape sequences. After 100 diagnostics there are no more lines
// of the file.
func (ds Diagnostics) Render(color bool) string {
	paint := func(code, s string) string {
		if !color || s == "" {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	const bold, red, dim, cyan = "1", "1;31", "2", "36"
	var b strings.Builder
	for i, d := range ds {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s %s\n", paint(bold, d.place()+":"), paint(red, d.what()))
		if d.source != nil && i < maxExcerpts {
			for _, l := range d.source.excerpt(d.row, d.caret) {
				switch {
				case l.number == 0:
					fmt.Fprintf(&b, "%s %s\n", paint(dim, "       |"), paint(red, l.text))
				case d.Line == 0: // an argument has no line numbers
					fmt.Fprintf(&b, "%s %s\n", paint(dim, "       |"), l.text)
				case l.number == d.row:
					fmt.Fprintf(&b, "%s %s\n", paint(bold, fmt.Sprintf("> %4d |", l.number)), l.text)
				default:
					fmt.Fprintf(&b, "%s %s\n", paint(dim, fmt.Sprintf("  %4d |", l.number)), l.text)
				}
			}
		}
		if d.Hint != "" {
			fmt.Fprintf(&b, "  %s\n", paint(cyan, d.Hint))
		}
	}
	return b.String()
}

// report collects diagnostics about one text.
type report struct {
	file   string
	source *source
	inArg  bool // the text is an argument of the command line: positions are for the mark only
	list   Diagnostics
	seen   map[string]bool
}

// add records a diagnostic, once: a value that several sessions take over by << is wrong in one place.
func (r *report) add(line, col int, d Diagnostic) {
	id := fmt.Sprintf("%s %d %d %s", r.file, line, col, d.Message)
	if r.seen[id] {
		return
	}
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	r.seen[id] = true
	d.File, d.source, d.row, d.caret = r.file, r.source, line, col
	if !r.inArg {
		d.Line, d.Col = line, col
	}
	r.list = append(r.list, d)
}

// err is nil if nothing was reported.
func (r *report) err() error {
	if len(r.list) == 0 {
		return nil
	}
	slices.SortStableFunc(r.list, func(a, b Diagnostic) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
	return r.list
}

// unreadable is the answer when there is no text at all.
func unreadable(file string, err error, hint string) error {
	message := err.Error()
	// The place already says which file it is about.
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		message = p.Err.Error()
	}
	return Diagnostics{{File: file, Message: message, Hint: hint, cause: err}}
}

const (
	maxShown    = 60
	maxExcerpts = 100 // nobody reads more, and lines may be long
)

// cut shortens foreign text for a message.
func cut(s string) string {
	if utf8.RuneCountInString(s) <= maxShown {
		return s
	}
	return string([]rune(s)[:maxShown]) + "…"
}

func quote(s string) string { return strconv.Quote(s) }

// printable keeps a file's name or content from writing to the terminal more than text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return '·'
	}, s)
}

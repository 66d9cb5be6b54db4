package main

import (
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// terminal is what is known of a stream that output goes to. The zero value is no terminal.
type terminal struct {
	is     bool // it understands escape sequences that move the cursor
	color  bool // and its user wants colour
	width  int  // in cells; 0 if it does not say
	height int  // in lines; 0 if it does not say
}

// terminalOf looks at a stream. Only a terminal answers the question for its size; a character device such as
// /dev/null does not.
func terminalOf(w io.Writer) terminal {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return terminal{}
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return terminal{}
	}
	return terminal{is: true, color: os.Getenv("NO_COLOR") == "", width: int(size.Col), height: int(size.Row)}
}

// shown is text as it may be written to the stream. What a model, a tool or a program's stderr says must not
// control a terminal; elsewhere it is passed on as it is.
func (t terminal) shown(text string) string {
	if !t.is {
		return text
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || !unicode.IsControl(r) {
			return r
		}
		return '·'
	}, text)
}

// tint gives text a colour, where its user wants that.
func (t terminal) tint(code, text string) string {
	if !t.color || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

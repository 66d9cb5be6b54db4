package config

import (
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

const redacted = "[redacted]"

// source is the text that excerpts are made of, in lines. Masking goes by the look of the text, since it must
// also hold for a file that cannot be parsed.
type source struct {
	lines []string

	once   sync.Once
	hidden map[int]bool // lines that continue a secret from above
}

func newSource(text string) *source { return &source{lines: strings.Split(text, "\n")} }

// excerptLine is a line of the file, or the mark below it (number 0).
type excerptLine struct {
	number int
	text   string
}

const (
	linesBefore  = 2
	excerptWidth = 100
)

// excerpt is the line with a mark under the column, and the lines before it.
func (s *source) excerpt(line, col int) []excerptLine {
	if line < 1 || line > len(s.lines) {
		return nil
	}
	var out []excerptLine
	s.once.Do(s.hide)
	for n := max(1, line-linesBefore); n <= line; n++ {
		text, cutAt := s.lines[n-1], -1
		if s.hidden[n] {
			indent := len(text) - len(strings.TrimLeft(text, " \t"))
			text, cutAt = text[:indent]+redacted, indent
		} else {
			text, cutAt = maskLine(text)
		}
		at := 0
		if n == line {
			at = max(col-1, 0)
			if cutAt >= 0 {
				at = min(at, utf8.RuneCountInString(text[:cutAt]))
			}
		}
		text, at = window(printable(text), at)
		out = append(out, excerptLine{n, text})
		if n == line {
			out = append(out, excerptLine{0, strings.Repeat(" ", at) + "^"})
		}
	}
	return out
}

// window cuts a long line around the column.
func window(text string, at int) (string, int) {
	r := []rune(text)
	at = min(at, len(r))
	if len(r) <= excerptWidth {
		return text, at
	}
	from := max(0, min(at-excerptWidth/2, len(r)-excerptWidth))
	to := from + excerptWidth
	out := string(r[from:to])
	at -= from
	if from > 0 {
		out, at = "…"+out, at+1
	}
	if to < len(r) {
		out += "…"
	}
	return out, at
}

var (
	secretKey = regexp.MustCompile(`(?i)(?:^|[_.-])(?:api)?key$|apikey|token|secret|passw|credential|bearer`)
	// reference is a secret that is written in the right way: it shows nothing.
	reference = regexp.MustCompile(`^\$\{env:[A-Za-z_][A-Za-z0-9_]*\}$`)

	assignment   = regexp.MustCompile(`([A-Za-z0-9_.-]+)["']?\s*[:=]`)
	safeValue    = regexp.MustCompile(`^\s*["']?\$\{env:[A-Za-z_][A-Za-z0-9_]*\}["']?\s*(?:$|[,}\]#])`)
	blockHeader  = regexp.MustCompile(`^\s*(?:&\S+\s+)?[|>][-+0-9]*\s*(?:#.*)?$`)
	knownSecrets = regexp.MustCompile(`sk-[A-Za-z0-9_-]{8,}|://[^/\s:@]+:[^/\s@]+@`)
	entryLine    = regexp.MustCompile(`^\s*(?:- +)?["']?[^\s"':]+["']?\s*:(?:\s|$)`)
)

// maskLine hides the rest of a line from the first secret on, and says where that begins (or -1).
func maskLine(line string) (string, int) {
	at := -1
	for _, m := range assignment.FindAllStringSubmatchIndex(line, -1) {
		rest := line[m[1]:]
		if !secretKey.MatchString(line[m[2]:m[3]]) || strings.TrimSpace(rest) == "" ||
			safeValue.MatchString(rest) || blockHeader.MatchString(rest) {
			continue
		}
		at = m[1] + len(rest) - len(strings.TrimLeft(rest, " \t"))
		break
	}
	if m := knownSecrets.FindStringIndex(line); m != nil && (at < 0 || m[0] < at) {
		at = m[0]
	}
	if at < 0 {
		return line, -1
	}
	return line[:at] + redacted, at
}

// hide finds the lines that continue a secret from a line above: a block of text, or a value that begins below
// its key.
func (s *source) hide() {
	s.hidden = map[int]bool{}
	for i := 0; i < len(s.lines); i++ { // i skips what was hidden
		matches := assignment.FindAllStringSubmatchIndex(s.lines[i], -1)
		if matches == nil {
			continue
		}
		m := matches[len(matches)-1]
		for _, other := range matches { // a plain secret may hold what looks like another key
			if secretKey.MatchString(s.lines[i][other[2]:other[3]]) {
				m = other
				break
			}
		}
		if !secretKey.MatchString(s.lines[i][m[2]:m[3]]) {
			continue
		}
		rest := s.lines[i][m[1]:]
		if safeValue.MatchString(rest) {
			continue
		}
		indent := indentation(s.lines[i])
		for j := i + 1; j < len(s.lines); j++ {
			text := s.lines[j]
			if strings.TrimSpace(text) == "" {
				continue
			}
			if indentation(text) <= indent {
				break
			}
			// A session may be called token-counter: what is below it are keys, no secret.
			if strings.TrimSpace(rest) == "" && entryLine.MatchString(text) {
				break
			}
			s.hidden[j+1] = true
			i = j // what is in it is no key
		}
	}
}

func indentation(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }

// shown is a scalar's text as a message may show it.
func shown(text string, secret bool) string {
	if secret {
		if reference.MatchString(text) {
			return text
		}
		return redacted
	}
	masked, _ := maskLine(text)
	return cut(masked)
}

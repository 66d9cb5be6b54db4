package process

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// stderrLog keeps the last lines of stderr, within a number of lines and of bytes.
type stderrLog struct {
	maxLines, maxBytes, maxLine int
	secrets                     []string
	longest                     int // length of the longest secret
	notify                      chan string

	mu    sync.Mutex
	lines []string
	bytes int
}

func newStderrLog(o Options, secrets []string) *stderrLog {
	s := &stderrLog{maxLines: o.StderrLines, maxBytes: o.StderrBytes, maxLine: o.StderrLineBytes, secrets: secrets}
	if len(secrets) > 0 {
		s.longest = len(secrets[0])
	}
	if o.OnStderr != nil {
		s.notify = make(chan string, 64)
		// Ends when read has closed the channel and the last call has returned.
		go func() {
			for line := range s.notify {
				o.OnStderr(line)
			}
		}()
	}
	return s
}

// read takes r to its end. It holds one cut line at most, whatever is written, and never waits for anybody.
func (s *stderrLog) read(r io.Reader) {
	defer s.end()
	buf := make([]byte, 512) // for as long as the process lives, most of which say nothing
	// A line is kept a little longer than it is shown, so that a secret across the cut is still recognized.
	room := s.maxLine + s.longest
	var line []byte
	dropped := false
	for {
		n, err := r.Read(buf)
		for chunk := buf[:n]; len(chunk) > 0; {
			part, rest, ended := bytes.Cut(chunk, []byte{'\n'})
			chunk = rest
			if take := min(len(part), room-len(line)); take < len(part) {
				line, dropped = append(line, part[:take]...), true
			} else {
				line = append(line, part...)
			}
			if ended {
				s.add(line, dropped)
				line, dropped = nil, false
			}
		}
		if err != nil {
			if len(line) > 0 {
				s.add(line, dropped)
			}
			return
		}
	}
}

// end is for a log that never got anything to read.
func (s *stderrLog) end() {
	if s.notify != nil {
		close(s.notify)
	}
}

func (s *stderrLog) add(raw []byte, dropped bool) {
	line := strings.ToValidUTF8(string(bytes.TrimSuffix(raw, []byte{'\r'})), "\uFFFD")
	for _, secret := range s.secrets {
		line = strings.ReplaceAll(line, secret, "[redacted]")
		if dropped {
			// The end of the buffer may hold the beginning of a secret, which redaction above can't see. It is in
			// the part behind the cut, unless redaction made the line shorter.
			line = trimPartial(line, secret)
		}
	}
	if len(line) > s.maxLine {
		end := s.maxLine
		for end > 0 && !utf8.RuneStart(line[end]) {
			end--
		}
		line, dropped = line[:end], true
	}
	if dropped {
		line += "…"
	}
	if strings.TrimSpace(line) == "" {
		return
	}
	s.mu.Lock()
	s.lines = append(s.lines, line)
	s.bytes += len(line)
	drop := 0
	for len(s.lines)-drop > s.maxLines || s.bytes > s.maxBytes && len(s.lines)-drop > 1 {
		s.bytes -= len(s.lines[drop])
		drop++
	}
	if drop > 0 {
		clear(s.lines[:drop])
		s.lines = append(s.lines[:0:0], s.lines[drop:]...)
	}
	s.mu.Unlock()
	if s.notify != nil {
		select {
		case s.notify <- line:
		default: // the reader of the log is slow; the CLI is not to wait for it
		}
	}
}

// trimPartial removes a beginning of secret, of four bytes or more, from the end of line.
func trimPartial(line, secret string) string {
	for n := min(len(secret)-1, len(line)); n >= 4; n-- {
		if strings.HasSuffix(line, secret[:n]) {
			return line[:len(line)-n] + "[redacted]"
		}
	}
	return line
}

func (s *stderrLog) last() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.lines...)
}

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// limitRun reads the flood with nothing around it: what the pipe and the stand-in give. With decode each line is read into the
// smallest struct that has its text, by encoding/json.
func limitRun(decode bool) (r report, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	cli := exec.Command(self)
	cli.Env = append(os.Environ(), roleVariable+"=cli")
	stdin, err := cli.StdinPipe()
	if err != nil {
		return r, err
	}
	stdout, err := cli.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := cli.Start(); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stdin.Close(), cli.Wait()) }()
	if _, err := io.WriteString(stdin, `{"type":"user","uuid":"0"}`+"\n"); err != nil {
		return r, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var begun time.Time
	lines := bufio.NewReaderSize(stdout, 64<<10)
	for r.End == "" {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return r, err
		}
		if begun.IsZero() {
			begun = time.Now()
		}
		switch {
		case bytes.HasPrefix(line, []byte(`{"type":"assistant"`)), bytes.HasPrefix(line, []byte(`{"type":"stream_event"`)):
			r.Messages++
			if decode {
				var f tiny
				if err := json.Unmarshal(line, &f); err != nil {
					return r, err
				}
				r.Bytes += len(f.text())
			}
		case bytes.Contains(line, []byte(`"type":"result"`)):
			r.End = "success"
		}
	}
	r.Seconds = time.Since(begun).Seconds()
	runtime.ReadMemStats(&after)
	r.AllocsPer = float64(after.Mallocs-before.Mallocs) / float64(max(1, r.Messages))
	r.PeakMB = peakMB()
	return r, nil
}

// tiny is what has to be known of a frame to read its text.
type tiny struct {
	Type    string
	Message struct{ Content []struct{ Type, Text string } }
	Event   struct{ Delta struct{ Type, Text string } }
}

func (f tiny) text() string {
	if f.Type == "assistant" && len(f.Message.Content) == 1 {
		return f.Message.Content[0].Text
	}
	return f.Event.Delta.Text
}

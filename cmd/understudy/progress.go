package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/understudy-run/understudy/supervisor/debug"
)

const (
	progressAfter = 300 * time.Millisecond // what is done sooner needs no line
	progressEvery = 200 * time.Millisecond
)

var spinner = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

// waiting does something that may take long. On a terminal a line says meanwhile what is being waited for, for how
// long, and what state the session is in; it is gone when that is done.
func waiting(ctx context.Context, out io.Writer, client *debug.Client, name, what string, do func(context.Context) error) error {
	if !terminalOf(out).is {
		return do(ctx)
	}
	done := make(chan error, 1)
	go func() { done <- do(ctx) }() // ends with do
	begun := time.Now()
	state := ""
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	shown := false
	for tick := 0; ; tick++ {
		select {
		case err := <-done:
			if shown {
				_, _ = io.WriteString(out, "\r\x1b[K") // a terminal that is gone needs no clearing
			}
			return err
		case <-ticker.C:
		}
		if time.Since(begun) < progressAfter {
			continue
		}
		if tick%5 == 0 || !shown {
			state = stateOf(ctx, client, name)
		}
		shown = true
		line := fmt.Sprintf("%s %s %s %ds%s", spinner[tick%len(spinner)], what, name, int(time.Since(begun).Seconds()), state)
		_, _ = io.WriteString(out, "\r\x1b[K"+line) // the result matters, not this
	}
}

// stateOf is what a session is doing, in parentheses; empty if that is not known.
func stateOf(ctx context.Context, client *debug.Client, name string) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	node, err := client.Session(ctx, name)
	if err != nil {
		return ""
	}
	if node.SessionFields != nil && node.Tool != "" {
		return " (" + node.State + ", " + node.Tool + ")"
	}
	return " (" + node.State + ")"
}

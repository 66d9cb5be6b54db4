package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"time"

	claudecode "github.com/severity1/claude-agent-sdk-go"
)

// severity1Run consumes the flood with the client of that SDK.
func severity1Run() (report, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return report{}, err
	}
	// It takes no other CLI than the one on PATH, whatever WithCLIPath says.
	dir, err := os.MkdirTemp("", "wire")
	if err != nil {
		return report{}, err
	}
	defer os.RemoveAll(dir)
	if err := os.Symlink(self, filepath.Join(dir, "claude")); err != nil {
		return report{}, err
	}
	if err := os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH")); err != nil {
		return report{}, err
	}
	// It asks this program for the CLI's version with the whole environment: the role must not be handed on.
	if err := os.Unsetenv(roleVariable); err != nil {
		return report{}, err
	}
	var r report
	var before, after runtime.MemStats
	client := claudecode.NewClient(claudecode.WithPartialStreaming(), claudecode.WithEnv(map[string]string{
		roleVariable: "cli", pairsVariable: os.Getenv(pairsVariable),
	}))
	if err := client.Connect(ctx); err != nil {
		return r, err
	}
	defer client.Disconnect()
	runtime.ReadMemStats(&before)
	var begun time.Time
	stop := os.Getenv(stopVariable) != ""
	if err := client.Query(ctx, "flood"); err != nil {
		return r, err
	}
	for m := range client.ReceiveMessages(ctx) {
		if begun.IsZero() {
			begun = time.Now()
		}
		over := false
		switch m := m.(type) {
		case *claudecode.AssistantMessage:
			r.Messages++
			for _, block := range m.Content {
				if text, ok := block.(*claudecode.TextBlock); ok {
					r.Bytes += len(text.Text)
				}
			}
		case *claudecode.StreamEvent:
			if delta, ok := m.Event["delta"].(map[string]any); ok {
				if text, ok := delta["text"].(string); ok {
					r.Messages++
					r.Bytes += len(text)
				}
			}
		case *claudecode.ResultMessage:
			r.End = m.Subtype
			over = true
		}
		if stop && r.Messages == 1 {
			time.Sleep(time.Second)
			asked := time.Now()
			end, cancel := context.WithTimeout(ctx, 10*time.Second)
			err := client.Interrupt(end)
			cancel()
			r.InterruptMS, r.PeakMB = float64(time.Since(asked).Microseconds())/1000, peakMB()
			if err != nil {
				r.InterruptMS, r.End = -1, firstLine(err.Error())
			}
			os.Stdout.Sync()
			return r, nil
		}
		if over {
			break
		}
	}
	r.Seconds = time.Since(begun).Seconds()
	runtime.ReadMemStats(&after)
	r.AllocsPer = float64(after.Mallocs-before.Mallocs) / float64(max(1, r.Messages))
	r.PeakMB = peakMB()
	return r, nil
}

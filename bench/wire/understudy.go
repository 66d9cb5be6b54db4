package main

import (
	"context"
	"os"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

// understudyRun consumes the flood with a session of a runtime, as an embedder has it.
func understudyRun() (report, error) {
	ctx := context.Background()
	self, err := os.Executable()
	if err != nil {
		return report{}, err
	}
	dir, err := os.MkdirTemp("", "wire")
	if err != nil {
		return report{}, err
	}
	defer os.RemoveAll(dir)
	rt, err := understudy.Start(ctx, understudy.Options{DataDir: dir, CLI: session.CLI{Path: self}})
	if err != nil {
		return report{}, err
	}
	defer rt.Shutdown(ctx)
	s, err := rt.Spawn(ctx, "flood", session.Options{
		CWD: dir, IncludePartialMessages: true,
		Env: map[string]string{roleVariable: "cli", pairsVariable: os.Getenv(pairsVariable)},
	})
	if err != nil {
		return report{}, err
	}
	var r report
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if f := os.Getenv("WIRE_PROFILE"); f != "" {
		p, _ := os.Create(f)
		_ = pprof.StartCPUProfile(p)
		defer pprof.StopCPUProfile()
	}
	var begun time.Time
	stop := os.Getenv(stopVariable) != ""
	for m, err := range s.Query(ctx, "flood") {
		if err != nil {
			r.End = firstLine(err.Error())
			break
		}
		if begun.IsZero() {
			begun = time.Now()
		}
		switch m := m.(type) {
		case *protocol.Assistant:
			r.Messages++
			r.Bytes += len(m.Text())
		case *protocol.StreamEvent:
			if text, ok := m.TextDelta(); ok {
				r.Messages++
				r.Bytes += len(text)
			}
		case *protocol.Result:
			r.End = m.Subtype
		}
		if stop && r.Messages == 1 {
			time.Sleep(time.Second)
			asked := time.Now()
			if err := s.Interrupt(ctx); err != nil {
				return r, err
			}
			r.InterruptMS = float64(time.Since(asked).Microseconds()) / 1000
			r.PeakMB = peakMB()
			time.Sleep(200 * time.Millisecond)
		}
	}
	r.Seconds = time.Since(begun).Seconds()
	runtime.ReadMemStats(&after)
	r.AllocsPer = float64(after.Mallocs-before.Mallocs) / float64(max(1, r.Messages))
	if r.PeakMB == 0 {
		r.PeakMB = peakMB()
	}
	return r, nil
}

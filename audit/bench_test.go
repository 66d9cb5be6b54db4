package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/understudy-run/understudy/actor"
)

func benchRecord() Record {
	return Record{
		Kind: ToolIntent, Actor: "root/sessions/reviewer", Session: "reviewer",
		SessionID: "6f1c2d3e-4b5a-4c6d-8e7f-901234567890", Generation: 2, Turn: 3, ToolUseID: "toolu_01", Tool: "Bash",
		Input: json.RawMessage(`{"command":"go test ./... 2>&1 | tail -n 20","description":"Run the tests\nand show the end"}`),
	}
}

// BenchmarkDurable compares durable appends through the actor with a bare file whose writers share an
// fsync. Both write lines of the same length.
func BenchmarkDurable(b *testing.B) {
	for _, producers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("file/%d", producers), func(b *testing.B) {
			rest, err := encode(benchRecord(), newRedactor(nil))
			if err != nil {
				b.Fatal(err)
			}
			line := appendLine(nil, 1234567, 0, rest)
			w := newPlain(b)
			produce(b, producers, func() error { return w.append(line) })
		})
		b.Run(fmt.Sprintf("trail/%d", producers), func(b *testing.B) {
			trail := benchTrail(b)
			r := benchRecord()
			produce(b, producers, func() error { return trail.Append(context.Background(), r) })
		})
	}
}

func benchTrail(b *testing.B) *Trail {
	trail := New(actor.NewSystem(actor.Options{}), Options{
		Dir: filepath.Join(b.TempDir(), "audit"), Runtime: "r1", Redact: []string{"sk-one-secret-value", "another-secret-value"},
	})
	pid, err := trail.Start(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		pid.Stop(nil)
		<-pid.Done()
	})
	return trail
}

// produce does b.N appends from so many goroutines.
func produce(b *testing.B, producers int, appendOne func() error) {
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for range producers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := appendOne(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

// plain is a file whose appenders share an fsync, and nothing more: who finds nobody at work writes and
// syncs for all that have come.
type plain struct {
	file *os.File

	mu      sync.Mutex
	work    sync.Mutex
	pending []byte
	waiting []chan error
}

func newPlain(b *testing.B) *plain {
	f, err := os.OpenFile(filepath.Join(b.TempDir(), "plain"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	return &plain{file: f}
}

func (p *plain) append(line []byte) error {
	done := make(chan error, 1)
	p.mu.Lock()
	p.pending = append(p.pending, line...)
	p.waiting = append(p.waiting, done)
	first := len(p.waiting) == 1
	p.mu.Unlock()
	if first {
		p.work.Lock()
		p.mu.Lock()
		batch, waiting := p.pending, p.waiting
		p.pending, p.waiting = nil, nil
		p.mu.Unlock()
		_, err := p.file.Write(batch)
		if err == nil {
			err = p.file.Sync()
		}
		p.work.Unlock()
		for _, w := range waiting {
			w <- err
		}
	}
	return <-done
}

func BenchmarkEncode(b *testing.B) {
	red := newRedactor([]string{"sk-one-secret-value", "another-secret-value"})
	r := benchRecord()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode(r, red); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	rest, err := encode(benchRecord(), newRedactor(nil))
	if err != nil {
		b.Fatal(err)
	}
	var content []byte
	const records = 20000
	for i := range records {
		content = appendLine(content, uint64(i+1), 0, rest)
	}
	if err := os.WriteFile(Path(dir), content, 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		n := 0
		for _, err := range Read(dir) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != records {
			b.Fatal(n)
		}
	}
	b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

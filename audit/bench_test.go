package audit

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit/internal/format"
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
			line := benchFrame(b)
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

func benchFrame(b *testing.B) []byte {
	e, err := encode(benchRecord(), newRedactor(nil, nil), levels{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	return format.AppendFrame(nil, whole(e))
}

func BenchmarkEncode(b *testing.B) {
	red := newRedactor([]string{"sk-one-secret-value", "another-secret-value"}, nil)
	r := benchRecord()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode(r, red, levels{}, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	payload := benchFrame(b)
	payload = payload[format.HeaderSize : len(payload)-1]
	var d decoder
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		if _, err := d.record(payload); err != nil {
			b.Fatal(err)
		}
	}
}

// toolUses are records of that many tool uses, each with its intent, decision and result.
func toolUses(tb testing.TB, n int) (all []encoded) {
	var none bool
	for i := range n {
		r := benchRecord()
		r.ToolUseID = fmt.Sprintf("toolu_%04d", i)
		decided := r
		decided.Kind, decided.Input, decided.Decision = ToolDecision, nil, &Decision{Outcome: Allow, By: "rule", Rule: "Bash(go test:*)"}
		result := decided
		result.Kind, result.IsError, result.Output = ToolResult, &none, json.RawMessage(`"ok  \tgithub.com/understudy-run/understudy/audit\t0.1s"`)
		result.Detail = map[string]any{"duration_ms": 120, "intent_recorded": true}
		for _, r := range []Record{r, decided, result} {
			e, err := encode(r, newRedactor(nil, nil), levels{}, nil)
			if err != nil {
				tb.Fatal(err)
			}
			all = append(all, e)
		}
	}
	return all
}

// BenchmarkLog reads and checks a log of 200,000 records.
func BenchmarkLog(b *testing.B) {
	const records = 200_000 / 999 * 999
	o := Options{Dir: filepath.Join(b.TempDir(), "audit"), SegmentBytes: 32 << 20, SegmentAge: time.Hour, Reserve: -1}
	l, _, err := openLog(realDisk{}, o, &memory{}, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	uses := toolUses(b, 333)
	for range records / 999 {
		if l.due(l.offset) != "" {
			if err := l.rotate(); err != nil {
				b.Fatal(err)
			}
		}
		batch := l.begin()
		for i := range uses {
			batch.add(&uses[i], 0)
		}
		if err := errors.Join(l.commit(batch), l.sign()); err != nil {
			b.Fatal(err)
		}
	}
	l.close()
	frame := len(benchFrame(b))
	rate := func(b *testing.B) { b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds(), "records/s") }
	b.Run("verify", func(b *testing.B) {
		b.SetBytes(int64(frame) * records)
		for b.Loop() {
			report, err := Verify(context.Background(), o.Dir, VerifyOptions{})
			if err != nil || report.Code() != 0 || report.Last != records {
				b.Fatal(err, report)
			}
		}
		rate(b)
	})
	b.Run("verify invariants", func(b *testing.B) {
		for b.Loop() {
			report, err := Verify(context.Background(), o.Dir, VerifyOptions{Invariants: true})
			if err != nil || report.Code() != 0 || report.Last != records {
				b.Fatal(err, report)
			}
		}
		rate(b)
	})
	// What a verification cannot do without: the hash of each record, and of as many nodes of the tree, on all processors.
	b.Run("hashes alone", func(b *testing.B) {
		b.SetBytes(int64(frame) * records)
		payload := benchFrame(b)[format.HeaderSize-1 : frame-1]
		for b.Loop() {
			var all sync.WaitGroup
			for range runtime.GOMAXPROCS(0) {
				all.Go(func() {
					node := make([]byte, 1+2*sha256.Size)
					for range records / runtime.GOMAXPROCS(0) {
						leaf := sha256.Sum256(payload)
						copy(node[1:], leaf[:])
						sha256.Sum256(node)
					}
				})
			}
			all.Wait()
		}
		rate(b)
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			n := 0
			for _, err := range Read(o.Dir) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n != records {
				b.Fatal(n)
			}
		}
		rate(b)
	})
	b.Run("query", func(b *testing.B) {
		for b.Loop() {
			for _, err := range (Log{o.Dir}).Records(context.Background(), Filter{Text: "needle"}) {
				b.Fatal("there is none", err)
			}
		}
		rate(b)
	})
	for _, encoding := range Encodings {
		b.Run(string(encoding), func(b *testing.B) {
			for b.Loop() {
				n := 0
				for line, err := range (Log{o.Dir}).Lines(context.Background(), Filter{}, encoding, "source") {
					if err != nil || len(line) == 0 {
						b.Fatal(err)
					}
					n++
				}
				if n != records {
					b.Fatal(n)
				}
			}
			rate(b)
		})
	}
	b.Run("prove", func(b *testing.B) {
		for b.Loop() {
			if _, err := Prove(context.Background(), o.Dir, records-1); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Package bench compares the audit log with other ways to keep records durable, in one run on one disk. It
// is a module of its own, so that the stores it compares with are no requirement of the runtime:
//
//	go test -bench . -benchtime 3s
package bench

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	_ "modernc.org/sqlite"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
)

// payload is as long as a record of the log is.
var payload = []byte(fmt.Sprintf("%0430d", 0))

type store struct {
	name string
	open func(b *testing.B, dir string) func(batch [][]byte) error
}

// Stores write a batch durably. The log has a group commit of its own.
var stores = []store{
	{"file", openFile},
	{"sqlite", openSQLite},
	{"bbolt", openBolt},
}

// openFile appends to a file and syncs it.
func openFile(b *testing.B, dir string) func([][]byte) error {
	return plainFile(b, dir, 0, (*os.File).Sync)
}

func plainFile(b *testing.B, dir string, flag int, durable func(*os.File) error) func([][]byte) error {
	f, err := os.OpenFile(filepath.Join(dir, "plain"), os.O_CREATE|os.O_WRONLY|os.O_APPEND|flag, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	var buffer []byte
	return func(batch [][]byte) error {
		buffer = buffer[:0]
		for _, p := range batch {
			buffer = append(buffer, p...)
		}
		if _, err := f.Write(buffer); err != nil {
			return err
		}
		return durable(f)
	}
}

func openSQLite(b *testing.B, dir string) func([][]byte) error {
	db, err := sql.Open("sqlite", filepath.Join(dir, "log.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	b.Cleanup(func() { _ = db.Close() })
	if _, err := db.Exec("CREATE TABLE log (seq INTEGER PRIMARY KEY, record BLOB)"); err != nil {
		b.Fatal(err)
	}
	return func(batch [][]byte) error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		insert, err := tx.Prepare("INSERT INTO log (record) VALUES (?)")
		if err != nil {
			return err
		}
		for _, p := range batch {
			if _, err := insert.Exec(p); err != nil {
				return err
			}
		}
		return tx.Commit()
	}
}

func openBolt(b *testing.B, dir string) func([][]byte) error {
	db, err := bolt.Open(filepath.Join(dir, "log.bolt"), 0o600, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	seq := uint64(0)
	return func(batch [][]byte) error {
		return db.Update(func(tx *bolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte("log"))
			if err != nil {
				return err
			}
			bucket.FillPercent = 1
			for _, p := range batch {
				seq++
				if err := bucket.Put(binary.BigEndian.AppendUint64(nil, seq), p); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func BenchmarkDurable(b *testing.B) {
	for _, producers := range []int{1, 16, 256} {
		for _, store := range stores {
			b.Run(fmt.Sprintf("%s/%d", store.name, producers), func(b *testing.B) {
				g := newGroup(b, store.open(b, b.TempDir()))
				produce(b, producers, func() error { return g.append(payload) })
			})
		}
		b.Run(fmt.Sprintf("audit/%d", producers), func(b *testing.B) {
			trail := audit.New(actor.NewSystem(actor.Options{}), audit.Options{
				Dir: filepath.Join(b.TempDir(), "audit"), Runtime: "r1", Redact: []string{"sk-one-secret-value"},
			})
			pid, err := trail.Start(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() {
				pid.Stop(nil)
				<-pid.Done()
			})
			r := audit.Record{
				Kind: audit.ToolIntent, Actor: "root/sessions/reviewer", Session: "reviewer",
				SessionID: "6f1c2d3e-4b5a-4c6d-8e7f-901234567890", Generation: 2, Turn: 3, ToolUseID: "toolu_01", Tool: "Bash",
				Input: json.RawMessage(`{"command":"go test ./... 2>&1 | tail -n 20","description":"Run the tests\nand show the end"}`),
			}
			produce(b, producers, func() error { return trail.Append(context.Background(), r) })
		})
	}
}

// produce does b.N appends from so many goroutines.
func produce(b *testing.B, producers int, appendOne func() error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	took := make([]time.Duration, b.N)
	var wg sync.WaitGroup
	b.ResetTimer()
	for range producers {
		wg.Go(func() {
			for {
				n := left.Add(-1)
				if n < 0 {
					return
				}
				at := time.Now()
				if err := appendOne(); err != nil {
					b.Error(err)
					return
				}
				took[n] = time.Since(at)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// group lets one goroutine write what all others have brought in the meantime.
type group struct {
	in chan waiting
}

type waiting struct {
	payload []byte
	done    chan error
}

func newGroup(b *testing.B, write func([][]byte) error) *group {
	g := &group{in: make(chan waiting, 1024)}
	over := make(chan struct{})
	go func() { // ends when in is closed
		defer close(over)
		var batch [][]byte
		var done []chan error
		for first := range g.in {
			batch, done = append(batch[:0], first.payload), append(done[:0], first.done)
			for more := true; more && len(batch) < 1024; {
				select {
				case w, ok := <-g.in:
					if more = ok; ok {
						batch, done = append(batch, w.payload), append(done, w.done)
					}
				default:
					more = false
				}
			}
			err := write(batch)
			for _, d := range done {
				d <- err
			}
		}
	}()
	b.Cleanup(func() {
		close(g.in)
		<-over
	})
	return g
}

func (g *group) append(payload []byte) error {
	w := waiting{payload, make(chan error, 1)}
	g.in <- w
	return <-w.done
}

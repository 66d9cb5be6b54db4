package supervisor_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor"
)

// toll is a child that says when it is up.
type toll struct{ up chan<- actor.Ref[message] }

func (*toll) Receive(c *actor.Context[message], m message) { m(c) }
func (w *toll) Started(c *actor.Context[message]) error {
	w.up <- c.Self()
	return nil
}

func tollSpec(sys *actor.System, id string, up chan<- actor.Ref[message]) supervisor.ChildSpec {
	name := "root/" + id
	return supervisor.ChildSpec{ID: id, Start: func(context.Context) (actor.PID, error) {
		ref, err := actor.Spawn(sys, actor.Spec{Name: name}, &toll{up})
		return ref.PID, err
	}}
}

// quiet allows any number of restarts.
func quiet(b *testing.B, n int) (*actor.System, *supervisor.Supervisor, chan actor.Ref[message]) {
	sys := actor.NewSystem(actor.Options{})
	sup, err := supervisor.Start(context.Background(), sys, supervisor.Options{
		Name: "root", Independent: true, Intensity: intensity(1<<40, time.Second),
	})
	if err != nil {
		b.Fatal(err)
	}
	up := make(chan actor.Ref[message], max(n, 1))
	return sys, sup, up
}

func crash(c *actor.Context[message]) { c.Exit(errBoom) }

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-µs")
	b.ReportMetric(0, "ns/op")
}

// From the message that a child crashes of to its successor's Started, alone and among 10,000.
func BenchmarkCrashToRunning(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("of-%d", n), func(b *testing.B) {
			sys, sup, up := quiet(b, n)
			var last actor.Ref[message]
			for i := range n {
				if _, err := sup.StartChild(context.Background(), tollSpec(sys, fmt.Sprint("c", i), up)); err != nil {
					b.Fatal(err)
				}
				last = <-up
			}
			took := make([]time.Duration, 0, b.N)
			for b.Loop() {
				begun := time.Now()
				_ = last.Send(crash)
				last = <-up
				took = append(took, time.Since(begun))
			}
			report(b, took)
			_ = sup.Stop(context.Background())
		})
	}
}

// All 1,000 children crash at once; until the last of their successors is up.
func BenchmarkRestartsOfAThousand(b *testing.B) {
	const n = 1000
	sys, sup, up := quiet(b, n)
	refs := make([]actor.Ref[message], n)
	for i := range n {
		if _, err := sup.StartChild(context.Background(), tollSpec(sys, fmt.Sprint("c", i), up)); err != nil {
			b.Fatal(err)
		}
		refs[i] = <-up
	}
	for b.Loop() {
		for _, ref := range refs {
			_ = ref.Send(crash)
		}
		for i := range n {
			refs[i] = <-up
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "restarts/s")
	_ = sup.Stop(context.Background())
}

// One child dies at once, 10,000 times in a row.
func BenchmarkStorm(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		sys := actor.NewSystem(actor.Options{})
		sup, err := supervisor.Start(context.Background(), sys, supervisor.Options{
			Name: "root", Intensity: intensity(n, time.Hour), Children: []supervisor.ChildSpec{{
				ID: "a", Start: func(context.Context) (actor.PID, error) {
					ref, err := actor.Spawn(sys, actor.Spec{Name: "root/a"}, &dying{})
					return ref.PID, err
				},
			}},
		})
		if err != nil {
			b.Fatal(err)
		}
		<-sup.PID().Done()
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "restarts/s")
}

// 10,000 dynamic children: started one after the other by one caller, measured idle, and stopped.
func BenchmarkTenThousandChildren(b *testing.B) {
	const n = 10_000
	var start, stop time.Duration
	var memory float64
	for b.Loop() {
		sys, sup, up := quiet(b, n)
		before := inUse()
		begun := time.Now()
		for i := range n {
			if _, err := sup.StartChild(context.Background(), tollSpec(sys, fmt.Sprint("c", i), up)); err != nil {
				b.Fatal(err)
			}
		}
		for range n {
			<-up
		}
		start += time.Since(begun)
		memory += float64(inUse()-before) / n
		begun = time.Now()
		_ = sup.Stop(context.Background())
		stop += time.Since(begun)
	}
	b.ReportMetric(start.Seconds()*1000/float64(b.N), "start-ms")
	b.ReportMetric(stop.Seconds()*1000/float64(b.N), "stop-ms")
	b.ReportMetric(memory/float64(b.N), "B/child")
	b.ReportMetric(0, "ns/op")
}

// inUse is the heap and the stacks that live, in bytes.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

package audit

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/understudy-run/understudy/actor"
)

// TestBatchMadeAhead has a batch made while the one before is written, and then that comes to an end in every way.
func TestBatchMadeAhead(t *testing.T) {
	const first, second = 2 * bundle, 3*bundle + 5
	for _, c := range []struct {
		name   string
		mode   Mode
		how    fault
		err    error
		kill   bool
		stop   bool
		rotate bool
		want   int // records
	}{
		{name: "written", want: 1 + first + second},
		{name: "written, and the segment ends", rotate: true, want: 1 + first + second},
		{name: "lost", how: lost, err: unix.EIO, want: 1},
		{name: "done but reported as failed", how: done, err: unix.EIO, want: 1},
		{name: "lost, and written again at the stop", mode: BestEffort, how: lost, err: unix.EIO, stop: true, want: 1 + second},
		{name: "written by an actor that was killed", kill: true, want: 1 + first + second},
	} {
		t.Run(c.name, func(t *testing.T) {
			gates := []*gate{newGate(), newGate()}
			defer gates[0].open()
			defer gates[1].open()
			d := &testDisk{oneCall: true, hook: func(s step) (fault, error) {
				switch s {
				case step{"writesync " + segment1, 2}: // the first is that of log.opened
					return gates[0].at(s.op, s.n)(s)
				case step{"writesync " + segment1, 3}:
					_, _ = gates[1].at(s.op, s.n)(s)
					return c.how, c.err
				}
				return fine, nil
			}}
			options := Options{Mode: c.mode}
			if c.rotate {
				options.SegmentBytes = 20 << 10 // the second batch is beyond that, the first is not
			}
			trail := newTrail(t, options, d)
			pid := start(t, trail)
			var wg sync.WaitGroup
			failed := make(chan error, 1+first+second)
			add := func(from, n int) {
				for i := range n {
					r := Record{Kind: TurnStarted, Session: strconv.Itoa(i % 7), Turn: from + i}
					wg.Go(func() {
						if err := trail.Append(deadline(t), r); err != nil {
							failed <- err
						}
					})
				}
			}
			add(1, 1)
			<-gates[0].reached
			add(2, first)
			admitted(t, trail, 1+first)
			gates[0].open()
			<-gates[1].reached // the first batch is on its way, the second may be made
			add(2+first, second)
			admitted(t, trail, first+second)
			require.Eventually(t, func() bool { return pid.Info().Depth == 0 && pid.Info().State == actor.Idle }, time.Minute, time.Millisecond)
			switch {
			case c.kill:
				pid.Kill()
				<-pid.Done()
			case c.stop:
				pid.Stop(nil)
				require.Eventually(t, func() bool { return trail.Health() != nil && pid.Info().Depth == 0 }, time.Minute, time.Millisecond)
			}
			gates[1].open()
			if c.kill {
				released(trail)
				pid = start(t, trail)
			}
			wg.Wait()
			close(failed)
			for err := range failed {
				require.ErrorIs(t, err, unix.EIO)
			}
			stop(t, pid)

			records := read(t, trail.options.Dir)
			seen := turns(records)
			assert.Len(t, seen, c.want)
			assert.ElementsMatch(t, distinct(seen), seen)
			report := verify(t, trail.options.Dir)
			if c.mode == BestEffort {
				assert.Equal(t, 3, report.Code(), report)
				assert.EqualValues(t, first, records[len(records)-1].Lost)
			} else {
				assert.Equal(t, 0, report.Code(), report)
			}
			assert.Equal(t, c.rotate || c.err != nil, len(segmentsOf(t, trail)) > 1)
		})
	}
}

func segmentsOf(t *testing.T, trail *Trail) []uint64 {
	t.Helper()
	segments, _, err := list(trail.options.Dir)
	require.NoError(t, err)
	return segments
}

func distinct(turns []int) (out []int) {
	seen := make(map[int]bool)
	for _, turn := range turns {
		if !seen[turn] {
			seen[turn] = true
			out = append(out, turn)
		}
	}
	return out
}

// TestManyProducersAndFaults: whatever a disk does, and whenever the audit actor is killed, what was acknowledged is in the
// log once, and what is in the log is there once.
func TestManyProducersAndFaults(t *testing.T) {
	const producers, each = 150, 12
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	pick := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	d := &testDisk{oneCall: true}
	d.hook = func(s step) (fault, error) {
		if strings.HasPrefix(s.op, "writesync ") && pick(40) == 0 {
			return []fault{lost, done, short, holed}[pick(4)], []error{unix.EIO, unix.ENOSPC}[pick(2)]
		}
		return fine, nil
	}
	trail := newTrail(t, Options{SegmentBytes: 50 << 10, Reserve: -1}, d)
	trail.retry = 50 * time.Microsecond
	acknowledged := make(map[string]bool)
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for i := range each {
				r := Record{Kind: TurnStarted, Session: strconv.Itoa(p), Turn: i + 1}
				if trail.Append(deadline(t), r) == nil {
					mu.Lock()
					acknowledged[fmt.Sprint(p, ".", i+1)] = true
					mu.Unlock()
				}
			}
		})
	}
	finished := make(chan struct{})
	go func() { wg.Wait(); close(finished) }()
	for over := false; !over; {
		pid, err := trail.Start(deadline(t))
		if err != nil {
			var file *FileError
			require.ErrorAs(t, err, &file) // the faults are at openings too
			continue
		}
		for target := trail.Status().DurableSeq + uint64(pick(400)); !over && trail.Status().DurableSeq < target; {
			select {
			case <-finished:
				over = true
			case <-pid.Done():
				t.Fatalf("the audit actor has ended by itself: %v", pid.Reason())
			case <-time.After(50 * time.Microsecond):
			}
		}
		pid.Kill()
		<-pid.Done()
	}
	released(trail)
	d.mu.Lock()
	d.hook = nil
	d.mu.Unlock()
	stop(t, start(t, trail))

	last := map[string]int{}
	found := make(map[string]bool)
	for _, r := range read(t, trail.options.Dir) {
		if r.Turn > 0 {
			require.Greater(t, r.Turn, last[r.Session], "of one producer: in order, and once")
			last[r.Session] = r.Turn
			found[r.Session+"."+strconv.Itoa(r.Turn)] = true
		}
	}
	for name := range acknowledged {
		require.True(t, found[name], "acknowledged: %s", name)
	}
	report := verify(t, trail.options.Dir)
	assert.Equal(t, 0, report.Code(), report)
	assert.NotEmpty(t, acknowledged)
}

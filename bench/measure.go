package main

import (
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
)

// scale is how much is done.
type scale struct {
	killed   int // children that are killed at once
	crashes  int // of one child in a row
	loop     int // the same, of a loop whose halves are compared
	children int // that are started, and siblings of the one that crashes
	samples  int // crashes that are timed one by one
}

// full is what the issue asks for.
var full = scale{killed: 1000, crashes: 10_000, loop: 100_000, children: 10_000, samples: 2000}

// figures are what one run of all measurements gives, by the measurement's key.
type figures map[string]float64

// contender is a supervisor written in Go.
type contender struct {
	name string

	// open brings up a supervisor of one_for_one, without children. Those that add starts send their birth
	// whenever they begin to run.
	open func(children int, births chan<- birth) (group, error)

	// storm has one child end as soon as it is up, as often as that, and gives when it was up each time.
	storm func(crashes int) ([]time.Time, error)

	// instances starts children of a template, one after the other, until all are up. nil: it has none.
	instances func(children int) (time.Duration, error)
}

// birth says that a child runs, for the first time or again.
type birth struct {
	child int
	at    time.Time
}

// group is a supervisor with its children.
type group interface {
	add(child int) error // starts one more
	kill(child int)      // ends it as abruptly as can be
	crash(child int)     // has it fail
	crashed() time.Time  // when the last one failed whose successor is up
	stop() error
}

// clock keeps a time that one goroutine takes and another reads.
type clock struct{ at atomic.Pointer[time.Time] }

func (c *clock) mark() {
	now := time.Now()
	c.at.Store(&now)
}

func (c *clock) read() time.Time { return *c.at.Load() }

// measure runs all measurements once.
func (c contender) measure(s scale) (figures, error) {
	f := make(figures)
	for _, one := range []func(contender, scale, figures) error{
		contender.measureKilled, contender.measureStorm, contender.measureStarted, contender.measureInstances,
	} {
		runtime.GC()
		if err := one(c, s, f); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for key, siblings := range map[string]int{"crash.alone": 1, "crash.among": s.children} {
		runtime.GC()
		if err := c.measureCrash(key, siblings, s.samples, f); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return f, nil
}

// full brings up a group of n children.
func (c contender) full(n int) (group, chan birth, error) {
	births := make(chan birth, n)
	g, err := c.open(n, births)
	if err != nil {
		return nil, nil, err
	}
	for i := range n {
		if err := g.add(i); err != nil {
			return nil, nil, err
		}
	}
	_ = last(births, n) // when they were up is not asked for here
	return g, births, nil
}

// last waits for n births and says when the last was.
func last(births <-chan birth, n int) (at time.Time) {
	for range n {
		if b := <-births; b.at.After(at) {
			at = b.at
		}
	}
	return at
}

func (c contender) measureKilled(s scale, f figures) error {
	g, births, err := c.full(s.killed)
	if err != nil {
		return err
	}
	begun := time.Now()
	for i := range s.killed {
		g.kill(i)
	}
	f["killed"] = rate(s.killed, last(births, s.killed).Sub(begun))
	return g.stop()
}

func (c contender) measureStorm(s scale, f figures) error {
	up, err := c.storm(s.crashes)
	if err != nil {
		return err
	}
	n, step := s.crashes, s.crashes/10
	f["storm"] = rate(n, up[n].Sub(up[0]))
	f["storm.first"] = rate(step, up[step].Sub(up[0]))
	f["storm.last"] = rate(step, up[n].Sub(up[n-step]))

	// A thousand crashes take as long as a garbage collection or two, and the first thousand meet none. What
	// grows with the length of a loop shows in halves that meet some thirty each.
	runtime.GC()
	if up, err = c.storm(s.loop); err != nil {
		return err
	}
	n = s.loop
	f["loop.first"] = rate(n/2, up[n/2].Sub(up[0]))
	f["loop.second"] = rate(n-n/2, up[n].Sub(up[n/2]))
	return nil
}

func (c contender) measureStarted(s scale, f figures) error {
	births := make(chan birth, s.children)
	g, err := c.open(s.children, births)
	if err != nil {
		return err
	}
	before := inUse()
	begun := time.Now()
	for i := range s.children {
		if err := g.add(i); err != nil {
			return err
		}
	}
	f["started"] = milliseconds(last(births, s.children).Sub(begun))
	f["memory"] = float64(inUse()-before) / float64(s.children)
	return g.stop()
}

func (c contender) measureInstances(s scale, f figures) error {
	if c.instances == nil {
		return nil
	}
	took, err := c.instances(s.children)
	f["instances"] = milliseconds(took)
	return err
}

func (c contender) measureCrash(key string, siblings, samples int, f figures) error {
	g, births, err := c.full(siblings)
	if err != nil {
		return err
	}
	took := make([]time.Duration, samples)
	for i := range took {
		g.crash(i * 7919 % siblings) // anywhere among them
		took[i] = (<-births).at.Sub(g.crashed())
	}
	slices.Sort(took)
	f[key+".p50"] = microseconds(took[samples/2])
	f[key+".p99"] = microseconds(took[samples*99/100])
	return g.stop()
}

// inUse is the heap and the stacks that live, in bytes.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // what the first only marked as free
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func rate(n int, d time.Duration) float64  { return float64(n) / d.Seconds() }
func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }
func microseconds(d time.Duration) float64 { return d.Seconds() * 1e6 }

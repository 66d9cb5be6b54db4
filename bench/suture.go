package main

import (
	"context"
	"strconv"
	"time"

	"github.com/thejerf/suture/v4"
)

var sutured = contender{name: "suture v4.0.6", open: openServices, storm: stormOfServices}

// services are a supervisor of suture and its children. Its supervisors never give up; this one never
// pauses either.
type services struct {
	sup     *suture.Supervisor
	cancel  context.CancelFunc
	ended   <-chan error
	crashes []chan struct{}
	births  chan<- birth
	failed  clock
}

func openServices(children int, births chan<- birth) (group, error) {
	g := serve(suture.New("root", patient()))
	g.crashes, g.births = make([]chan struct{}, children), births
	return g, nil
}

func patient() suture.Spec {
	return suture.Spec{EventHook: func(suture.Event) {}, FailureThreshold: 1e18}
}

func serve(sup *suture.Supervisor) *services {
	ctx, cancel := context.WithCancel(context.Background())
	return &services{sup: sup, cancel: cancel, ended: sup.ServeBackground(ctx)}
}

// service waits until it is told to fail.
type service struct {
	group *services
	child int
}

// String keeps suture from printing the whole value as the name.
func (s *service) String() string { return strconv.Itoa(s.child) }

func (s *service) Serve(ctx context.Context) error {
	s.group.births <- birth{s.child, time.Now()}
	select {
	case <-s.group.crashes[s.child]:
		s.group.failed.mark()
		return errBoom
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *services) add(child int) error {
	g.crashes[child] = make(chan struct{}, 1)
	g.sup.Add(&service{g, child})
	return nil
}

// kill is crash: nothing ends a goroutine from outside.
func (g *services) kill(child int)     { g.crash(child) }
func (g *services) crash(child int)    { g.crashes[child] <- struct{}{} }
func (g *services) crashed() time.Time { return g.failed.read() }

func (g *services) stop() error {
	g.cancel()
	<-g.ended // the context's error
	return nil
}

// falling ends as soon as it is up, as long as there are crashes left.
type falling struct {
	up   []time.Time
	done chan struct{}
}

func (s *falling) String() string { return "falling" }

func (s *falling) Serve(ctx context.Context) error {
	s.up = append(s.up, time.Now())
	if len(s.up) < cap(s.up) {
		return errBoom
	}
	close(s.done)
	<-ctx.Done()
	return ctx.Err()
}

func stormOfServices(crashes int) ([]time.Time, error) {
	s := &falling{up: make([]time.Time, 0, crashes+1), done: make(chan struct{})}
	g := serve(suture.New("root", patient()))
	g.sup.Add(s)
	<-s.done
	return s.up, g.stop()
}

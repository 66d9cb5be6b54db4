package main

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor"
)

var understudy = contender{
	name: "understudy",
	open: func(children int, births chan<- birth) (group, error) {
		system := actor.NewSystem(actor.Options{})
		sup, err := supervisor.Start(context.Background(), system, supervisor.Options{
			Name: "root", Independent: true, Intensity: &unlimited,
		})
		if err != nil {
			return nil, err
		}
		return &actors{system: system, sup: sup, refs: make([]actor.Ref[crash], children), births: births}, nil
	},
	storm:     stormOfActors,
	instances: instancesOfActors,
}

// unlimited is an intensity that nothing here exceeds. Like OTP's it counts what the last second held.
var unlimited = supervisor.Intensity{MaxRestarts: 1_000_000_000, Within: time.Second}

var errBoom = errors.New("boom")

// crash tells an actor to fail.
type crash struct{}

// actors are a supervisor of understudy and its children.
type actors struct {
	system *actor.System
	sup    *supervisor.Supervisor
	refs   []actor.Ref[crash]
	births chan<- birth
	failed clock
}

// idle waits for crash.
type idle struct {
	group *actors
	child int
}

func (a *idle) Started(c *actor.Context[crash]) error {
	a.group.refs[a.child] = c.Self()
	a.group.births <- birth{a.child, time.Now()}
	return nil
}

func (a *idle) Receive(c *actor.Context[crash], _ crash) {
	a.group.failed.mark()
	c.Exit(errBoom)
}

func (g *actors) add(child int) error {
	id := strconv.Itoa(child)
	name := "root/" + id
	_, err := g.sup.StartChild(context.Background(), supervisor.ChildSpec{
		ID: id, Shutdown: supervisor.BrutalKill,
		Start: func(context.Context) (actor.PID, error) {
			ref, err := actor.Spawn(g.system, actor.Spec{Name: name}, &idle{g, child})
			return ref.PID, err
		},
	})
	return err
}

func (g *actors) kill(child int)     { g.refs[child].Kill() }
func (g *actors) crash(child int)    { _ = g.refs[child].Send(crash{}) } // it is alive, and its mailbox is empty
func (g *actors) crashed() time.Time { return g.failed.read() }
func (g *actors) stop() error        { return g.sup.Stop(context.Background()) }

// doomed ends as soon as it is up, as long as there are crashes left.
type doomed struct {
	up   *[]time.Time
	done chan<- struct{}
}

func (a doomed) Started(c *actor.Context[crash]) error {
	*a.up = append(*a.up, time.Now())
	if len(*a.up) < cap(*a.up) {
		c.Post(crash{})
	} else {
		close(a.done)
	}
	return nil
}

func (doomed) Receive(c *actor.Context[crash], _ crash) { c.Exit(errBoom) }

func stormOfActors(crashes int) ([]time.Time, error) {
	system := actor.NewSystem(actor.Options{})
	up, done := make([]time.Time, 0, crashes+1), make(chan struct{})
	sup, err := supervisor.Start(context.Background(), system, supervisor.Options{
		Name: "root", Intensity: &unlimited, Children: []supervisor.ChildSpec{{
			ID: "a", Start: func(context.Context) (actor.PID, error) {
				ref, err := actor.Spawn(system, actor.Spec{Name: "root/a"}, doomed{&up, done})
				return ref.PID, err
			},
		}},
	})
	if err != nil {
		return nil, err
	}
	<-done
	return up, sup.Stop(context.Background())
}

func instancesOfActors(children int) (time.Duration, error) {
	births := make(chan birth, children)
	g := &actors{system: actor.NewSystem(actor.Options{}), refs: make([]actor.Ref[crash], children), births: births}
	sup, err := supervisor.Start(context.Background(), g.system, supervisor.Options{
		Name: "root", Strategy: supervisor.SimpleOneForOne, Intensity: &unlimited,
		Template: &supervisor.Template{
			Start: func(_ context.Context, id string, child any) (actor.PID, error) {
				n, _ := child.(int) // what StartInstance is given below
				ref, err := actor.Spawn(g.system, actor.Spec{Name: "root/" + id}, &idle{g, n})
				return ref.PID, err
			},
			Spec: supervisor.ChildSpec{Shutdown: supervisor.BrutalKill},
		},
	})
	if err != nil {
		return 0, err
	}
	runtime.GC() // of what was measured before; the other measurements begin with one too
	begun := time.Now()
	for i := range children {
		if _, err := sup.StartInstance(context.Background(), "", i); err != nil {
			return 0, err
		}
	}
	took := last(births, children).Sub(begun)
	return took, sup.Stop(context.Background())
}

package supervisor_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor"
)

// greeter answers with its count of greetings, and cannot stand being greeted twice.
type greeter struct{ greetings int }

func (g *greeter) Receive(c *actor.Context[actor.Reply[int]], reply actor.Reply[int]) {
	if g.greetings++; g.greetings > 1 {
		c.Exit(errors.New("enough"))
		return
	}
	reply.Send(g.greetings)
}

// A child that fails is replaced by one that begins anew.
func Example() {
	ctx := context.Background()
	system := actor.NewSystem(actor.Options{})
	up := make(chan actor.Ref[actor.Reply[int]], 1)

	sup, err := supervisor.Start(ctx, system, supervisor.Options{
		Name: "root",
		Children: []supervisor.ChildSpec{{
			ID: "greeter",
			Start: func(context.Context) (actor.PID, error) {
				ref, err := actor.Spawn(system, actor.Spec{Name: "root/greeter"}, &greeter{})
				up <- ref
				return ref.PID, err
			},
		}},
		OnEvent: func(e supervisor.Event) {
			if e.Reason != nil {
				fmt.Println(e.Kind, e.Child, e.Reason)
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	greet := func(ref actor.Ref[actor.Reply[int]]) (int, error) {
		return actor.Ask(ctx, ref, func(r actor.Reply[int]) actor.Reply[int] { return r })
	}
	first := <-up
	fmt.Println(greet(first))
	_, _ = greet(first) // fails with ErrStopped
	fmt.Println(greet(<-up))
	_ = sup.Stop(ctx)

	// Output:
	// 1 <nil>
	// exited greeter enough
	// restart_scheduled greeter enough
	// 1 <nil>
	// stopped greeter shutdown
}

// echo ends when it is told so.
type echo struct{}

func (echo) Receive(c *actor.Context[error], reason error) { c.Exit(reason) }

// What comes later in the order needs what comes earlier: it is restarted with it.
func Example_restForOne() {
	ctx := context.Background()
	system := actor.NewSystem(actor.Options{})
	refs := make(map[string]actor.Ref[error])
	up := make(chan string, 5)
	spec := func(id string) supervisor.ChildSpec {
		return supervisor.ChildSpec{ID: id, Start: func(context.Context) (actor.PID, error) {
			ref, err := actor.Spawn(system, actor.Spec{Name: "root/" + id}, echo{})
			refs[id] = ref
			up <- id
			return ref.PID, err
		}}
	}
	sup, err := supervisor.Start(ctx, system, supervisor.Options{
		Name: "root", Strategy: supervisor.RestForOne,
		Children: []supervisor.ChildSpec{spec("store"), spec("index"), spec("search")},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("started", <-up, <-up, <-up)
	_ = refs["index"].Send(errors.New("disk full"))
	fmt.Println("started", <-up, <-up)
	_ = sup.Stop(ctx)

	// Output:
	// started store index search
	// started index search
}

// Children of one template, started as they are needed.
func ExampleSupervisor_StartInstance() {
	ctx := context.Background()
	system := actor.NewSystem(actor.Options{})
	sup, err := supervisor.Start(ctx, system, supervisor.Options{
		Name: "root", Strategy: supervisor.SimpleOneForOne, MaxChildren: 2,
		Template: &supervisor.Template{
			Start: func(_ context.Context, id string, _ any) (actor.PID, error) {
				ref, err := actor.Spawn(system, actor.Spec{Name: "root/" + id}, echo{})
				return ref.PID, err
			},
			Spec: supervisor.ChildSpec{ID: "worker", Restart: supervisor.Transient},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		pid, err := sup.StartInstance(ctx, "", nil)
		fmt.Println(pid.Name(), err)
	}
	_ = sup.Stop(ctx)

	// Output:
	// root/worker-1 <nil>
	// root/worker-2 <nil>
	//  start child worker-3 of root: too many children: it has its 2; delete one, or raise max_children
}

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

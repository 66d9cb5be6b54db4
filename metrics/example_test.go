package metrics_test

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/metrics"
	"github.com/understudy-run/understudy/supervisor"
)

func Example() {
	collector := metrics.NewCollector(metrics.Options{})
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector)

	system := actor.NewSystem(actor.Options{})
	top, err := supervisor.Start(context.Background(), system, supervisor.Options{
		Name: "root", OnEvent: collector.OnEvent,
		Children: []supervisor.ChildSpec{{ID: "a", Start: func(context.Context) (actor.PID, error) {
			ref, err := actor.Spawn(system, actor.Spec{Name: "root/a"}, worker{})
			return ref.PID, err
		}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	collector.Watch(metrics.Tree(top))

	families, err := registry.Gather() // what a handler of promhttp shows
	for _, family := range families {
		if family.GetName() == "understudy_actor_starts_total" {
			fmt.Println(family.GetName(), family.GetMetric()[0].GetCounter().GetValue(), err)
		}
	}
	if err := top.Stop(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: understudy_actor_starts_total 1 <nil>
}

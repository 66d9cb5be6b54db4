package understudy_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

// A session is spawned, asked, and shut down with everything it started.
func Example() {
	ctx := context.Background()
	data, err := os.MkdirTemp("", "understudy")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(data)
	rt, err := understudy.Start(ctx, understudy.Options{DataDir: data, CLI: simulated})
	if err != nil {
		log.Fatal(err)
	}
	reviewer, err := rt.Spawn(ctx, "reviewer", session.Options{PermissionMode: protocol.ModePlan, Env: simulatedEnv})
	if err != nil {
		log.Fatal(err)
	}
	for message, err := range reviewer.Query(ctx, "Hello") {
		if err != nil {
			log.Fatal(err)
		}
		if answer, ok := message.(*protocol.Assistant); ok {
			fmt.Println(answer.Text())
		}
	}
	if err := rt.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: echo: Hello
}

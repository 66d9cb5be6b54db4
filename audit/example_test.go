package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
)

func Example() {
	dir, err := os.MkdirTemp("", "audit")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	trail := audit.New(actor.NewSystem(actor.Options{}), audit.Options{
		Dir: dir, Runtime: "r1", Redact: []string{"sk-not-a-real-key"},
	})
	pid, err := trail.Start(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	err = trail.Append(context.Background(), audit.Record{
		Kind: audit.ToolIntent, Session: "reviewer", Tool: "Bash",
		Input: json.RawMessage(`{"command": "curl -H 'X-Api-Key: sk-not-a-real-key' localhost"}`),
	})
	if err != nil {
		fmt.Println(err) // the tool must not run
		return
	}
	pid.Stop(nil)
	<-pid.Done()

	for record, err := range audit.Read(dir) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(record.Seq, record.Kind)
		if record.Input != nil {
			// What follows "value" is the secret's digest under a key of this log.
			fmt.Println(regexp.MustCompile(`value [0-9a-f]+`).ReplaceAllString(string(record.Input), "value …"))
		}
	}
	// Output:
	// 1 log.opened
	// 2 tool.intent
	// {"command":"curl -H 'X-Api-Key: [redacted value …]' localhost"}
	// 3 log.closed
}

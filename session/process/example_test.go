package process_test

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/understudy-run/understudy/session/process"
)

// A program is started, spoken to and stopped. It is a shell here, which ignores the CLI's flags.
func Example() {
	p, err := process.Start(process.Launch{
		Path:       "/bin/sh",
		PrefixArgs: []string{"-c", `read line; echo "got $line"; cat`},
		APIKey:     "sk-example-not-real",
		Marker:     "example-runtime/reviewer/1",
	}, process.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	io.WriteString(p.Stdin(), "hello\n")
	out := bufio.NewReader(p.Stdout())
	line, _ := out.ReadString('\n')
	fmt.Print(line)

	report := p.Stop(context.Background(), process.DefaultLadder())
	io.Copy(io.Discard, out)
	fmt.Println(report.Ended, report.Exit)
	fmt.Println(process.Diagnose(report.Exit))
	// Output:
	// got hello
	// stdin exit code 0
	// exit code 0 after a stop
}

// What would be started can be looked at without starting it.
func ExampleLaunch_Argv() {
	l := process.Launch{Model: "sonnet", AllowedTools: []string{"Read", "Bash(git *)"}, Sandbox: map[string]any{"enabled": true}}
	args, err := l.Argv()
	for _, a := range args {
		fmt.Println(a)
	}
	fmt.Println(err)
	// Output:
	// --print
	// --verbose
	// --input-format=stream-json
	// --output-format=stream-json
	// --await-initialize
	// --strict-mcp-config
	// --setting-sources=
	// --model=sonnet
	// --allowedTools=Read,Bash(git *)
	// --settings={"sandbox":{"allowUnsandboxedCommands":false,"enabled":true,"failIfUnavailable":true}}
	// <nil>
}

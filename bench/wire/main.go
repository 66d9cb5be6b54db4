// Command wire measures how fast messages of a CLI reach whoever asked: Understudy's session beside the official
// TypeScript SDK and the Go SDK of severity1, each a process of its own, one after the other, against the same stand-in.
//
// The stand-in floods: an assistant message of 600 bytes and a partial one, in turn, as fast as its pipe takes them. In the first
// part the consumer reads the text of every message. In the second it takes one message and then no more; a second later it
// interrupts the turn, and the answer is waited for.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Environment of the processes that this program starts from itself.
const (
	roleVariable  = "WIRE_ROLE"  // cli, understudy, severity1, lines, json
	pairsVariable = "WIRE_PAIRS" // of messages that the stand-in sends
	stopVariable  = "WIRE_STOP"  // the consumer stops reading
)

const (
	sdkPackage = "@anthropic-ai/claude-agent-sdk"
	sdkVersion = "0.3.330"
)

// report is what a contender prints, as JSON.
type report struct {
	Messages    int     // with text
	Bytes       int     // of text
	Seconds     float64 // from the first message to the result
	CPU         float64 // seconds of it that the consumer's process took, from its start
	PeakMB      float64 // resident memory
	AllocsPer   float64 // per message; 0 if it is not known
	Lost        int     // messages that never came
	InterruptMS float64 // until it was answered; negative: it was not
	End         string  // what the turn ended with
}

func main() {
	// By its name first: a contender that asks for the CLI's version hands its own role on, and would be started
	// again by that, without end.
	if filepath.Base(os.Args[0]) == "claude" {
		standIn()
		return
	}
	switch os.Getenv(roleVariable) {
	case "cli":
		standIn()
		return
	case "understudy":
		tell(understudyRun())
		return
	case "severity1":
		tell(severity1Run())
		return
	case "lines":
		tell(limitRun(false))
		return
	case "json":
		tell(limitRun(true))
		return
	}
	pairs := flag.Int("pairs", 200_000, "pairs of an assistant and a partial message")
	rounds := flag.Int("rounds", 3, "rounds; the median is shown")
	only := flag.String("only", "", "run one contender alone")
	flag.Parse()
	if err := compare(*pairs, *rounds, *only); err != nil {
		fmt.Fprintln(os.Stderr, "wire:", err)
		os.Exit(1)
	}
}

func tell(r report, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		os.Exit(1)
	}
}

// contender is a program that consumes the flood.
type contender struct {
	name string
	argv []string
	env  []string
}

func compare(pairs, rounds int, only string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	contenders := []contender{
		{name: "Understudy", argv: []string{self}, env: []string{roleVariable + "=understudy"}},
		// A program that may have more garbage, or has more of a heap, collects less often.
		{name: "Understudy, GOGC=400", argv: []string{self}, env: []string{roleVariable + "=understudy", "GOGC=400"}},
		{name: "severity1 (Go)", argv: []string{self}, env: []string{roleVariable + "=severity1"}},
	}
	if script, err := typescript(); err != nil {
		fmt.Println("TypeScript SDK skipped:", err)
	} else {
		ts := contender{name: "TypeScript SDK", argv: append([]string{"node"}, script...)}
		contenders = slices.Insert(contenders, 1, ts)
	}
	// What can be had at all: a program that does nothing but to read.
	limits := []contender{
		{name: "lines, counted", argv: []string{self}, env: []string{roleVariable + "=lines"}},
		{name: "lines, decoded by encoding/json", argv: []string{self}, env: []string{roleVariable + "=json"}},
	}
	if only != "" {
		contenders = slices.DeleteFunc(contenders, func(c contender) bool { return !strings.HasPrefix(strings.ToLower(c.name), strings.ToLower(only)) })
	}
	results := make(map[string][]report)
	stopped := make(map[string]report)
	sdks := slices.Clip(contenders)
	if only == "" || only == "lines" {
		contenders = append(contenders, limits...)
	}
	for range rounds { // each contender in each round: what slows the machine down slows all of them
		for _, c := range contenders {
			r, err := run(c, pairs, false)
			if err != nil {
				fmt.Printf("%s: %v\n", c.name, err)
				continue
			}
			results[c.name] = append(results[c.name], r)
		}
	}
	for _, c := range sdks {
		r, err := run(c, 4*pairs, true) // more than anybody takes in that second
		if err != nil {
			r = report{InterruptMS: -1, End: firstLine(err.Error())}
		}
		stopped[c.name] = r
	}
	fmt.Printf("%d assistant messages of 600 bytes and %d partial ones; every text read; median of %d\n\n", pairs, pairs, rounds)
	fmt.Println("| | messages/s | CPU per message | peak memory | allocations per message | lost |\n|---|---|---|---|---|---|")
	for _, c := range contenders {
		list := results[c.name]
		if len(list) == 0 {
			fmt.Printf("| %s | failed | | | | |\n", c.name)
			continue
		}
		slices.SortFunc(list, func(a, b report) int { return cmp.Compare(a.rate(), b.rate()) })
		r := list[len(list)/2]
		allocs := "?"
		if r.AllocsPer > 0 {
			allocs = fmt.Sprintf("%.1f", r.AllocsPer)
		}
		fmt.Printf("| %s | %.0f | %.1f µs | %.0f MB | %s | %d |\n", c.name, r.rate(), r.CPU/float64(max(1, r.Messages))*1e6, r.PeakMB, allocs, r.Lost)
	}
	fmt.Println("\nA consumer that stops reading, and interrupts after a second:\n\n| | interrupt answered after | peak memory | the turn's end |\n|---|---|---|---|")
	for _, c := range sdks {
		r := stopped[c.name]
		answered := fmt.Sprintf("%.1f ms", r.InterruptMS)
		if r.InterruptMS < 0 {
			answered = "never"
		}
		if c.name == "severity1 (Go)" && r.InterruptMS >= 0 {
			answered = "it does not wait for the answer"
		}
		fmt.Printf("| %s | %s | %.0f MB | %s |\n", c.name, answered, r.PeakMB, r.End)
	}
	return nil
}

func (r report) rate() float64 { return float64(r.Messages) / r.Seconds }

// run has one contender consume one flood.
func run(c contender, pairs int, stop bool) (report, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Env = append(append(os.Environ(), c.env...), pairsVariable+"="+strconv.Itoa(pairs))
	if stop {
		cmd.Env = append(cmd.Env, stopVariable+"=1")
	}
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return report{}, fmt.Errorf("%w: %s", err, firstLine(stderr.String()))
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return report{}, fmt.Errorf("it prints %q", firstLine(out.String()))
	}
	r.CPU = cmd.ProcessState.UserTime().Seconds() + cmd.ProcessState.SystemTime().Seconds()
	r.Lost = 2*pairs - r.Messages
	return r, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if len(line) > 100 {
		line = line[:100] + "…"
	}
	return line
}

// typescript unpacks the official SDK, from npm at the first use, and gives the arguments of node.
func typescript() ([]string, error) {
	for _, tool := range []string{"node", "npm", "tar"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("there is no %s", tool)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "understudy-bench", "sdk-"+sdkVersion)
	entry := filepath.Join(dir, "package", "sdk.mjs")
	if _, err := os.Stat(entry); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		shell := exec.Command("sh", "-c", `npm pack --silent "$0" >/dev/null && tar xzf *.tgz`, sdkPackage+"@"+sdkVersion)
		shell.Dir = dir
		if out, err := shell.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("npm pack %s: %w: %s", sdkPackage, err, firstLine(string(out)))
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	script := filepath.Join(dir, "consume.mjs")
	if err := os.WriteFile(script, consumer, 0o644); err != nil {
		return nil, err
	}
	return []string{script, self}, nil
}

// peakMB is the most memory that this process had.
func peakMB() float64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	kb, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
	return float64(kb) / 1024
}

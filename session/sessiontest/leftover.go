package sessiontest

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// runVariable is in the environment of all that [CLI] and [API.Env] describe, and so of their tools: it says which test binary they
// belong to.
const runVariable = "UNDERSTUDY_TEST"

// runID is this test binary.
var runID = sync.OnceValue(uuid.NewString)

// goneWithin is how long what has been told to end may take to be gone. Nothing is waited for that long unless it is left.
const goneWithin = 30 * time.Second

// NothingLeft has the tests of a package fail that leave something behind, with what is left:
//
//	func TestMain(m *testing.M) { sessiontest.Main(sessiontest.NothingLeft(m)) }
//
// After the last test there is no process of a CLI that [CLI] or [API.Env] described, tool of one or other child of the test
// binary, no zombie, no open descriptor and no goroutine that was not there before the first. What is ending is waited for.
// Processes and descriptors are looked for where there is a /proc. What is kept by intent for as long as the program lives
// has a name, and is there once: the two descriptors of Go's poller, the program in memory that is the first process of pid namespaces,
// and the goroutine that gets signals.
func NothingLeft(m interface{ Run() int }) interface{ Run() int } { return nothingLeft{m} }

type nothingLeft struct{ tests interface{ Run() int } }

// Run runs the tests.
func (n nothingLeft) Run() int {
	descriptors, goroutines := openDescriptors(), goroutineIDs()
	code := n.tests.Run()
	if code != 0 { // a test that fails may leave anything
		return code
	}
	deadline := time.Now().Add(goneWithin)
	for {
		left := slices.Concat(processesLeft(), descriptorsLeft(descriptors), goroutinesLeft(goroutines))
		if len(left) == 0 {
			return 0
		}
		if time.Now().After(deadline) {
			fmt.Printf("FAIL: the tests have left behind:\n\t%s\n", strings.Join(left, "\n\t"))
			return 1
		}
		// Connections that wait for the next request are nobody's.
		http.DefaultClient.CloseIdleConnections()
		time.Sleep(10 * time.Millisecond)
	}
}

// processesLeft are those of this run, and children of this process.
func processesLeft() []string {
	var left []string
	mine := []byte("\x00" + runVariable + "=" + runID() + "\x00")
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is right
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil || pid == os.Getpid() {
			continue // it has ended meanwhile
		}
		_, after, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')'):]), " ")
		fields := strings.Fields(after) // state, parent
		if len(fields) < 2 {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join(dir, "environ")) // a zombie has none, and another user's is its own
		if fields[1] == strconv.Itoa(os.Getpid()) || bytes.Contains(append([]byte{0}, environ...), mine) {
			cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // as above
			left = append(left, fmt.Sprintf("process %d in state %s, child of %s: %.200q", pid, fields[0], fields[1], cmdline))
		}
	}
	return left
}

func openDescriptors() map[string]string {
	open := make(map[string]string)
	names, _ := filepath.Glob("/proc/self/fd/*") // the pattern is right
	for _, name := range names {
		if to, err := os.Readlink(name); err == nil { // the one that Glob had is closed
			open[name] = to
		}
	}
	return open
}

func descriptorsLeft(before map[string]string) []string {
	var left []string
	kept := map[string]bool{"anon_inode:[eventpoll]": true, "anon_inode:[eventfd]": true, "/memfd:understudy-init (deleted)": true}
	for name, to := range before {
		if now, err := os.Readlink(name); err == nil && now == to {
			delete(kept, to)
		}
	}
	for name, to := range openDescriptors() {
		if before[name] == to || kept[to] {
			delete(kept, to) // a second one is left
			continue
		}
		left = append(left, "descriptor "+filepath.Base(name)+": "+to)
	}
	slices.Sort(left)
	return left
}

// stacks are the goroutines, each by its number.
func stacks() map[string]string {
	dump := make([]byte, 1<<20)
	n := runtime.Stack(dump, true)
	for n == len(dump) {
		dump = make([]byte, 2*len(dump))
		n = runtime.Stack(dump, true)
	}
	all := make(map[string]string)
	for stack := range strings.SplitSeq(string(dump[:n]), "\n\n") {
		number, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		all[number] = stack
	}
	return all
}

func goroutineIDs() map[string]bool {
	all := make(map[string]bool)
	for number := range stacks() {
		all[number] = true
	}
	return all
}

func goroutinesLeft(before map[string]bool) []string {
	var left []string
	var signals, masks bool
	for number, stack := range stacks() {
		if before[number] {
			continue
		}
		if loop := strings.Contains(stack, "os/signal.loop("); loop && !signals {
			signals = true
			continue
		}
		if mask := strings.Contains(stack, "runtime.ensureSigM"); mask && !masks {
			masks = true
			continue
		}
		left = append(left, strings.ReplaceAll(stack, "\n", "\n\t\t"))
	}
	slices.Sort(left)
	return left
}

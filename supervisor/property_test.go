package supervisor_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor"
)

// sequences is how many random sequences the property test runs: those of the environment variable
// UNDERSTUDY_SEQUENCES, 2,000 without it.
func sequences() string {
	if n := os.Getenv("UNDERSTUDY_SEQUENCES"); n != "" {
		return n
	}
	return "2000"
}

// Random trees, and random sequences of faults and of what operators do, go the way of the model: the same
// children are started and stopped in the same order, and the same is left. A sequence that does not is
// shrunk and printed.
func TestSupervisorsAgreeWithTheModel(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	if before == checks.DefValue {
		if err := checks.Value.Set(sequences()); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = checks.Value.Set(before) }() // it was valid
	}
	rapid.Check(t, func(rt *rapid.T) {
		// Everything is drawn first: a panic of rapid's must not unwind through the bubble.
		root, steps := drawTree(rt), rapid.SliceOfN(rapid.Custom(drawStep), 1, 12).Draw(rt, "steps")
		var failure error
		synctest.Test(t, func(t *testing.T) { failure = (&trial{rig: newRig(t)}).run(root, steps) })
		if failure != nil {
			rt.Fatal(failure)
		}
	})
}

func drawTree(rt *rapid.T) *shape {
	n := 0
	root := drawSupervisor(rt, &n, 3)
	root.id, root.restart, root.significant, root.own = "root", supervisor.Permanent, false, false
	return root
}

func drawSupervisor(rt *rapid.T, n *int, depth int) *shape {
	s := &shape{
		strategy:  rapid.SampledFrom([]supervisor.Strategy{supervisor.OneForOne, supervisor.OneForAll, supervisor.RestForOne}).Draw(rt, "strategy"),
		auto:      rapid.SampledFrom([]supervisor.AutoShutdown{supervisor.Never, supervisor.AnySignificant, supervisor.AllSignificant}).Draw(rt, "auto"),
		intensity: rapid.IntRange(0, 3).Draw(rt, "intensity"),
	}
	for range rapid.IntRange(1, 4).Draw(rt, "children") {
		var child *shape
		if depth > 1 && rapid.IntRange(0, 3).Draw(rt, "kind") == 3 {
			child = drawSupervisor(rt, n, depth-1)
		} else {
			child = &shape{own: rapid.IntRange(0, 4).Draw(rt, "own") == 4}
		}
		*n++
		child.id = fmt.Sprint("n", *n)
		child.restart = rapid.SampledFrom([]supervisor.Restart{supervisor.Permanent, supervisor.Transient, supervisor.Temporary}).Draw(rt, "restart")
		child.significant = s.auto != supervisor.Never && child.restart != supervisor.Permanent && rapid.Bool().Draw(rt, "significant")
		s.children = append(s.children, child)
	}
	return s
}

// step is one thing that happens. Whom to is a number, taken modulo those to whom it may.
type step struct {
	what string
	whom int
	n    int
}

func (s step) String() string { return fmt.Sprintf("%s %d %d", s.what, s.whom, s.n) }

func drawStep(rt *rapid.T) step {
	return step{
		what: rapid.SampledFrom([]string{
			"crash", "crash", "crash", "crash two", "finish", "shut down", "hopeless", "planned",
			"fail", "fail", "pass", "terminate", "restart", "recycle", "delete", "add",
		}).Draw(rt, "what"),
		whom: rapid.IntRange(0, 15).Draw(rt, "whom"),
		n:    rapid.IntRange(1, 6).Draw(rt, "n"),
	}
}

// trial runs a sequence on a real tree and on the model.
type trial struct {
	*rig
	model
	sups  map[string]*supervisor.Supervisor // by id, the newest incarnation
	gate  chan struct{}                     // if not nil, holds up the supervisor that sees the next exit
	fails map[string]int                    // as the model's
	told  []string
	added int
}

func (t *trial) run(root *shape, steps []step) error {
	t.sups, t.fails = make(map[string]*supervisor.Supervisor), make(map[string]int)
	t.model = model{root: &node{shape: root}, fails: make(map[string]int)}
	options := t.options("root", root)
	options.Pace = supervisor.NewPace(1_000_000, 1_000_000)
	options.OnEvent = t.onEvent
	t.told = append(t.told, "tree: "+root.String())
	if err := t.tryStart(options); err != nil {
		return err
	}
	defer t.over()
	t.sups["root"] = t.sup
	t.start(t.root)
	if err := t.compare(); err != nil {
		return err
	}
	for _, s := range steps {
		t.do(s)
		if err := t.compare(); err != nil {
			return err
		}
		if t.root.state != supervisor.Running {
			return nil
		}
	}
	return nil
}

func (t *trial) start(n *node) { t.model.start(n) }

func (t *trial) onEvent(e supervisor.Event) {
	t.rig.onEvent(e)
	if t.gate != nil && e.Kind == supervisor.ChildExited {
		<-t.gate
	}
}

func (t *trial) options(path string, s *shape) supervisor.Options {
	options := supervisor.Options{
		Name: path, Strategy: s.strategy, AutoShutdown: s.auto, Intensity: intensity(s.intensity, modelWindow), OnEvent: t.onEvent,
	}
	for _, c := range s.children {
		options.Children = append(options.Children, t.specOf(path, c))
	}
	return options
}

func (t *trial) specOf(path string, s *shape) supervisor.ChildSpec {
	edit := func(spec *supervisor.ChildSpec) {
		spec.Restart, spec.Significant = s.restart, s.significant
		if s.own {
			spec.Intensity, spec.OnExhausted = intensity(1, modelWindow), supervisor.Fail
		}
	}
	if s.supervisor() {
		inner := path + "/" + s.id
		return t.inner(inner, s.id, t.options(inner, s), func(sup *supervisor.Supervisor) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.sups[s.id] = sup
		}, edit)
	}
	return t.specUnder(path, s.id, kid{start: func(context.Context, int) error {
		t.mu.Lock()
		failing := t.fails[s.id] > 0
		if failing {
			t.fails[s.id]--
		}
		t.mu.Unlock()
		if failing {
			t.rig.note("fail %s", s.id)
			return errBoom
		}
		return nil
	}}, edit)
}

// pick is the node that a step is about, among those for which that makes sense; nil if there is none.
func (t *trial) pick(s step, fits func(*node) bool) *node {
	var nodes []*node
	t.root.walk(func(n *node) bool {
		if fits(n) {
			nodes = append(nodes, n)
		}
		return true
	})
	if len(nodes) == 0 {
		return nil
	}
	return nodes[s.whom%len(nodes)]
}

func anyChild(*node) bool      { return true }
func runningLeaf(n *node) bool { return !n.supervisor() && n.state == supervisor.Running }

func (t *trial) tell(format string, args ...any) {
	t.told = append(t.told, fmt.Sprintf(format, args...))
}

var endings = map[string]error{
	"crash": errBoom, "finish": nil, "shut down": actor.ErrShutdown, "hopeless": errFlag, "planned": supervisor.ErrRecycle,
}

// do does a step, to the tree and to the model.
func (t *trial) do(s step) {
	ctx := t.t.Context()
	switch s.what {
	case "pass":
		d := time.Duration(s.n) * time.Second
		t.tell("%v pass", d)
		time.Sleep(d)
		t.now += d
		return
	case "crash two":
		t.crashTwo(s)
		return
	case "add":
		t.addTo(s)
		return
	}
	if reason, ends := endings[s.what]; ends {
		if n := t.pick(s, runningLeaf); n != nil {
			t.tell("%s: %s", n.id, s.what)
			t.exit(n.id, reason)
			t.model.note("stop", n.id)
			t.ended(n, reason)
		}
		return
	}
	n := t.pick(s, anyChild)
	if n == nil {
		return
	}
	sup := t.sups[n.parent.id]
	t.tell("%s %s", s.what, n.id)
	// Whether a call is refused shows in what is left.
	switch s.what {
	case "fail":
		if !n.supervisor() {
			t.fails[n.id], t.model.fails[n.id] = s.n, s.n
		}
	case "terminate":
		_ = sup.TerminateChild(ctx, n.id)
		t.terminate(n)
	case "restart":
		_, _ = sup.RestartChild(ctx, n.id)
		t.restartByHand(n)
	case "recycle":
		_, _ = sup.RecycleChild(ctx, n.id)
		t.recycle(n)
	case "delete":
		_ = sup.DeleteChild(ctx, n.id)
		t.delete(n)
	}
}

func (t *trial) addTo(s step) {
	sup := t.root
	if n := t.pick(s, func(n *node) bool { return n.supervisor() && n.state == supervisor.Running }); n != nil && s.n > 3 {
		sup = n
	}
	t.added++
	child := &shape{id: fmt.Sprint("d", t.added), restart: supervisor.Permanent}
	handle := t.sups[sup.id]
	t.tell("add %s to %s", child.id, sup.id)
	_, _ = handle.StartChild(t.t.Context(), t.specOf(handle.PID().Name(), child))
	t.model.add(sup, child)
}

// crashTwo has two children of one supervisor crash before it sees the first.
func (t *trial) crashTwo(s step) {
	// Under one_for_one the two restarts run side by side.
	first := t.pick(s, func(n *node) bool { return runningLeaf(n) && n.parent.strategy != supervisor.OneForOne })
	if first == nil {
		return
	}
	var others []*node
	for _, n := range first.parent.children {
		// What a significant child's end means depends on whether its stop was asked for by then.
		if n != first && runningLeaf(n) && !n.significant {
			others = append(others, n)
		}
	}
	if len(others) == 0 {
		return
	}
	second := others[s.n%len(others)]
	t.tell("%s and %s crash at once", first.id, second.id)
	t.gate = make(chan struct{})
	t.exit(first.id, errBoom)
	t.exit(second.id, errBoom)
	gate := t.gate
	t.gate = nil
	close(gate)
	synctest.Wait()
	t.model.note("stop", first.id)
	t.model.note("stop", second.id)
	sup := second.parent
	second.isDown = true
	t.ended(first, errBoom)
	if second.isDown && slices.Contains(sup.children, second) {
		t.ended(second, errBoom)
	}
}

// compare tells how the tree differs from the model, and how it came to that.
func (t *trial) compare() error {
	var log []string
	for _, line := range t.notes() {
		log = append(log, strings.Join(strings.Fields(line)[:2], " "))
	}
	want := t.model.log
	t.model.log = nil
	var got, wanted string
	if t.root.state == supervisor.Running {
		wanted = t.root.describe(t.now)
	}
	if tree, err := t.sup.Tree(t.t.Context()); err == nil {
		var b strings.Builder
		describeReal(&b, tree)
		got = b.String()
	} else if !errors.Is(err, actor.ErrStopped) {
		got = err.Error()
	}
	if slices.Equal(log, want) && got == wanted {
		return nil
	}
	return fmt.Errorf("%s\n  was:  %v\n        %s\n  want: %v\n        %s",
		strings.Join(t.told, "\n"), log, got, want, wanted)
}

package process

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Layer is one of the means by which what a session has started is held together, so that it can be ended.
type Layer string

// The layers, weakest first. What each of them is good for is in docs/containment.md.
const (
	// LayerGroup is the process group of the CLI: what stays in it gets the CLI's signals.
	LayerGroup Layer = "process_group"
	// LayerMarker is a variable in the environment of all that the CLI starts, by which a sweep finds it.
	LayerMarker Layer = "marker"
	// LayerDeathSignal has the kernel kill the CLI when the runtime dies.
	LayerDeathSignal Layer = "death_signal"
	// LayerSubreaper makes the runtime the parent of the CLI's orphans; see BecomeSubreaper.
	LayerSubreaper Layer = "subreaper"
	// LayerLedger is a list on disk of what was seen below the CLI, for the next runtime; see Ledger.
	LayerLedger Layer = "ledger"
	// LayerCgroup is a control group of the session's own, which the kernel kills as a whole.
	LayerCgroup Layer = "cgroup"
	// LayerPIDNamespace is a pid namespace of the session's own. Its first process is ours, and the kernel kills all of
	// the namespace with it: also when the runtime itself is killed, and whatever a tool has done to hide.
	LayerPIDNamespace Layer = "pid_namespace"
	// LayerContainer is a container or sandbox that a Launcher runs the CLI in.
	LayerContainer Layer = "container"
)

// Layers returns all layers, weakest first.
func Layers() []Layer {
	return []Layer{
		LayerGroup, LayerMarker, LayerDeathSignal, LayerSubreaper, LayerLedger, LayerCgroup, LayerPIDNamespace, LayerContainer,
	}
}

// UnmarshalText takes the name of a layer.
func (l *Layer) UnmarshalText(text []byte) error {
	name := Layer(strings.ReplaceAll(string(text), "-", "_"))
	if !slices.Contains(Layers(), name) {
		return fmt.Errorf("%q is not a layer of containment; expected one of %s", cut(string(text), 80), joined(Layers()))
	}
	*l = name
	return nil
}

func joined(layers []Layer) string {
	var out []string
	for _, l := range layers {
		out = append(out, string(l))
	}
	return strings.Join(out, ", ")
}

// Containment says how much of it a session must have. The zero value takes all that this host offers.
type Containment struct {
	// Require are layers without which the process is not started: a StartError of ClassRequest says which is
	// missing and why.
	Require []Layer `json:"require,omitzero"`
	// Without are layers that are not to be used though the host offers them: pid_namespace and cgroup. In a pid namespace
	// the agent sees and signals its own processes only, and a plain user can't become another one (sudo).
	Without []Layer `json:"without,omitzero"`
}

// Validate reports what can't be meant.
func (c Containment) Validate() error {
	for _, l := range append(slices.Clone(c.Require), c.Without...) {
		if !slices.Contains(Layers(), l) {
			return fmt.Errorf("containment: %q is not a layer; expected one of %s", cut(string(l), 80), joined(Layers()))
		}
	}
	for _, l := range c.Without {
		if l != LayerPIDNamespace && l != LayerCgroup {
			return fmt.Errorf("containment: %s can't be left out; only %s and %s can", l, LayerPIDNamespace, LayerCgroup)
		}
		if slices.Contains(c.Require, l) {
			return fmt.Errorf("containment: %s is required and left out at once; remove one", l)
		}
	}
	return nil
}

// Limits bound what a session, with all that it starts, may take of the host. The zero value bounds nothing. A limit that
// can't be had is a StartError, never ignored: memory and CPU take a control group with that controller; processes take one, or,
// for a user other than root, a user namespace.
type Limits struct {
	// Memory of all processes together; beyond it the kernel kills one of them, most often the largest. A CLI needs
	// some 250 MB, 1 GiB is comfortable.
	Memory Bytes `json:"memory,omitzero"`
	// Processes that may be there at once, threads counted. A CLI needs some 20.
	Processes int `json:"processes,omitzero"`
	// CPUs is how many cores' worth of time may be used, such as 1.5.
	CPUs float64 `json:"cpus,omitzero"`
}

// The least that a CLI can be started with.
const (
	leastMemory    = 64 << 20
	leastProcesses = 16
	leastCPUs      = 0.01
)

// Validate reports what can't be meant.
func (l Limits) Validate() error {
	switch {
	case l.Memory < 0 || l.Memory > 0 && l.Memory < leastMemory:
		return fmt.Errorf("limits: memory %s: expected at least %s (a CLI needs some 250 MB), or 0 for no limit", l.Memory, Bytes(leastMemory))
	case l.Processes < 0 || l.Processes > 0 && l.Processes < leastProcesses:
		return fmt.Errorf("limits: processes %d: expected at least %d (threads count, and a CLI has some 10), or 0 for no limit", l.Processes, leastProcesses)
	case l.CPUs != l.CPUs, l.CPUs < 0, l.CPUs > 0 && l.CPUs < leastCPUs, l.CPUs > 4096:
		return fmt.Errorf("limits: cpus %v: expected a number of cores such as 0.5 or 2, or 0 for no limit", l.CPUs)
	}
	return nil
}

// IsZero reports whether nothing is bounded.
func (l Limits) IsZero() bool { return l == Limits{} }

// Bytes is an amount of memory. As text it has a unit: 512MiB, 2GiB, 1.5G, 300MB, or none for bytes.
type Bytes int64

var byteUnits = []struct {
	name string
	size float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40}, {"B", 1},
}

// UnmarshalText reads a number with a unit.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	number, size := s, 1.0
	for _, u := range byteUnits {
		if n := len(s) - len(u.name); n > 0 && strings.EqualFold(s[n:], u.name) {
			number, size = strings.TrimSpace(s[:n]), u.size
			break
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v < 0 || v*size >= 1<<62 || v != v {
		return fmt.Errorf("%q is not an amount of memory; write it like 512MiB or 2GiB", cut(s, 80))
	}
	*b = Bytes(v * size)
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// String gives the amount in the largest binary unit that shows it exactly.
func (b Bytes) String() string {
	for _, u := range []struct {
		name string
		size Bytes
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// LayerStatus is what this host has of a layer.
type LayerStatus struct {
	Layer     Layer
	Available bool
	Detail    string // what there is, or why not
	Fix       string // what would give it; may be empty
}

// Inspect looks at what this host offers to this program now. It starts a process in namespaces to see whether that
// works, which takes some 10 ms the first time.
func Inspect() []LayerStatus { return inspect() }

// errUnavailable is a layer or limit that can't be had.
type errUnavailable struct {
	what, why, fix string
}

func (e *errUnavailable) Error() string { return e.what + ": " + e.why }

// refusal makes a StartError of what a plan says.
func refusal(c command, err error) error {
	e := &StartError{Class: ClassRequest, Path: c.path, Dir: c.dir, Err: err}
	var missing *errUnavailable
	if errors.As(err, &missing) {
		e.Hint = missing.fix
	}
	return e
}

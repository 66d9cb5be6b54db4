package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// holding is how one process is going to be held: what its containment and limits come to on this host.
type holding struct {
	ns        *namespaces // nil for none
	host      *groupHost  // where to make a control group; nil for none
	group     *cgroup     // once it is made
	marker    string
	limits    Limits // those that the group is to have
	processes uint64 // those that the user namespace is to have; 0 for no limit
	env       []string
	layers    []Layer
}

// hold decides. An error says which required layer or limit can't be had.
func hold(c command, o Options) (*holding, error) {
	if err := errors.Join(c.containment.Validate(), c.limits.Validate()); err != nil {
		return nil, err
	}
	h := &holding{marker: c.marker, env: []string{MarkerVariable + "=" + c.marker}, layers: []Layer{LayerGroup, LayerMarker, LayerDeathSignal}}
	if subreaperOn() {
		h.layers = append(h.layers, LayerSubreaper)
	}
	without, require := c.containment.Without, c.containment.Require
	var why error
	if !slices.Contains(without, LayerPIDNamespace) {
		if h.ns, why = pidNamespace(); h.ns == nil {
			why = &errUnavailable{"pid_namespace", nsReason(why), nsFix(why)}
		}
	}
	if o.Ledger != nil && h.ns == nil {
		h.layers = append(h.layers, LayerLedger)
	}
	if slices.Contains(require, LayerPIDNamespace) && h.ns == nil {
		return nil, fmt.Errorf("containment requires %w", why)
	}
	limits := c.limits
	host := findGroups()
	if limits.Processes > 0 && h.ns != nil && h.ns.user && os.Geteuid() != 0 && host.lacks(Limits{Processes: limits.Processes}, true) != nil {
		// Within a user namespace the kernel counts the processes of this user in there alone.
		h.processes, limits.Processes = uint64(limits.Processes), 0
	}
	required := slices.Contains(require, LayerCgroup)
	if required && host.dir == "" {
		return nil, fmt.Errorf("containment requires %w", host.why)
	}
	if !limits.IsZero() {
		if slices.Contains(without, LayerCgroup) {
			return nil, &errUnavailable{"limits", "they need a control group, which containment.without leaves out", "remove one of the two"}
		}
		if missing := host.lacks(limits, h.ns != nil); missing != nil {
			return nil, missing
		}
		h.host, h.limits = host, limits
	}
	// Beside a pid namespace a group without limits has nothing to do.
	if host.dir != "" && (required || h.ns == nil && !slices.Contains(without, LayerCgroup)) {
		h.host = host
	}
	if h.host != nil && h.host.dir != "" {
		h.layers = append(h.layers, LayerCgroup)
	}
	if h.ns != nil {
		h.layers = append(h.layers, LayerPIDNamespace)
	}
	if c.contained {
		h.layers = append(h.layers, LayerContainer)
	}
	for _, l := range require {
		if !slices.Contains(h.layers, l) {
			return nil, &errUnavailable{"containment requires " + string(l), missingLayer(l), ""}
		}
	}
	return h, nil
}

func missingLayer(l Layer) string {
	switch l {
	case LayerSubreaper:
		return "this program has not called process.BecomeSubreaper, which the daemon does"
	case LayerLedger:
		return "there is no data directory to keep it in, or a pid namespace makes it needless"
	case LayerContainer:
		return "the session has no launcher that runs the CLI in one"
	}
	return "this host does not have it"
}

func (h *holding) makeGroup() (*cgroup, error) {
	if h.host == nil {
		return nil, nil
	}
	g, err := h.host.create(h.marker, h.limits)
	h.group = g
	return g, err
}

// join moves the first process of a namespace to where it could not be cloned into.
func (h *holding) join(pid int) error {
	if h.group == nil {
		return nil
	}
	return h.group.join(pid)
}

// failed says whether err comes from the containment and not from the program.
func (h *holding) failed(err error) bool {
	var first *initError
	return errors.As(err, &first) || errors.Is(err, unix.ETIME) || errors.Is(err, unix.ECHILD) || strings.HasPrefix(err.Error(), "control group: ")
}

// endGroup ends what is left in the session's control group.
func (c *child) endGroup(timeout time.Duration) error {
	if c.group == nil {
		return nil
	}
	_, err := c.group.end(timeout)
	return err
}

// nsReason says in words why there is no pid namespace.
func nsReason(err error) string {
	var step *initError
	switch {
	case errors.As(err, &step) && step.step == stepMounts:
		return fmt.Sprintf("/proc can't be mounted in one (%v): most containers cover parts of it", step.err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		return "the kernel's limit of namespaces is reached: " + err.Error()
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "this user may not make one: " + err.Error()
	}
	return err.Error()
}

func nsFix(err error) string {
	read := func(path string) string {
		data, err := os.ReadFile(path)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(data))
	}
	var step *initError
	switch {
	case read("/proc/sys/user/max_user_namespaces") == "0":
		return "sysctl user.max_user_namespaces=15000"
	case read("/proc/sys/kernel/unprivileged_userns_clone") == "0":
		return "sysctl kernel.unprivileged_userns_clone=1"
	case read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" && os.Geteuid() != 0:
		return "give this program an AppArmor profile with \"userns,\", or sysctl kernel.apparmor_restrict_unprivileged_userns=0"
	case errors.As(err, &step) && step.step == stepMounts:
		return "run the container with its /proc uncovered (docker: --security-opt systempaths=unconfined, podman: --security-opt unmask=ALL), " +
			"or let the container be the containment"
	}
	return "containers: allow user namespaces (docker: a seccomp profile that has clone and unshare)"
}

func inspect() []LayerStatus {
	out := []LayerStatus{
		{LayerGroup, true, "of the CLI", ""},
		{LayerMarker, true, MarkerVariable + " in the environment of all that a session starts", ""},
		{LayerDeathSignal, true, "SIGKILL to the CLI when the runtime dies", ""},
	}
	sub := LayerStatus{Layer: LayerSubreaper, Available: true, Detail: "on"}
	if !subreaperOn() {
		sub.Detail = "the daemon is one; a program of your own calls process.BecomeSubreaper"
	}
	out = append(out, sub, LayerStatus{LayerLedger, true, "in the data directory, where there is no pid namespace", ""})
	group := LayerStatus{Layer: LayerCgroup}
	host := findGroups()
	switch {
	case host.dir != "":
		group.Available, group.Detail = true, "below "+host.dir
		var have, later, lack []string
		offered := words(filepath.Join(host.dir, "cgroup.controllers"))
		for _, l := range []struct {
			name string
			l    Limits
		}{{"memory", Limits{Memory: leastMemory}}, {"processes", Limits{Processes: leastProcesses}}, {"cpus", Limits{CPUs: 1}}} {
			switch miss := host.lacks(l.l, true); {
			case miss == nil:
				have = append(have, l.name)
			case slices.Contains(offered, l.l.controllers()[0]):
				later = append(later, l.name)
			default:
				lack, group.Fix = append(lack, l.name), miss.fix
			}
		}
		if len(have) > 0 {
			group.Detail += "; limits: " + strings.Join(have, ", ")
		}
		if len(later) > 0 {
			group.Detail += "; limits: " + strings.Join(later, ", ") + ", which the daemon switches on for sessions that have some, and a program of your own by process.DelegateCgroup"
		}
		if len(lack) > 0 {
			group.Detail += "; no limits of " + strings.Join(lack, ", ")
		}
	default:
		group.Detail, group.Fix = host.why.why, host.why.fix
	}
	ns := LayerStatus{Layer: LayerPIDNamespace}
	if n, err := pidNamespace(); n != nil {
		ns.Available, ns.Detail = true, "without a user namespace"
		if n.user {
			ns.Detail = "in a user namespace"
		}
		if !n.small {
			ns.Detail += "; its first process is this program, executed again"
		}
	} else {
		ns.Detail, ns.Fix = nsReason(err), nsFix(err)
	}
	return append(out, group, ns)
}

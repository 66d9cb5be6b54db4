package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// groupPrefix begins the name of each control group of ours; the marker follows.
const groupPrefix = "understudy."

// groupHost is where this program may make control groups.
type groupHost struct {
	dir         string            // of version 2; empty for none
	why         *errUnavailable   // why there is none
	controllers []string          // that groups below dir have
	v1          map[string]string // controllers that are on version 1, and where this program may make groups of them
}

var groupCache struct {
	mu   sync.Mutex
	host *groupHost
}

func findGroups() *groupHost {
	groupCache.mu.Lock()
	defer groupCache.mu.Unlock()
	if groupCache.host == nil {
		groupCache.host = lookForGroups("/proc/self/mountinfo", "/proc/self/cgroup")
	}
	return groupCache.host
}

func forgetGroups() {
	groupCache.mu.Lock()
	groupCache.host = nil
	groupCache.mu.Unlock()
}

// lookForGroups reads where control groups are mounted and which this program is in. A group of a session is a child of it.
func lookForGroups(mountinfo, cgroup string) *groupHost {
	h := &groupHost{v1: map[string]string{}}
	none := func(why, fix string) { h.why = &errUnavailable{"cgroup", why, fix} }
	none("control groups are not mounted here", "")
	mounts, err := os.ReadFile(mountinfo)
	if err != nil {
		none(err.Error(), "")
		return h
	}
	own, err := os.ReadFile(cgroup)
	if err != nil {
		none(err.Error(), "")
		return h
	}
	paths := ownGroups(own)
	for line := range bytes.Lines(mounts) {
		m, ok := parseMount(string(line))
		if !ok {
			continue
		}
		switch m.kind {
		case "cgroup2":
			path, ok := m.below(paths[""])
			if ok && h.dir == "" {
				h.useV2(path, paths[""] == "/")
			}
		case "cgroup":
			for _, controller := range []string{"memory", "pids", "cpu"} {
				if path, ok := m.below(paths[controller]); ok && slices.Contains(m.options, controller) && writableGroup(path) == nil {
					h.v1[controller] = path
				}
			}
		}
	}
	return h
}

func (h *groupHost) useV2(dir string, root bool) {
	none := func(why, fix string) { h.why = &errUnavailable{"cgroup", why, fix} }
	const delegate = "set Delegate=yes in the unit, or start it with systemd-run --user --scope -p Delegate=yes"
	// Below systemd a group belongs to whom it was delegated to; others may write there as root, and should not.
	home := dir
	if filepath.Base(dir) == ownGroup {
		home = filepath.Dir(dir)
	}
	if managed() && !root && !delegated(home) {
		if up := filepath.Dir(home); delegated(up) { // DelegateSubgroup=
			home = up
		} else {
			none(fmt.Sprintf("%s belongs to systemd and is not delegated to this program", dir), delegate)
			return
		}
	}
	if err := writableGroup(home); err != nil {
		fix := delegate
		if !managed() {
			fix = "mount control groups writable, or run as root"
		}
		none(fmt.Sprintf("no group can be made in %s: %v", home, err), fix)
		return
	}
	if _, err := os.Stat(filepath.Join(home, "cgroup.subtree_control")); err != nil {
		none(err.Error(), "")
		return
	}
	h.dir, h.why = home, nil
	h.controllers = enabledControllers(home)
}

// ownGroup is the group below a delegated one that a program moves itself to, so that its sessions can be beside it.
const ownGroup = "understudy.runtime"

// DelegateCgroup makes this program's control group (version 2) one whose children can be given limits: it moves the program
// into a child of that group, since the kernel limits children of groups without processes only, and switches the
// controllers on. It is for a program whose group was made for it, as by Delegate=yes in a systemd unit, which a
// library must not assume: the daemon does it. An error says why there will be no limits on this host; everything else works.
func DelegateCgroup() error {
	h := findGroups()
	if h.dir == "" {
		return h.why
	}
	defer forgetGroups()
	offered := words(filepath.Join(h.dir, "cgroup.controllers"))
	var want []string
	for _, c := range []string{"memory", "pids", "cpu"} {
		if slices.Contains(offered, c) && !slices.Contains(h.controllers, c) {
			want = append(want, "+"+c)
		}
	}
	if len(want) == 0 {
		return nil
	}
	enable := func() error {
		return os.WriteFile(filepath.Join(h.dir, "cgroup.subtree_control"), []byte(strings.Join(want, " ")), 0)
	}
	err := enable()
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	own := filepath.Join(h.dir, ownGroup)
	if err := os.Mkdir(own, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for range 10 { // what is started meanwhile starts in the old group
		members := words(filepath.Join(h.dir, "cgroup.procs"))
		if len(members) == 0 {
			break
		}
		for _, pid := range members {
			_ = os.WriteFile(filepath.Join(own, "cgroup.procs"), []byte(pid), 0) // it may have ended
		}
	}
	if err := enable(); err != nil {
		return fmt.Errorf("switch on controllers %s: %w", strings.Join(want, " "), err)
	}
	return nil
}

func managed() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

func delegated(dir string) bool {
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		b := make([]byte, 8)
		if n, err := unix.Getxattr(dir, name, b); err == nil && string(b[:n]) == "1" {
			return true
		}
	}
	return false
}

func writableGroup(dir string) error {
	for _, p := range []string{dir, filepath.Join(dir, "cgroup.procs")} {
		if err := unix.Access(p, unix.W_OK); err != nil {
			return err
		}
	}
	return nil
}

// enabledControllers are those that a child of dir has, switching on what can be at no cost.
func enabledControllers(dir string) []string {
	return words(filepath.Join(dir, "cgroup.subtree_control"))
}

func words(path string) []string {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Fields(string(data))
}

// ownGroups maps controllers of version 1 to this program's group, and "" to that of version 2.
func ownGroups(data []byte) map[string]string {
	out := map[string]string{}
	for line := range bytes.Lines(data) {
		f := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		if len(f) != 3 {
			continue
		}
		for c := range strings.SplitSeq(f[1], ",") {
			out[c] = f[2]
		}
	}
	return out
}

type mount struct {
	root, at, kind string
	options        []string // of the file system
}

// parseMount reads a line of /proc/PID/mountinfo.
func parseMount(line string) (mount, bool) {
	before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
	f, g := strings.Fields(before), strings.Fields(after)
	if !ok || len(f) < 6 || len(g) < 3 {
		return mount{}, false
	}
	return mount{root: unescape(f[3]), at: unescape(f[4]), kind: g[0], options: strings.Split(g[2], ",")}, true
}

var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func unescape(s string) string { return mountEscapes.Replace(s) }

// below is where group is in this mount.
func (m mount) below(group string) (string, bool) {
	if group == "" {
		return "", false
	}
	if m.root == "/" {
		return filepath.Join(m.at, group), true
	}
	rest, ok := strings.CutPrefix(group, m.root)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return filepath.Join(m.at, rest), true
}

// cgroup is the control group of one session: a directory, or several where controllers are on version 1.
type cgroup struct {
	v2  string
	v1  []string
	oom []string // files that count kills for lack of memory
}

func groupName(marker string) string { return groupPrefix + url.PathEscape(marker) }

// limitFile is a file that a limit is written to.
type limitFile struct{ controller, file, value string }

func (l Limits) files(v1 bool) []limitFile {
	var out []limitFile
	add := func(controller, file, value string) { out = append(out, limitFile{controller, file, value}) }
	if l.Memory > 0 {
		n := strconv.FormatInt(int64(l.Memory), 10)
		if v1 {
			add("memory", "memory.limit_in_bytes", n)
		} else {
			add("memory", "memory.max", n)
			add("memory", "memory.swap.max", "0")
		}
	}
	if l.Processes > 0 {
		add("pids", "pids.max", strconv.Itoa(l.Processes))
	}
	if l.CPUs > 0 {
		const period = 100_000 // µs, the kernel's default
		quota := strconv.Itoa(max(int(l.CPUs*period), 1000))
		if v1 {
			add("cpu", "cpu.cfs_period_us", strconv.Itoa(period))
			add("cpu", "cpu.cfs_quota_us", quota)
		} else {
			add("cpu", "cpu.max", quota+" "+strconv.Itoa(period))
		}
	}
	return out
}

func (l Limits) controllers() []string {
	var out []string
	for _, f := range l.files(false) {
		if !slices.Contains(out, f.controller) {
			out = append(out, f.controller)
		}
	}
	return out
}

// lacks says which of the controllers this host does not give, or nil. Controllers of version 1 take the first process of a
// namespace, which waits until it is in its group.
func (h *groupHost) lacks(l Limits, v1 bool) *errUnavailable {
	for _, c := range l.controllers() {
		if h.dir != "" && slices.Contains(h.controllers, c) || v1 && h.v1[c] != "" {
			continue
		}
		what := map[string]string{"memory": "limits.memory", "pids": "limits.processes", "cpu": "limits.cpus"}[c]
		switch {
		case h.why != nil && len(h.v1) == 0:
			return &errUnavailable{what, "needs a control group: " + h.why.why, h.why.fix}
		case h.dir != "":
			return &errUnavailable{what, fmt.Sprintf("the control group %s has no %s controller for its children", h.dir, c),
				"run under a unit with Delegate=yes; a program of your own calls process.DelegateCgroup"}
		}
		return &errUnavailable{what, fmt.Sprintf("needs the %s controller of control groups, which this program may not use", c),
			"run under a systemd unit with Delegate=yes, or in a container with limits of its own"}
	}
	return nil
}

// create makes the group of a session. What an earlier process of that marker has left is ended first.
func (h *groupHost) create(marker string, l Limits) (*cgroup, error) {
	g := &cgroup{}
	name := groupName(marker)
	mkdir := func(parent string) (string, error) {
		dir := filepath.Join(parent, name)
		err := os.Mkdir(dir, 0o755)
		if errors.Is(err, fs.ErrExist) {
			if _, err := endGroup(dir, time.Now().Add(sweepTimeout)); err != nil {
				return "", err
			}
			err = os.Mkdir(dir, 0o755)
		}
		return dir, err
	}
	fail := func(err error) (*cgroup, error) {
		g.remove()
		return nil, fmt.Errorf("control group: %w", err)
	}
	if h.dir != "" {
		dir, err := mkdir(h.dir)
		if err != nil {
			return fail(err)
		}
		g.v2 = dir
		g.oom = append(g.oom, filepath.Join(dir, "memory.events"))
	}
	made := map[string]string{}
	for _, v1 := range []bool{false, true} {
		for _, f := range l.files(v1) {
			has := h.dir != "" && slices.Contains(h.controllers, f.controller)
			if has == v1 || v1 && h.v1[f.controller] == "" {
				continue
			}
			dir := g.v2
			if v1 {
				parent := h.v1[f.controller]
				if made[parent] == "" {
					d, err := mkdir(parent)
					if err != nil {
						return fail(err)
					}
					made[parent], g.v1 = d, append(g.v1, d)
				}
				dir = made[parent]
				if f.controller == "memory" {
					g.oom = append(g.oom, filepath.Join(dir, "memory.oom_control"))
				}
			}
			err := os.WriteFile(filepath.Join(dir, f.file), []byte(f.value), 0o600)
			if errors.Is(err, fs.ErrNotExist) && f.file == "memory.swap.max" {
				continue // a kernel that does not count swap
			}
			if err != nil {
				return fail(err)
			}
		}
	}
	return g, nil
}

// open returns a descriptor of the version 2 group, for a clone into it.
func (g *cgroup) open() (*os.File, error) { return os.Open(g.v2) }

// join moves a process, which waits, into the groups of version 1.
func (g *cgroup) join(pid int) error {
	for _, dir := range g.v1 {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			return fmt.Errorf("control group: %w", err)
		}
	}
	return nil
}

// oomKills counts what the kernel has killed in the group for lack of memory.
func (g *cgroup) oomKills() int {
	n := 0
	for _, file := range g.oom {
		if data, err := os.ReadFile(file); err == nil {
			if k, ok := oomCount(data); ok {
				n += k
			}
		}
	}
	return n
}

// end kills what is in the group and removes it.
func (g *cgroup) end(timeout time.Duration) (int, error) {
	deadline := time.Now().Add(timeout)
	killed := 0
	var errs error
	for _, dir := range append(slices.Clone(g.v1), g.v2) {
		if dir == "" {
			continue
		}
		n, err := endGroup(dir, deadline)
		killed, errs = killed+n, errors.Join(errs, err)
	}
	return killed, errs
}

// remove removes groups that nothing has entered.
func (g *cgroup) remove() {
	for _, dir := range append(slices.Clone(g.v1), g.v2) {
		if dir != "" {
			_ = unix.Rmdir(dir) // what stays is removed at the next sweep
		}
	}
}

// endGroup kills all that is in a group and in those below it, and removes them. It returns how many it found.
func endGroup(dir string, deadline time.Time) (int, error) {
	killed := map[string]bool{}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		below := groupsBelow(dir)
		var members []string
		for _, d := range below {
			members = append(members, words(filepath.Join(d, "cgroup.procs"))...)
		}
		// In one stroke where the kernel can, which nothing outruns; one after the other, again and again, where it can't.
		stroke := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) == nil
		for _, p := range members {
			killed[p] = true
			if pid, err := strconv.Atoi(p); err == nil && pid > 0 && !stroke {
				_ = unix.Kill(pid, unix.SIGKILL) // it was in the group a moment ago, and no pid comes round that soon
			}
		}
		for _, d := range slices.Backward(below) {
			_ = unix.Rmdir(d) // EBUSY: there is something in it still
		}
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return len(killed), nil
		}
		if time.Now().After(deadline) {
			return len(killed), fmt.Errorf("control group %s is not empty: what is in it does not end", dir)
		}
		time.Sleep(wait)
	}
}

// groupsBelow lists a group and all in it, parents first.
func groupsBelow(dir string) []string {
	out := []string{dir}
	for i := 0; i < len(out); i++ {
		entries, err := os.ReadDir(out[i])
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.IsDir() {
				out = append(out, filepath.Join(out[i], e.Name()))
			}
		}
	}
	return out
}

// sweepGroups ends the groups whose marker match accepts, which a runtime that was killed has left.
func sweepGroups(match func(marker string) bool, deadline time.Time) (int, error) {
	h := findGroups()
	dirs := map[string]bool{}
	if h.dir != "" {
		dirs[h.dir] = true
	}
	for _, d := range h.v1 {
		dirs[d] = true
	}
	killed := 0
	var errs error
	for d := range dirs {
		entries, err := os.ReadDir(d)
		if err != nil {
			continue
		}
		for _, e := range entries {
			escaped, ours := strings.CutPrefix(e.Name(), groupPrefix)
			marker, err := url.PathUnescape(escaped)
			if !ours || err != nil || !e.IsDir() || e.Name() == ownGroup || !match(marker) {
				continue
			}
			n, err := endGroup(filepath.Join(d, e.Name()), deadline)
			killed, errs = killed+n, errors.Join(errs, err)
		}
	}
	return killed, errs
}

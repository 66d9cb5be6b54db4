package understudy

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// plan is what a reload is going to do.
type plan struct {
	next    Options // but for what cannot change
	changes []Change
	// Of the groups the paths of the topmost that end as a whole, and of those that begin as a whole.
	ends, begins []string
}

// place is a session of the options and the path of the supervisor that it belongs to.
type place struct {
	home    string
	options session.Options
}

// spread puts down where the sessions of groups belong, and the groups by their paths, those that contain others first.
func spread(home string, sessions []SessionSpec, groups []Group, at map[string]place, found map[string]Group) (paths []string) {
	for _, s := range sessions {
		at[s.Name] = place{home, s.Options}
	}
	for _, g := range groups {
		path := home + "/" + g.Name
		found[path] = g.withDefaults()
		paths = append(append(paths, path), spread(path, g.Sessions, g.Groups, at, found)...)
	}
	return paths
}

// sessionsOf are those of the options and of their groups, in order.
func sessionsOf(sessions []SessionSpec, groups []Group) []SessionSpec {
	all := slices.Clone(sessions)
	for _, g := range groups {
		all = append(all, sessionsOf(g.Sessions, g.Groups)...)
	}
	return all
}

// compare validates what is to be and says in what it differs from what there is: sessions in their new order, then what is gone,
// then everything else.
func (rt *Runtime) compare(spec ReloadSpec) (*plan, error) {
	rt.mu.Lock()
	was, known, draining := rt.options, maps.Clone(rt.known), rt.draining
	groupsThere, poolsThere := maps.Clone(rt.groups), maps.Clone(rt.pools)
	rt.mu.Unlock()
	p := &plan{next: was}
	p.next.Sessions, p.next.Groups, p.next.Pools, p.next.Budgets, p.next.Limits = spec.Sessions, spec.Groups, spec.Pools, spec.Budgets, spec.Limits
	checked := p.next
	checked.Warm = nil // they are SetWarm's
	problems := []error{(&Runtime{options: checked}).validate()}
	if draining {
		problems = append(problems, fmt.Errorf("%w: the runtime is being drained", session.ErrStopped))
	}
	before, after := make(map[string]place), make(map[string]place)
	groupsBefore, groupsAfter := make(map[string]Group), make(map[string]Group)
	gone := spread(rt.sessions.path, was.Sessions, was.Groups, before, groupsBefore)
	paths := spread(rt.sessions.path, spec.Sessions, spec.Groups, after, groupsAfter)
	maps.DeleteFunc(groupsBefore, func(path string, _ Group) bool { return groupsThere[path] == nil })
	for name, m := range known { // what was spawned stays, and has its name
		if _, configured := before[name]; configured || m.home != rt.sessions {
			continue
		}
		if _, group := groupsAfter[m.path]; group || slices.ContainsFunc(spec.Pools, func(p PoolSpec) bool { return p.Name == name }) {
			problems = append(problems, fmt.Errorf("%s: a session that was spawned has this name: remove it first", name))
		}
	}
	for name := range after { // at a start the pool would leave the name out
		if m := known[name]; m != nil && poolsThere[m.home.name] != nil && poolsThere[m.home.name].home == m.home {
			problems = append(problems, fmt.Errorf("session %s: one of pool %s has this name: give it another", name, m.home.name))
		}
	}
	if checked.apart() == nil { // those that were spawned stay, and have their directories
		for name, m := range known {
			_, wasThere := before[name]
			if _, comes := after[name]; !wasThere && !comes && m.home == rt.sessions {
				checked.Sessions = append(slices.Clone(checked.Sessions), SessionSpec{name, m.Options()})
			}
		}
		problems = append(problems, checked.apart())
	}
	groupChanges := p.groups(gone, paths, groupsBefore, groupsAfter)
	p.sessions(rt.sessions.path, before, after, known)
	p.changes = append(p.changes, groupChanges...)
	p.pools(was.Pools, poolsThere)
	problems = append(problems, p.budgets(was.Budgets, known, before))
	if fields := fieldsOf(was.Limits, spec.Limits, limitNames); len(fields) > 0 {
		p.changes = append(p.changes, Change{Setting: "limits", Action: debug.Changed, Fields: fields})
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReload, err)
	}
	return p, nil
}

// groups finds out which groups end and begin as a whole.
func (p *plan) groups(gone, paths []string, before, after map[string]Group) (changes []Change) {
	whole := make(map[string]bool) // those that end or begin as a whole, and all below them
	above := func(path string) bool { return whole[path[:strings.LastIndexByte(path, '/')]] }
	for _, path := range paths {
		now := after[path]
		old, there := before[path]
		c := Change{Setting: settingOf(path)}
		switch {
		case above(path):
			whole[path] = true
			if there {
				continue // the one above it says so
			}
			c.Action = debug.Added
		case !there:
			whole[path] = true
			p.begins = append(p.begins, path)
			c.Action = debug.Added
		default:
			c.Action = debug.Changed
			c.Fields = fieldsOf(supervision(old), supervision(now), supervisionNames)
			if now.Strategy != supervisor.OneForOne && !leavesOut(old, now) {
				c.Fields = append(c.Fields, debug.FieldChange{Field: "order"})
			}
			if len(c.Fields) == 0 {
				continue
			}
			whole[path] = true
			p.ends, p.begins = append(p.ends, path), append(p.begins, path)
		}
		changes = append(changes, c)
	}
	for _, path := range gone {
		if _, still := after[path]; still {
			continue
		}
		if _, there := before[path]; !there {
			continue
		}
		if !above(path) {
			p.ends = append(p.ends, path)
		}
		whole[path] = true
		changes = append(changes, Change{Setting: settingOf(path), Action: debug.Removed})
	}
	return changes
}

// within reports whether a path is one of those, or below one.
func within(path string, of []string) bool {
	return slices.ContainsFunc(of, func(one string) bool { return path == one || strings.HasPrefix(path, one+"/") })
}

// settingOf is the name of a group in the configuration file.
func settingOf(path string) string {
	return "supervisors." + strings.Join(strings.Split(path, "/")[2:], ".supervisors.")
}

// supervision is what a group's supervisor is made with.
func supervision(g Group) any {
	return struct {
		Strategy    supervisor.Strategy
		MaxRestarts int
		MaxSeconds  float64
		Backoff     string
	}{g.Strategy, g.Intensity.MaxRestarts, g.Intensity.Within.Seconds(), fmt.Sprintf("%+v", *g.Backoff)}
}

var (
	supervisionNames = []string{"strategy", "max_restarts", "max_seconds", "backoff"}
	limitNames       = []string{"max_processes", "max_busy", "max_starting", "starts_per_minute", "start_burst"}
	poolNames        = []string{"min", "max", "max_queue", "idle_timeout"}
	budgetNames      = []string{"limit_usd", "per"}
)

// leavesOut reports whether a group is the one of before, but that some of its children are gone.
func leavesOut(before, now Group) bool {
	i := 0
	for _, s := range now.Sessions {
		for ; i < len(before.Sessions) && before.Sessions[i].Name != s.Name; i++ {
		}
		if i == len(before.Sessions) || len(differences(before.Sessions[i].Options, s.Options)) > 0 {
			return false
		}
	}
	i = 0
	for _, g := range now.Groups {
		for ; i < len(before.Groups) && before.Groups[i].Name != g.Name; i++ {
		}
		if i == len(before.Groups) {
			return false
		}
	}
	return true
}

// sessions compares them one by one.
func (p *plan) sessions(outside string, before, after map[string]place, known map[string]*member) {
	group := func(path string) string { return cutPrefix(path, outside) }
	for _, s := range sessionsOf(p.next.Sessions, p.next.Groups) {
		c := Change{Session: s.Name, Action: debug.Changed}
		old, configured := before[s.Name]
		there, now := known[s.Name], after[s.Name]
		switch {
		case there == nil:
			c.Action = debug.Added
		case !configured:
			c.Fields = []debug.FieldChange{{Field: "spawned", Before: true, After: false}}
		default:
			c.Fields = differences(old.options, now.options)
			if there.home.path != now.home {
				c.Fields = append(c.Fields, debug.FieldChange{Field: "group", Before: group(there.home.path), After: group(now.home)})
			} else if within(now.home, p.ends) {
				c.Fields = append(c.Fields, debug.FieldChange{Field: "group", Before: group(now.home), After: group(now.home) + ", started anew"})
			}
		}
		if c.Action == debug.Added || len(c.Fields) > 0 {
			p.changes = append(p.changes, c)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, wanted := after[name]; !wanted && known[name] != nil {
			p.changes = append(p.changes, Change{Session: name, Action: debug.Removed})
		}
	}
}

func cutPrefix(path, above string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, above), "/")
}

func (p *plan) pools(before []PoolSpec, there map[string]*Pool) {
	old := make(map[string]PoolSpec)
	for _, was := range before {
		if there[was.Name] != nil {
			old[was.Name] = was.withDefaults()
		}
	}
	for _, now := range p.next.Pools {
		now = now.withDefaults()
		c := Change{Setting: "pools." + now.Name, Action: debug.Added}
		if was, ok := old[now.Name]; ok {
			c.Action = debug.Changed
			numbers := func(p PoolSpec) any { return []any{p.Min, p.Max, p.MaxQueue, p.IdleTimeout.String()} }
			c.Fields = append(fieldsOf(numbers(was), numbers(now), poolNames), differences(was.Options, now.Options)...)
			delete(old, now.Name)
			if len(c.Fields) == 0 {
				continue
			}
		}
		p.changes = append(p.changes, c)
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		p.changes = append(p.changes, Change{Setting: "pools." + name, Action: debug.Removed})
	}
}

func (p *plan) budgets(before []session.BudgetSpec, known map[string]*member, configured map[string]place) error {
	old := make(map[string]session.BudgetSpec)
	for _, was := range before {
		old[was.Name] = was
	}
	for _, now := range p.next.Budgets {
		c := Change{Setting: "budgets." + now.Name, Action: debug.Added}
		if was, ok := old[now.Name]; ok {
			c.Action = debug.Changed
			numbers := func(b session.BudgetSpec) any { return []any{b.LimitUSD, b.Per.String()} }
			c.Fields = fieldsOf(numbers(was), numbers(now), budgetNames)
			delete(old, now.Name)
			if len(c.Fields) == 0 {
				continue
			}
		}
		p.changes = append(p.changes, c)
	}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(old)) {
		p.changes = append(p.changes, Change{Setting: "budgets." + name, Action: debug.Removed})
		for _, session := range slices.Sorted(maps.Keys(known)) {
			m := known[session]
			if _, ok := configured[session]; !ok && slices.Contains(m.Options().Budgets, name) && m.home.path == "root/sessions" {
				problems = append(problems, fmt.Errorf("budget %s: session %s, which was spawned, spends from it: remove the session first", name, session))
			}
		}
	}
	return errors.Join(problems...)
}

// fieldsOf compares the fields of two structs, or the elements of two lists, that have these names.
func fieldsOf(before, after any, names []string) (changes []debug.FieldChange) {
	a, b := reflect.ValueOf(before), reflect.ValueOf(after)
	at := func(v reflect.Value, i int) any {
		if v.Kind() == reflect.Slice {
			return v.Index(i).Interface()
		}
		return v.Field(i).Interface()
	}
	for i, name := range names {
		if was, is := at(a, i), at(b, i); !reflect.DeepEqual(was, is) {
			changes = append(changes, debug.FieldChange{Field: name, Before: was, After: is})
		}
	}
	return changes
}

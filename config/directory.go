package config

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/understudy-run/understudy/session"
)

// workplace is where a session, or the sessions of a pool, work.
type workplace struct {
	kind memberKind
	path string
	at   *node // what its options are written in
	of   entry
	session.Directories
}

// works notes where a session or a pool works.
func (d *decoder) works(kind memberKind, path string, at *node, e entry, o session.Options) {
	if d.budget.left >= 0 {
		d.workplaces = append(d.workplaces, workplace{kind, path, at, e, o.Directories(e.key)})
	}
}

// apart reports sessions of which one is to have a directory to itself that another one works in, at the later of them.
func (d *decoder) apart() {
	slices.SortStableFunc(d.workplaces, func(a, b workplace) int {
		return cmp.Or(a.of.line-b.of.line, a.of.col-b.of.col)
	})
	for i, x := range d.workplaces {
		for _, y := range d.workplaces[:i] {
			if mine, _ := x.Excludes(y.Directories); mine == "" {
				continue
			}
			line, col, path := x.of.line, x.of.col, x.path
			for _, key := range []string{"cwd", "exclusive_cwd"} {
				if at := x.at.entry(key); at != nil {
					line, col, path = at.value.line, at.value.col, join(x.path, key)
					break
				}
			}
			whose := "is to have it to itself (exclusive_cwd)"
			if !y.Exclusive {
				whose = "works there too, and this one is to have it to itself (exclusive_cwd)"
			}
			// Without the paths: they may hold what ${env:…} stands for.
			d.add(line, col, Diagnostic{
				Path:    path,
				Message: fmt.Sprintf("the directory, or one in it or above it, is taken: the %s %s at %d:%d %s", y.kind, y.of.key, y.of.line, y.of.col, whose),
				Hint:    "give each a directory of its own, also in add_dir, or worktree: true, or leave exclusive_cwd out",
			})
			break
		}
	}
}

package config

import (
	"fmt"
	"reflect"
)

// Group is a supervisor of its own for some of the sessions. In the file it is a key of supervisors.
type Group struct {
	Name string
	// Supervisor is how the group is supervised. What is not given is the default, not what the supervisor
	// above says.
	Supervisor
	// Sessions are in the order of the file. Their names are unique in the whole file.
	Sessions []Session `json:"sessions"`
	// Supervisors are groups in this one. They are started after Sessions.
	Supervisors []Group `json:"supervisors"`
}

func (g Group) appendSessions(all []Session) []Session {
	all = append(all, g.Sessions...)
	for _, below := range g.Supervisors {
		all = below.appendSessions(all)
	}
	return all
}

// maxGroups is how deep groups nest. Aliases nest deeper than the text does.
const maxGroups = 16

// groups are those of one level: of the file, or of a group.
func (d *decoder) groups(level string, n *node, depth int) []Group {
	var out []Group
	d.members(join(level, "supervisors"), n, groupMember, func(path string, e entry) {
		if depth > maxGroups {
			d.add(e.line, e.col, Diagnostic{Path: path, Message: fmt.Sprintf("groups nested deeper than %d levels", maxGroups)})
			return
		}
		d.declare(groupMember, level, path, e)
		g := Group{Name: e.key, Supervisor: defaultSupervisor()}
		if e.value.kind != nullNode && e.value.kind != brokenNode {
			later := d.outline(path, e.value, reflect.ValueOf(&g).Elem())
			g.Sessions = d.sessions(path, later[sessionsType])
			g.Supervisors = d.groups(path, later[groupsType], depth+1)
		}
		out = append(out, g)
	})
	return out
}

package config

import (
	"encoding"
	"encoding/json"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"time"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

// surroundings are what a configuration looks at beyond its own text.
type surroundings struct {
	dir    string // what relative paths start from
	lookup func(string) (string, bool)
	stat   func(string) (fs.FileInfo, error)
}

// decoder fills Go values from nodes, by their types and json names, and reports everything that does not fit.
// Its methods return whether the value was filled; if not, that has been reported.
type decoder struct {
	*report
	surroundings
	budget *budget

	// resets says what null means: the zero value (in a session, where defaults were filled in before), or
	// the value that is there already.
	resets bool
	// later is what is put aside until the defaults are known.
	later map[reflect.Type]*node
	// defaults are what sessions start from.
	defaults session.Options
	// declared are the names of sessions, groups and pools so far.
	declared []declaration
	// claims are the conversations that sessions say they have.
	claims []claim
	// workplaces are where sessions and pools work.
	workplaces []workplace
	// budgetNames are those of the budgets; nil as long as they are not known.
	budgetNames []string
	// known are the templates' names.
	known []string
}

var (
	durationType   = reflect.TypeFor[time.Duration]()
	shutdownType   = reflect.TypeFor[supervisor.Shutdown]()
	strategyType   = reflect.TypeFor[supervisor.Strategy]()
	optionsType    = reflect.TypeFor[session.Options]()
	configType     = reflect.TypeFor[Config]()
	supervisorType = reflect.TypeFor[Supervisor]()
	groupType      = reflect.TypeFor[Group]()
	poolType       = reflect.TypeFor[Pool]()
	flagsType      = reflect.TypeFor[map[string]*string]()
	textType       = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonType       = reflect.TypeFor[json.Unmarshaler]()

	// What holds sessions, which need the defaults, and those may come later in the file.
	sessionsType  = reflect.TypeFor[[]Session]()
	groupsType    = reflect.TypeFor[[]Group]()
	templatesType = reflect.TypeFor[[]Template]()
	poolsType     = reflect.TypeFor[[]Pool]()
	budgetsType   = reflect.TypeFor[[]Budget]() // whose names the options of sessions hold
)

func needsDefaults(t reflect.Type) bool {
	return t == sessionsType || t == groupsType || t == templatesType || t == poolsType || t == budgetsType
}

// problem reports something about a value.
func (d *decoder) problem(path string, n *node, message, hint string) bool {
	value := ""
	switch {
	case n.kind == scalarNode:
		value = shown(n.text, d.secret(path))
	case n.kind == nullNode && !n.implicit:
		value = "null"
	}
	d.add(n.line, n.col, Diagnostic{Path: path, Value: value, Message: message, Hint: hint})
	return false
}

// mismatch reports a value of the wrong kind.
func (d *decoder) mismatch(path string, n *node, expected, hint string) bool {
	message := "expected " + expected
	if n.kind == listNode || n.kind == mappingNode || n.implicit {
		message += ", got " + n.describe()
	}
	return d.problem(path, n, message, hint)
}

// secret reports whether the value at the path may be shown. All of env is taken for secret.
func (d *decoder) secret(path string) bool {
	keys := strings.Split(path, ".")
	last := strings.Trim(keys[len(keys)-1], `"`)
	if i := strings.IndexByte(last, '['); i > 0 {
		last = last[:i]
	}
	return secretKey.MatchString(last) || strings.HasPrefix(path, "env.") || strings.Contains(path, ".env.") || strings.Contains(path, ".headers.")
}

// text is a scalar's text after expansion, and whether any of it came from the environment.
func (d *decoder) text(path string, n *node) (text string, fromEnv, ok bool) {
	text, fromEnv, problems := expand(n.text, d.lookup)
	for _, p := range problems {
		value := p.written
		if d.secret(path) && !reference.MatchString(value) {
			value = redacted // it may hold a default
		}
		d.add(n.line, n.col, Diagnostic{Path: path, Value: value, Message: p.message, Hint: p.hint})
	}
	return text, fromEnv, len(problems) == 0
}

// decode fills v from n.
func (d *decoder) decode(path string, n *node, v reflect.Value) bool {
	if !d.budget.spend(1, d.report, n) {
		return false
	}
	if n.kind == brokenNode {
		return false
	}
	t := v.Type()
	switch {
	case needsDefaults(t):
		d.later[t] = n
		return true
	case t == strategyType: // not all that the type takes is for the file
		return d.string(path, n, v)
	case t == durationType:
		return d.duration(path, n, v)
	case t == flagsType:
		return d.flags(path, n, v)
	case v.CanAddr() && reflect.PointerTo(t).Implements(jsonType):
		return d.json(path, n, v)
	case v.CanAddr() && reflect.PointerTo(t).Implements(textType):
		return d.unmarshalText(path, n, v)
	}
	switch t.Kind() {
	case reflect.String:
		return d.string(path, n, v)
	case reflect.Bool:
		return d.bool(path, n, v)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return d.integer(path, n, v)
	case reflect.Float32, reflect.Float64:
		return d.float(path, n, v)
	case reflect.Slice:
		return d.sequence(path, n, v)
	case reflect.Map:
		return d.mapping(path, n, v)
	case reflect.Struct:
		return d.structure(path, n, v)
	case reflect.Interface:
		value, ok := d.any(path, n, v.Interface())
		if ok {
			v.Set(reflect.Zero(t))
			if value != nil {
				v.Set(reflect.ValueOf(value))
			}
		}
		return ok
	case reflect.Pointer:
		if n.kind == nullNode {
			v.SetZero()
			return true
		}
		p := reflect.New(t.Elem())
		if !d.decode(path, n, p.Elem()) {
			return false
		}
		v.Set(p)
		return true
	}
	panic(fmt.Sprintf("config: no decoder for %v at %s", t, path)) // a field of ours, found by the test of all fields
}

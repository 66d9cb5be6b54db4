package config

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// fields are a struct's keys in the order of their declaration, and where they lead.
type fields struct {
	keys  []string
	index map[string][]int // as reflect.Value.FieldByIndex takes it
}

var fieldCache sync.Map // reflect.Type to fields

func fieldsOf(t reflect.Type) fields {
	if f, ok := fieldCache.Load(t); ok {
		return f.(fields)
	}
	f := fields{index: map[string][]int{}}
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous && field.Type.Kind() == reflect.Struct: // its keys are among the others
			inner := fieldsOf(field.Type)
			for _, key := range inner.keys {
				f.keys = append(f.keys, key)
				f.index[key] = append([]int{i}, inner.index[key]...)
			}
		case name != "" && name != "-":
			f.keys = append(f.keys, name)
			f.index[name] = []int{i}
		}
	}
	fieldCache.Store(t, f)
	return f
}

func keysOf(t reflect.Type) []string { return fieldsOf(t).keys }

func fieldOf(t reflect.Type, key string) ([]int, bool) {
	i, ok := fieldsOf(t).index[key]
	return i, ok
}

// SessionKeys are the keys that a session may have in a file, and in the pairs of ParseSession, in the order in
// which session.Options declares them.
func SessionKeys() []string { return append([]string(nil), keysOf(optionsType)...) }

// elsewhere is the hint for a key that the struct does not have.
func elsewhere(t reflect.Type, e entry) string {
	if s := suggest(e.key, keysOf(t)); s != "" {
		return s
	}
	key := snake(e.key)
	in := func(other reflect.Type) bool { _, ok := fieldOf(other, key); return ok && other != t }
	switch {
	case in(optionsType) && t == poolType:
		return fmt.Sprintf("%s belongs to a session: under options, or in the pool's template", key)
	case in(optionsType):
		return fmt.Sprintf("%s belongs to a session: under defaults, or under sessions and its name", key)
	case t == supervisorType && (e.value.kind == mappingNode || in(groupType)):
		return "groups of sessions are under supervisors, each under its name"
	case in(supervisorType) && t != groupType:
		return fmt.Sprintf("%s belongs to a supervisor: under supervisor, or under supervisors and its name", key)
	case in(configType) && in(groupType):
		return fmt.Sprintf("%s belongs to the top of the file, or to a group under supervisors", key)
	case in(configType):
		return fmt.Sprintf("%s belongs to the top of the file", key)
	case in(poolType):
		return fmt.Sprintf("%s belongs to a pool: under pools and its name", key)
	}
	if t == optionsType { // too many to read in an error
		return "the options of a session are in docs/options.md"
	}
	return "expected one of: " + listed(keysOf(t))
}

// wordsOf are the words that a type takes, for the hint about a misspelt one.
func wordsOf(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[protocol.PermissionMode]():
		var out []string
		for _, m := range protocol.PermissionModes() {
			out = append(out, string(m))
		}
		return out
	case reflect.TypeFor[supervisor.Restart]():
		return []string{string(supervisor.Permanent), string(supervisor.Transient), string(supervisor.Temporary)}
	case reflect.TypeFor[session.Profile]():
		return words(session.Profiles())
	case reflect.TypeFor[session.Effort]():
		return words(session.Efforts())
	case reflect.TypeFor[session.ThinkingType]():
		return words(session.ThinkingTypes())
	case reflect.TypeFor[session.ThinkingDisplay]():
		return words(session.ThinkingDisplays())
	case reflect.TypeFor[session.PermissionPrompts]():
		return words(session.PermissionPromptsWords())
	case reflect.TypeFor[session.APIKeyDelivery]():
		return words(session.APIKeyDeliveries())
	case shutdownType:
		return []string{supervisor.BrutalKill.String(), supervisor.Infinity.String(), "a duration such as " + supervisor.DefaultShutdown.String()}
	}
	return nil
}

func words[W ~string](from []W) []string {
	out := make([]string, len(from))
	for i, w := range from {
		out[i] = string(w)
	}
	return out
}

package config

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// fields are a struct's keys in the order of their declaration, and where they lead.
type fields struct {
	keys  []string
	index map[string]int
}

var fieldCache sync.Map // reflect.Type to fields

func fieldsOf(t reflect.Type) fields {
	if f, ok := fieldCache.Load(t); ok {
		return f.(fields)
	}
	f := fields{index: map[string]int{}}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		f.keys = append(f.keys, name)
		f.index[name] = i
	}
	fieldCache.Store(t, f)
	return f
}

func keysOf(t reflect.Type) []string { return fieldsOf(t).keys }

func fieldOf(t reflect.Type, key string) (int, bool) {
	i, ok := fieldsOf(t).index[key]
	return i, ok
}

// SessionKeys are the keys that a session may have in a file, and in the pairs of ParseSession, in the order in
// which session.Options declares them.
func SessionKeys() []string { return append([]string(nil), keysOf(optionsType)...) }

// elsewhere is the hint for a key that the struct does not have.
func elsewhere(t reflect.Type, key string) string {
	if s := suggest(key, keysOf(t)); s != "" {
		return s
	}
	switch _, inSession := fieldOf(optionsType, snake(key)); {
	case inSession && t != optionsType:
		return fmt.Sprintf("%s belongs to a session: under defaults, or under sessions and its name", snake(key))
	case t == optionsType:
		if _, atTop := fieldOf(reflect.TypeFor[Config](), key); atTop {
			return fmt.Sprintf("%s belongs to the top of the file", key)
		}
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
	case shutdownType:
		return []string{supervisor.BrutalKill.String(), supervisor.Infinity.String(), "a duration such as " + supervisor.DefaultShutdown.String()}
	}
	return nil
}

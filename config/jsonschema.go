package config

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// SchemaURL is what a file says its schema is: `# yaml-language-server: $schema=` and this, where no schema was written
// beside it.
const SchemaURL = "understudy.schema.json"

// Schema is the JSON Schema (draft 2020-12) of the file, for editors. It is made of the types that a file is decoded into,
// so that it knows the same keys; that a value is right is for Load to say. A scalar may be ${env:NAME} wherever it stands.
func Schema() ([]byte, error) {
	s := &schemer{defs: make(map[string]any)}
	root := s.object(reflect.TypeFor[Config]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "understudy configuration"
	root["$defs"] = s.defs
	text, err := json.MarshalIndent(root, "", "  ")
	return append(text, '\n'), err
}

// schemer makes schemas of types. Structs are definitions, since groups have groups in them.
type schemer struct{ defs map[string]any }

// choices are the types that take one of a few words.
var choices = map[reflect.Type][]string{
	reflect.TypeFor[protocol.PermissionMode](): {"plan", "dontAsk", "acceptEdits", "default", "bypassPermissions", "auto", "dont_ask", "accept_edits", "bypass_permissions", "manual"},
	reflect.TypeFor[supervisor.Restart]():      {string(supervisor.Permanent), string(supervisor.Transient), string(supervisor.Temporary)},
	reflect.TypeFor[supervisor.Strategy]():     {string(supervisor.OneForOne), string(supervisor.OneForAll), string(supervisor.RestForOne)},
	reflect.TypeFor[session.ResumeFailure]():   {string(session.ResumePark), string(session.ResumeFresh)},
}

const (
	durationForm  = `^-?(0|([0-9.]+(ns|us|µs|ms|s|m|h))+)$`
	referenceForm = `\$\{`
)

func anyOf(schemas ...any) map[string]any { return map[string]any{"anyOf": schemas} }

func ofType(name string) map[string]any { return map[string]any{"type": name} }

// reference is text that stands for something else.
func expandable() map[string]any { return map[string]any{"type": "string", "pattern": referenceForm} }

func (s *schemer) of(t reflect.Type) any {
	if words, ok := choices[t]; ok {
		return anyOf(map[string]any{"enum": words}, expandable())
	}
	pointer := reflect.PointerTo(t)
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return anyOf(map[string]any{"type": "string", "pattern": durationForm, "examples": []string{"500ms", "5s", "1m30s"}}, expandable())
	case t == flagsType:
		return map[string]any{"type": "object", "additionalProperties": map[string]any{"type": []string{"string", "boolean", "null", "number"}}}
	case needsDefaults(t) && t.Kind() == reflect.Slice:
		return map[string]any{"type": []string{"object", "null"}, "propertyNames": map[string]any{"pattern": `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`},
			"additionalProperties": nullable(s.member(t))}
	case pointer.Implements(jsonType), pointer.Implements(textType):
		return map[string]any{} // it has a form of its own
	}
	switch t.Kind() {
	case reflect.String:
		return ofType("string")
	case reflect.Bool:
		return anyOf(ofType("boolean"), expandable())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return anyOf(ofType("integer"), expandable())
	case reflect.Float32, reflect.Float64:
		return anyOf(ofType("number"), expandable())
	case reflect.Slice:
		return map[string]any{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": nullable(s.of(t.Elem()))}
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Struct:
		name := strings.ToLower(t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:]) + "." + t.Name()
		if _, known := s.defs[name]; !known {
			s.defs[name] = nil // while it is made
			s.defs[name] = s.object(t)
		}
		return map[string]any{"$ref": "#/$defs/" + name}
	default: // any value
		return map[string]any{}
	}
}

// member is what stands under a name.
func (s *schemer) member(t reflect.Type) any {
	switch t {
	case sessionsType:
		return s.of(optionsType)
	case templatesType:
		template := s.object(optionsType)
		properties, _ := template["properties"].(map[string]any)
		properties["warm"] = anyOf(map[string]any{"type": "integer", "minimum": 0}, expandable(), ofType("null"))
		return template
	}
	return s.of(t.Elem())
}

// nullable may also be left empty.
func nullable(schema any) any {
	if m, ok := schema.(map[string]any); ok && len(m) == 0 {
		return schema
	}
	return anyOf(schema, ofType("null"))
}

func (s *schemer) object(t reflect.Type) map[string]any {
	properties := make(map[string]any)
	for _, key := range keysOf(t) {
		index, _ := fieldOf(t, key)
		schema := s.of(t.FieldByIndex(index).Type)
		if takesAll(key) {
			schema = anyOf(map[string]any{"const": "all"}, schema)
		}
		properties[key] = nullable(schema)
	}
	return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
}

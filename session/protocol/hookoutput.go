package protocol

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// MarshalHookOutput writes the output of an event's hook, one of the output types here by value, as the CLI reads it.
func MarshalHookOutput(event string, output any) (json.RawMessage, error) {
	v := reflect.ValueOf(output)
	answer, ok := reflect.TypeAssert[HookAnswer](v.FieldByName("HookAnswer"))
	if !ok {
		return nil, fmt.Errorf("hook output of %s: %T is none", event, output)
	}
	top, err := objectOf(answer)
	if err != nil {
		return nil, fmt.Errorf("hook output of %s: %w", event, err)
	}
	if answer.Block != "" {
		top["decision"] = json.RawMessage(`"block"`)
		if top["reason"], err = toJSON(answer.Block); err != nil {
			return nil, err
		}
	}
	specific := map[string]json.RawMessage{}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous || v.Field(i).IsZero() {
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if specific[name], err = toJSON(v.Field(i).Interface()); err != nil {
			return nil, fmt.Errorf("hook output of %s: %s: %w", event, field.Name, err)
		}
	}
	if len(specific) > 0 {
		if specific["hookEventName"], err = toJSON(event); err != nil {
			return nil, err
		}
		if top["hookSpecificOutput"], err = toJSON(specific); err != nil {
			return nil, err
		}
	}
	return toJSON(top)
}

func objectOf(v any) (map[string]json.RawMessage, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	fields := map[string]json.RawMessage{}
	return fields, json.Unmarshal(data, &fields)
}

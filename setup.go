package understudy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// Setup is a session's options as they are in force, its environment by name, and what holds its processes.
func (b *backend) Setup(_ context.Context, name string) (debug.Setup, error) {
	s, err := b.Session(name)
	if err != nil {
		return debug.Setup{}, coded(err)
	}
	options := s.Options()
	setup := debug.Setup{Options: shownOptions(options), Environment: []string{}, Containment: []string{}}
	environment, err := s.Launch().Environ(os.Environ())
	if err != nil {
		return debug.Setup{}, err
	}
	for _, pair := range environment {
		variable, _, _ := strings.Cut(pair, "=")
		setup.Environment = append(setup.Environment, variable)
	}
	slices.Sort(setup.Environment)
	for _, layer := range s.Info().Containment {
		setup.Containment = append(setup.Containment, string(layer))
	}
	return setup, nil
}

// shownOptions are the options that are set, under their names in the configuration file, as a page may show them:
// durations in words, and no value where a secret may be.
func shownOptions(o session.Options) map[string]any {
	shown := make(map[string]any)
	v := reflect.ValueOf(o)
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		field := v.Field(i)
		if name == "" || name == "-" || field.IsZero() {
			continue
		}
		switch value := field.Interface().(type) {
		case time.Duration:
			shown[name] = value.String()
		case fmt.Stringer: // durations of other types, and secrets, which print as redacted
			shown[name] = value.String()
		case session.Settings:
			if value.Values == nil {
				shown[name] = value.Path
			} else {
				shown[name] = slices.Sorted(maps.Keys(value.Values))
			}
		default:
			data, err := json.Marshal(value)
			var plain any
			if err == nil {
				err = json.Unmarshal(data, &plain)
			}
			if err != nil {
				shown[name] = "cannot be shown: " + err.Error()
				continue
			}
			shown[name] = withoutValues(name, plain)
		}
	}
	return shown
}

// valueless are the options, and the keys anywhere in one, whose values may be secrets: of these only the names are
// shown.
var valueless = []string{"env", "headers", "extra_args", "extraArgs", "environment"}

func withoutValues(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		if slices.Contains(valueless, key) {
			return slices.Sorted(maps.Keys(v))
		}
		for k, below := range v {
			v[k] = withoutValues(k, below)
		}
	case []any:
		for i, below := range v {
			v[i] = withoutValues(key, below)
		}
	case string:
		if process.SecretName(strings.ToUpper(key)) {
			return "[redacted]"
		}
	}
	return v
}

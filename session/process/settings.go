package process

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
)

// maxSettings bounds the settings file.
const maxSettings = 1 << 20

const redacted = "[redacted]"

// SettingsJSON returns the settings that the CLI gets, as compact JSON with sorted keys, or "" for none: the file
// SettingsPath, under Settings, under {"sandbox": Sandbox}. Objects are merged key by key; of
// other values the later one wins, except for lists that forbid something in the sandbox (denyRead,
// denyWrite, deniedDomains), which are united.
//
// If the merged sandbox has enabled true, failIfUnavailable becomes true and allowUnsandboxedCommands false
// where they are unset: the CLI would otherwise run without a sandbox when it finds none, and run
// commands outside of it when the model asks to. Unknown keys are kept.
func (l Launch) SettingsJSON() (string, error) {
	s, err := l.mergedSettings()
	if err != nil || s == nil {
		return "", err
	}
	return encodeSettings(s)
}

// ShownSettings is SettingsJSON for people: values of environments and headers, and those under names that say that they are
// secret, are [redacted].
func (l Launch) ShownSettings() (string, error) {
	s, err := l.mergedSettings()
	if err != nil || s == nil {
		return "", err
	}
	return encodeSettings(Covered(s))
}

// Settled is the launch with its settings file read. What that holds is in Settings from here on: Argv and InHandshake
// say the same, whatever becomes of the file in between.
func (l Launch) Settled() (Launch, error) {
	s, err := l.mergedSettings()
	if err != nil {
		return l, err
	}
	l.Settings, l.SettingsPath, l.Sandbox, l.settled = s, "", nil, true
	return l, nil
}

// InHandshake are the settings that the CLI gets in its first frame, as "settings" and "managedSettings", because every
// user of the machine can read arguments; Argv sends the flags that say so, and without that frame the CLI does not start.
// nil: there are none, or they are in arguments.
func (l Launch) InHandshake() (settings, managed map[string]any, err error) {
	if _, settings, err = l.placedSettings(); err != nil {
		return nil, nil, err
	}
	if managed, err = plain(l.ManagedSettings); err != nil {
		return nil, nil, fmt.Errorf("managed_settings: %w", err)
	}
	return settings, managed, nil
}

// placedSettings are the settings where they go: into an argument, or, hidden, into the first frame.
func (l Launch) placedSettings() (argument string, hidden map[string]any, err error) {
	all, err := l.mergedSettings()
	if err != nil || all == nil {
		return "", nil, err
	}
	text, err := encodeSettings(all)
	if err != nil {
		return "", nil, err
	}
	if l.mayBeRead(all, text) {
		return text, nil, nil
	}
	return "", all, nil
}

// readable are the settings that hold rules and no secrets. The sandbox is documented to be in --settings.
var readable = []string{"sandbox", "permissions"}

// mayBeRead reports whether settings may be in an argument.
func (l Launch) mayBeRead(settings map[string]any, text string) bool {
	for key := range settings {
		if !slices.Contains(readable, key) {
			return false
		}
	}
	return len(text) < maxArg/2 && !slices.ContainsFunc(l.secrets(), func(secret string) bool { return strings.Contains(text, secret) })
}

// settingsFlags are the flags of the settings: themselves, or the announcement that they are in the first frame.
func (l Launch) settingsFlags() ([]string, error) {
	argument, hidden, err := l.placedSettings()
	if err != nil {
		return nil, err
	}
	var flags []string
	switch {
	case hidden != nil:
		flags = append(flags, "--initialize-fields=settings")
	case argument != "":
		flags = append(flags, "--settings="+argument)
	}
	managed, err := plain(l.ManagedSettings)
	if err != nil {
		return nil, fmt.Errorf("managed_settings: %w", err)
	}
	if managed != nil {
		flags = append(flags, "--managed-settings-in-initialize")
	}
	return flags, nil
}

// mergedSettings are the three sources in one. Nobody changes what it returns.
func (l Launch) mergedSettings() (merged map[string]any, err error) {
	if l.settled {
		return l.Settings, nil
	}
	var file map[string]any
	if l.SettingsPath != "" {
		if file, err = l.readSettings(); err != nil {
			return nil, err
		}
	}
	if file == nil && l.Settings == nil && l.Sandbox == nil {
		return nil, nil
	}
	// A round trip through JSON gives the three sources the same Go types, and our own copy.
	own, err := plain(l.Settings)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	box, err := plain(l.Sandbox)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	merged = merge(merge(map[string]any{}, file, ""), own, "")
	if l.Sandbox != nil {
		if have, ok := merged["sandbox"]; ok {
			if _, isObject := have.(map[string]any); !isObject {
				return nil, fmt.Errorf("settings: sandbox is %s, not an object; there is nothing to merge the sandbox option into", kind(have))
			}
		}
		merged = merge(merged, map[string]any{"sandbox": box}, "")
	}
	if err := secureSandbox(merged); err != nil {
		return nil, err
	}
	return merged, nil
}

func (l Launch) readSettings() (map[string]any, error) {
	path, err := l.inDir(l.SettingsPath)
	if err != nil {
		return nil, fmt.Errorf("settings file %q: %w", l.SettingsPath, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("settings file: %w", err)
	}
	if !info.Mode().IsRegular() { // the CLI refuses pipes, and reading one could block for ever
		return nil, fmt.Errorf("settings file %q: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("settings file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSettings+1))
	if err != nil {
		return nil, fmt.Errorf("settings file %q: %w", path, err)
	}
	if len(data) > maxSettings {
		return nil, fmt.Errorf("settings file %q: larger than %d bytes", path, maxSettings)
	}
	out, err := decodeObject(data)
	if err != nil {
		// The CLI would ignore the whole file, with whatever it forbids.
		return nil, fmt.Errorf("settings file %q: %w", path, err)
	}
	return out, nil
}

// secureSandbox fills in what makes "enabled" mean it. A value of the wrong type is an error here
// because the CLI drops the whole settings layer for one.
func secureSandbox(settings map[string]any) error {
	value, ok := settings["sandbox"]
	if !ok {
		return nil
	}
	box, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("sandbox: %s, expected an object", kind(value))
	}
	for _, key := range []string{"enabled", "failIfUnavailable", "allowUnsandboxedCommands"} {
		if v, set := box[key]; set {
			if _, isBool := v.(bool); !isBool {
				return fmt.Errorf("sandbox.%s: %s, expected true or false", key, kind(v))
			}
		}
	}
	if box["enabled"] != true {
		return nil
	}
	for key, safe := range map[string]bool{"failIfUnavailable": true, "allowUnsandboxedCommands": false} {
		if _, set := box[key]; !set {
			box[key] = safe
		}
	}
	return nil
}

var unitedLists = []string{"denyRead", "denyWrite", "deniedDomains"}

// merge lays over on top of base and returns a new object; neither is changed.
func merge(base, over map[string]any, key string) map[string]any {
	out := maps.Clone(base)
	for k, v := range over {
		switch v := v.(type) {
		case map[string]any:
			below, _ := out[k].(map[string]any)
			if below == nil {
				below = map[string]any{}
			}
			out[k] = merge(below, v, k)
		case []any:
			below, _ := out[k].([]any)
			if len(below) > 0 && slices.Contains(unitedLists, k) && (key == "filesystem" || key == "network") {
				united := slices.Clone(below)
				for _, e := range v {
					if !slices.ContainsFunc(united, func(have any) bool { return reflect.DeepEqual(have, e) }) {
						united = append(united, e)
					}
				}
				out[k] = united
			} else {
				out[k] = v
			}
		default:
			out[k] = v
		}
	}
	return out
}

func plain(m map[string]any) (map[string]any, error) {
	if m == nil {
		return nil, nil
	}
	data, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return decodeObject(data)
}

func decodeObject(data []byte) (map[string]any, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // numbers stay as they were written
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	if out == nil {
		return nil, fmt.Errorf("not a JSON object: null")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("not a JSON object: something follows it")
	}
	return out, nil
}

func encodeSettings(m map[string]any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // rules hold & and <, and people read this
	if err := e.Encode(m); err != nil {
		return "", fmt.Errorf("settings: %w", err)
	}
	return string(bytes.TrimSpace(b.Bytes())), nil
}

// Covered is a copy of settings for people: values of environments and headers, and texts under names that say that they are
// secret, are [redacted].
func Covered(settings map[string]any) map[string]any {
	if settings == nil {
		return nil
	}
	out, _ := covered(settings).(map[string]any) // of a map it is one
	return out
}

func covered(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			values, isObject := value.(map[string]any)
			_, isText := value.(string)
			switch {
			case isObject && (key == "env" || key == "headers"):
				out[key] = hidden(values)
			case isText && SecretName(key):
				out[key] = redacted
			default:
				out[key] = covered(value)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = covered(e)
		}
		return out
	}
	return v
}

// WithoutSecrets is a copy of settings for the disk: texts under names that say that they are secret are left out. It reports
// whether there were any.
func WithoutSecrets(settings map[string]any) (kept map[string]any, had bool) {
	if settings == nil {
		return nil, false
	}
	kept = make(map[string]any, len(settings))
	for key, value := range settings {
		_, isText := value.(string)
		object, isObject := value.(map[string]any)
		switch {
		case isText && SecretName(key):
			had = true
		case isObject:
			below, secret := WithoutSecrets(object)
			kept[key], had = below, had || secret
		default:
			kept[key] = value
		}
	}
	return kept, had
}

func hidden(values map[string]any) map[string]any {
	out := make(map[string]any, len(values))
	for key := range values {
		out[key] = redacted
	}
	return out
}

// kind names a JSON value's type for an error.
func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case json.Number, float64:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("%T", v)
}

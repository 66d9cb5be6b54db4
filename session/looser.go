package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/understudy-run/understudy/session/protocol"
)

// ErrLooser says that a request at run time would take back what the session's options promise. What is to be allowed has to be in the
// options, where the checklist and the audit log see it.
var ErrLooser = errors.New("looser than the session's options")

// mayAsk says why a control request is not sent.
func (o Options) mayAsk(body protocol.ControlBody) error {
	switch body := body.(type) {
	case *protocol.SetPermissionMode:
		if err := o.mayBypass(body.Mode); err != nil {
			return fmt.Errorf("permission mode %s: %w", body.Mode, err)
		}
	case *protocol.ApplyFlagSettings:
		return o.mayApply(body.Settings)
	default: // the options promise nothing about what the others change
	}
	return nil
}

// mayApply says why settings are not applied to the running CLI, where they would replace those that the options come to.
// The values are those that 2.1.330 takes: it adds up lists of directories, and goes on to confine the file tools whatever is
// applied to the two keys that say so, but does not say so any more.
func (o Options) mayApply(raw json.RawMessage) error {
	var settings map[string]json.RawMessage
	if err := json.Unmarshal(raw, &settings); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	refuse := func(path, value, option, instead string) error {
		return fmt.Errorf("settings.%s %s: %w: %s; %s", path, cut(value, 80), ErrLooser, option, instead)
	}
	if box, given := settings["sandbox"]; given && o.Sandbox.On() {
		return refuse("sandbox", string(box), "the sandbox is on", "change the option sandbox")
	}
	var permissions map[string]json.RawMessage
	if json.Unmarshal(settings["permissions"], &permissions) != nil { // there are none, or the CLI refuses them
		return nil
	}
	for _, key := range confining {
		if value, given := permissions[key]; given && o.confined() && string(value) != "true" {
			return refuse("permissions."+key, string(value), "confine_files is on", "set confine_files: false")
		}
	}
	if value, given := permissions[bypassKey]; given && !o.AllowDangerouslySkipPermissions && string(value) != `"disable"` {
		return refuse("permissions."+bypassKey, string(value), "allow_dangerously_skip_permissions is off", "switch it on")
	}
	var mode protocol.PermissionMode
	if json.Unmarshal(permissions["defaultMode"], &mode) == nil {
		if err := o.mayBypass(mode); err != nil {
			return fmt.Errorf("settings.permissions.defaultMode %s: %w: %w", mode, ErrLooser, err)
		}
	}
	var dirs []string
	if json.Unmarshal(permissions["additionalDirectories"], &dirs) == nil && (o.confined() || len(o.Roots) > 0) {
		for _, dir := range dirs {
			if !o.inside(dir) {
				return refuse("permissions.additionalDirectories", dir, "the file tools are kept in cwd and add_dir", "put it into add_dir")
			}
		}
	}
	return nil
}

// inside reports whether a directory is in one of the session's, links resolved.
func (o Options) inside(dir string) bool {
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(o.cwd(), dir)
	}
	real, err := filepath.EvalSymlinks(dir)
	return err == nil && slices.ContainsFunc(append([]string{o.cwd()}, o.AddDir...), func(own string) bool {
		root, err := filepath.EvalSymlinks(own)
		return err == nil && within(root, real)
	})
}

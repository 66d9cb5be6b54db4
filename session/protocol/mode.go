package protocol

import (
	"fmt"
	"slices"
	"strings"
)

// PermissionMode says which tools run without a question. Frames may carry modes
// that are no constant here; only UnmarshalText, for people's input, refuses them.
type PermissionMode string

// The permission modes of CLI 2.1.330, as it spells them.
const (
	ModeDefault           PermissionMode = "default"           // ask for what no rule allows
	ModeManual            PermissionMode = "manual"            // another name of default
	ModePlan              PermissionMode = "plan"              // read only, until a plan is approved
	ModeAcceptEdits       PermissionMode = "acceptEdits"       // edits in the working directory are allowed
	ModeDontAsk           PermissionMode = "dontAsk"           // what would be a question is denied
	ModeBypassPermissions PermissionMode = "bypassPermissions" // all is allowed; refused as root unless IS_SANDBOX=1
	ModeAuto              PermissionMode = "auto"              // a classifier decides
)

// PermissionModes are all modes, in the order of the documentation.
func PermissionModes() []PermissionMode {
	return []PermissionMode{ModePlan, ModeDontAsk, ModeAcceptEdits, ModeDefault, ModeBypassPermissions, ModeAuto, ModeManual}
}

// UnmarshalText reads a mode as a person writes it: the CLI's spelling, snake_case or kebab-case.
// The error lists the modes.
func (m *PermissionMode) UnmarshalText(text []byte) error {
	s := string(text)
	names := make([]string, 0, len(PermissionModes()))
	for _, mode := range PermissionModes() {
		if s == string(mode) || s == separated(mode, '_') || s == separated(mode, '-') {
			*m = mode
			return nil
		}
		names = append(names, string(mode))
	}
	if len(s) > 40 {
		s = s[:40]
	}
	return fmt.Errorf("permission mode %q: want one of %s", s, strings.Join(names, ", "))
}

// ParsePermissionMode is UnmarshalText as a function.
func ParsePermissionMode(s string) (PermissionMode, error) {
	var m PermissionMode
	err := m.UnmarshalText([]byte(s))
	return m, err
}

// Valid says whether the mode is one of the constants.
func (m PermissionMode) Valid() bool {
	return slices.Contains(PermissionModes(), m)
}

func separated(m PermissionMode, sep byte) string {
	var sb strings.Builder
	for _, c := range []byte(m) {
		if c >= 'A' && c <= 'Z' {
			sb.WriteByte(sep)
			c += 'a' - 'A'
		}
		sb.WriteByte(c)
	}
	return sb.String()
}

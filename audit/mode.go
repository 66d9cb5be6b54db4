package audit

import "fmt"

// Mode says what comes first when a record cannot be written.
type Mode int

// The modes.
const (
	// Required is the default: an Append that cannot be made durable fails, and its caller must not do what the
	// record announces. Those that follow wait until the log can be written again, or until their context ends.
	Required Mode = iota
	// BestEffort goes on: each loss is counted, and recorded as a gap when writing works again.
	BestEffort
)

// String is the name used in configuration files.
func (m Mode) String() string {
	switch m {
	case Required:
		return "required"
	case BestEffort:
		return "best_effort"
	default:
		return fmt.Sprintf("Mode(%d)", int(m))
	}
}

// MarshalText gives the name used in configuration files.
func (m Mode) MarshalText() ([]byte, error) {
	if m != Required && m != BestEffort {
		return nil, fmt.Errorf("audit mode %d: expected Required or BestEffort", int(m))
	}
	return []byte(m.String()), nil
}

// UnmarshalText reads the name used in configuration files: required or best_effort.
func (m *Mode) UnmarshalText(text []byte) error {
	switch string(text) {
	case "required":
		*m = Required
	case "best_effort":
		*m = BestEffort
	default:
		return fmt.Errorf("audit mode %.40q: expected required or best_effort", text)
	}
	return nil
}

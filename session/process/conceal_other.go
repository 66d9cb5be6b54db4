//go:build !linux

package process

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Conceal keeps this program, and what it starts, from leaving core dumps, which would hold keys. On Linux it does more.
func Conceal() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("conceal this process: core dumps: %w", err)
	}
	return nil
}

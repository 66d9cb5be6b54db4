package bench

import (
	"os"
	"syscall"
	"testing"
)

func init() {
	stores = append(stores, store{"file-one-call", openOneCall})
}

// openOneCall is the plain file with the call that the log writes and waits with: what the log has left when that is no advantage.
func openOneCall(b *testing.B, dir string) func([][]byte) error {
	return plainFile(b, dir, syscall.O_DSYNC, func(*os.File) error { return nil })
}

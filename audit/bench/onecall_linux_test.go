package bench

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func init() {
	stores = append(stores, store{"file-one-call", openOneCall})
}

// openOneCall is the plain file with the call that the log writes and waits with: what the log has left when that is no advantage.
func openOneCall(b *testing.B, dir string) func([][]byte) error {
	f, err := os.OpenFile(filepath.Join(dir, "plain"), os.O_CREATE|os.O_WRONLY|os.O_APPEND|syscall.O_DSYNC, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	var buffer []byte
	return func(batch [][]byte) error {
		buffer = buffer[:0]
		for _, p := range batch {
			buffer = append(buffer, p...)
		}
		_, err := f.Write(buffer)
		return err
	}
}

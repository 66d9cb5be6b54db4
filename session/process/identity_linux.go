package process

import (
	"fmt"
	"io/fs"
	"syscall"
)

// fileState is what of a file changes with it whoever sets its times.
func fileState(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprint("\x00", stat.Dev, stat.Ino, stat.Ctim)
}

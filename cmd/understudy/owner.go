//go:build unix

package main

import (
	"os"
	"syscall"
)

// ownerOf is the user whose file it is.
func ownerOf(info os.FileInfo) (uid int, known bool) {
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(sys.Uid), true
}

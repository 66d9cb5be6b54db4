//go:build !linux

package process

import "io/fs"

// fileState is known on Linux only.
func fileState(fs.FileInfo) string { return "" }

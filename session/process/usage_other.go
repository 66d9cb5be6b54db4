//go:build !linux

package process

// Usages knows nothing on this system.
func Usages([]int) map[int]Usage { return nil }

//go:build !linux

package understudy_test

import "testing"

// onCreate needs inotify, which Linux has.
func (r *rig) onCreate(func() int, string) <-chan int {
	r.Skip("nothing here tells the moment in which a file appears")
	return nil
}

func smallDisk(t *testing.T, _ string) { t.Skip("a small disk cannot be mounted here") }

func readOnly(t *testing.T, _ string) (writable func()) {
	t.Skip("a directory cannot be made read-only here")
	return nil
}

func fillUp(*testing.T, string) (room func()) { return func() {} }

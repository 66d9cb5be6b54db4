//go:build !linux

package process

// TrySandbox is for Linux only.
func TrySandbox(string, bool) error { return errNoBubblewrap }

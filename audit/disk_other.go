//go:build !linux

package audit

// WriteSynced does one after the other.
func (f *realFile) WriteSynced(content []byte, at int64) error { return writeThenSync(f, content, at) }

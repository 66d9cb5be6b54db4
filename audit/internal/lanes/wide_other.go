//go:build !amd64

package lanes

const haveWide = false

type wide struct{}

func (*wide) sum([][]byte, []Hash) { panic("lanes: not on this processor") }

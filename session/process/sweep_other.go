//go:build !linux

package process

import (
	"errors"
	"syscall"
	"time"
)

// descendants can't be listed without /proc.
type descendants struct{}

func (descendants) clone() descendants { return descendants{} }

func (p *Process) record() {}

func (p *Process) noteBirth() {}

// SweepOrphans kills nothing here: there is no subreaper on this system.
func SweepOrphans() SweepReport { return SweepReport{} }

func sweep(func(string) bool, *descendants, time.Duration) SweepReport { return SweepReport{} }

func sweepGroups(func(string) bool, time.Time) (int, error) { return 0, nil }

func (p *Process) signalInside(sig syscall.Signal) { p.child.signalGroup(sig) }

func watchAdopted() {}

func (p *Process) lookForStrays() {}

func awaitStrays(string) {}

func takeStrays(func(string) bool) {}

func (p *Process) settleAdopted() {}

func watchOOM() func() bool { return func() bool { return false } }

// BecomeSubreaper is there on Linux only; elsewhere it returns an error that is errors.ErrUnsupported.
func BecomeSubreaper() error {
	return errors.Join(errors.New("child subreaper: needs Linux"), errors.ErrUnsupported)
}

// Package hosttest has tests that want a host to themselves: one that systemd has booted, with control groups of version 2 and all their
// controllers, which the containers and machines that tests are mostly run in don't have. They install the sample unit
// (docs/understudy.service) as an operator would and do to it what happens to daemons.
//
// `make host` boots such a machine in an emulator (qemu, without a network and without KVM) and runs them there; they are compiled with the
// build tag hosttest and touch nothing unless UNDERSTUDY_HOSTTEST is set, as they write to /etc and start and kill units.
package hosttest

package main

import (
	"errors"
	"io/fs"
	"net"
	"slices"
	"syscall"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// codeOf is the exit code of an error that brings none of its own. A service manager tries again after exitError and not after exitUsage
// (docs/understudy.service), so only what somebody has to write otherwise is the latter: an address in use, a data directory that
// another daemon has, a full disk, and a CLI that is not there (it may be being replaced) can all be well in two seconds.
func codeOf(err error) int {
	if errors.Is(err, debug.ErrNoDaemon) {
		return exitNoDaemon
	}
	if errors.Is(err, understudy.ErrOptions) {
		return exitUsage
	}
	if listen, ok := errors.AsType[*debug.ListenError](err); ok && listen.Permanent() {
		if _, name := errors.AsType[*net.DNSError](err); !name { // which may be known once the network is up
			return exitUsage
		}
	}
	switch debug.CodeOf(err) {
	case debug.NoSuchSession:
		return exitNoSession
	case debug.ErrorResult:
		return exitResult
	case debug.BadRequest:
		return exitUsage
	}
	return exitError
}

// lasting are the errors of a file that stay until somebody does something about it.
var lasting = []error{fs.ErrNotExist, fs.ErrPermission, syscall.EISDIR, syscall.ENOTDIR, syscall.ELOOP, syscall.ENAMETOOLONG}

// misconfigured makes what is wrong with the configuration, or with a file that it names, a mistake (exitUsage). It is none if the file
// could not be read for a reason that may pass, such as a disk's.
func misconfigured(err error) error {
	if _, file := errors.AsType[*fs.PathError](err); file && !slices.ContainsFunc(lasting, func(l error) bool { return errors.Is(err, l) }) {
		return err
	}
	return &exitCodeError{exitUsage, err}
}

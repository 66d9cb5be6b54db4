package debug

import (
	"fmt"
	"net"
	"syscall"
)

// peerOf names the user and process at the other end of a unix socket; "" if they cannot be known. The
// number of a process is what it was when it connected, and may be another's by now.
func peerOf(c net.Conn) string {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return ""
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return ""
	}
	var peer *syscall.Ucred
	var problem error
	if err := raw.Control(func(fd uintptr) {
		peer, problem = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil || problem != nil {
		return ""
	}
	return fmt.Sprintf("socket uid=%d pid=%d", peer.Uid, peer.Pid)
}

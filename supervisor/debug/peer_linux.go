package debug

import (
	"fmt"
	"net"
	"syscall"
)

// peerOf names the user and process at the other end of a unix socket; none if they cannot be known. The
// number of a process is what it was when it connected, and may be another's by now.
func peerOf(c net.Conn) peer {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return peer{}
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return peer{}
	}
	var who *syscall.Ucred
	var problem error
	if err := raw.Control(func(fd uintptr) {
		who, problem = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil || problem != nil {
		return peer{}
	}
	return peer{fmt.Sprintf("socket uid=%d pid=%d", who.Uid, who.Pid), int(who.Uid), int(who.Pid)}
}

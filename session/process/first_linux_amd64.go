package process

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This program, executed again, is a large first process: it is loaded, initialized and has a heap of its own before it comes to the
// point, and stays in memory as long as its session. All that a first process does is some twenty system calls, and then
// waiting. So there is one of a few hundred bytes (first_linux_amd64.s), which this program writes into a file in memory and executes.
// It makes the calls that its order lists: the order is made here, by Go, with the addresses that it will have there.
//
// Where such a file can't be executed, and on other processors, it is this program after all.

// firstProcessAt is where the code of the first process begins.
func firstProcessAt() unsafe.Pointer

// firstEnd is behind the code. It is not executed.
var firstEnd = bytes.Repeat([]byte{0x0f, 0x0b}, 8)

const (
	imageAt  = 0x400000   // where the file is loaded
	orderAt  = 0x10000000 // where the order is read to
	maxOrder = 8 << 20    // the kernel takes no more than 6 MiB of arguments and environment
)

// firstImage is the descriptor of the file, which is made at the first use and stays open.
var firstImage = sync.OnceValues(func() (int, error) {
	pidfd, err := unix.PidfdOpen(unix.Getpid(), 0)
	if err != nil { // it makes one of the CLI
		return -1, fmt.Errorf("pidfd: %w", err)
	}
	_ = unix.Close(pidfd)
	fd, err := unix.MemfdCreate(initName, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 all were executable
		fd, err = unix.MemfdCreate(initName, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return -1, fmt.Errorf("file in memory: %w", err)
	}
	image := elfImage(firstCode())
	n, err := unix.Write(fd, image)
	if err == nil && n < len(image) {
		err = io.ErrShortWrite
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err != nil {
		return -1, errors.Join(fmt.Errorf("file in memory: %w", err), unix.Close(fd))
	}
	return fd, nil
})

// firstCode is the code, copied.
func firstCode() []byte {
	const most = 4 << 10
	at := (*[most]byte)(firstProcessAt())
	n := 0
	for !bytes.Equal(at[n:n+len(firstEnd)], firstEnd) {
		n++
	}
	return bytes.Clone(at[:n])
}

// elfImage is a program of that code, and of zeroes where it reads its order to.
func elfImage(code []byte) []byte {
	const headers = 64 + 2*56
	w := binary.LittleEndian
	b := []byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	b = w.AppendUint16(b, 2)    // ET_EXEC
	b = w.AppendUint16(b, 0x3e) // x86-64
	b = w.AppendUint32(b, 1)
	b = w.AppendUint64(b, imageAt+headers) // entry
	b = w.AppendUint64(b, 64)              // program headers
	b = w.AppendUint64(b, 0)
	b = w.AppendUint32(b, 0)
	for _, v := range []uint16{64, 56, 2, 64, 0, 0} {
		b = w.AppendUint16(b, v)
	}
	size := uint64(headers + len(code))
	for _, segment := range []struct {
		flags    uint32
		at       uint64
		fileSize uint64
		size     uint64
	}{
		{5, imageAt, size, size},  // read, execute
		{6, orderAt, 0, maxOrder}, // read, write
	} {
		b = w.AppendUint32(b, 1) // PT_LOAD
		b = w.AppendUint32(b, segment.flags)
		for _, v := range []uint64{0, segment.at, segment.at, segment.fileSize, segment.size, 0x1000} {
			b = w.AppendUint64(b, v)
		}
	}
	return append(b, code...)
}

// The places in the head of an order. first_linux_amd64.s has the same.
const (
	orderSize    = 0
	orderSetup   = 8  // a list of calls, each of which may fail the start
	orderChild   = 16 // the calls by which its child becomes the CLI; the last does not return
	orderAfter   = 24 // calls when the CLI has been started
	orderProbe   = 32
	orderRecord  = 64 // what it reports
	orderPoll    = 80
	orderMessage = 96  // by which it reports
	orderRights  = 152 // the same, with a pidfd
	orderVector  = 208
	orderControl = 224
	orderSignals = 256
	orderHead    = 512

	usualOrder = 8 << 10 // of the CLI and a small environment: below 5 KiB
)

// call is a system call of a list.
type call struct {
	step int // whose failure it is if it fails; careless: nobody's
	nr   uintptr
	args [6]uint64
}

const careless = -1

// orderBook is an order being written.
type orderBook struct{ b []byte }

func (o *orderBook) put(at int, v uint64) { binary.LittleEndian.PutUint64(o.b[at:], v) }

// add appends data, and returns where the first process will find it.
func (o *orderBook) add(data []byte) uint64 {
	at := o.align()
	o.b = append(o.b, data...)
	return at
}

// align returns where the first process will find what is appended next.
func (o *orderBook) align() uint64 {
	for len(o.b)%8 > 0 {
		o.b = append(o.b, 0)
	}
	return orderAt + uint64(len(o.b))
}

// text appends a string as C has it.
func (o *orderBook) text(s string) (uint64, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return 0, syscall.EINVAL // as package syscall says
	}
	at := o.align()
	o.b = append(append(o.b, s...), 0)
	return at, nil
}

// texts appends strings, and a list of their addresses that a zero ends.
func (o *orderBook) texts(list []string) (uint64, error) {
	at := make([]byte, 0, 8*(len(list)+1))
	for _, s := range list {
		a, err := o.text(s)
		if err != nil {
			return 0, err
		}
		at = binary.LittleEndian.AppendUint64(at, a)
	}
	return o.add(binary.LittleEndian.AppendUint64(at, 0)), nil
}

func (o *orderBook) words(v ...uint64) uint64 {
	at := o.align()
	for _, w := range v {
		o.b = binary.LittleEndian.AppendUint64(o.b, w)
	}
	return at
}

func (o *orderBook) calls(list []call) uint64 {
	at := o.align()
	for _, c := range list {
		o.b = binary.LittleEndian.AppendUint64(o.b, uint64(c.nr))
		for _, a := range c.args {
			o.b = binary.LittleEndian.AppendUint64(o.b, a)
		}
		o.b = binary.LittleEndian.AppendUint64(o.b, uint64(c.step))
	}
	o.b = binary.LittleEndian.AppendUint64(o.b, ^uint64(0))
	return at
}

// bits is a set of signals as the kernel has it.
func bits(signals ...unix.Signal) uint64 {
	var set uint64
	for _, s := range signals {
		set |= 1 << (s - 1)
	}
	return set
}

// firstOrder writes what the first process is to do, as bytes for its socket.
func firstOrder(order initOrder) ([]byte, error) {
	o := &orderBook{b: make([]byte, orderHead, usualOrder)}
	var failed error
	text := func(s string) uint64 {
		at, err := o.text(s)
		failed = errors.Join(failed, err)
		return at
	}
	texts := func(list []string) uint64 {
		at, err := o.texts(list)
		failed = errors.Join(failed, err)
		return at
	}
	setup := []call{
		// Beside the end of the socket, this is the second way to learn that the runtime has died.
		{careless, unix.SYS_PRCTL, [6]uint64{unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL)}},
		{careless, unix.SYS_PRCTL, [6]uint64{unix.PR_SET_NAME, text(initName)}}, // what ps shows
	}
	for fd := initSocket; fd <= initFiles+order.Files; fd++ { // the last is the program itself
		setup = append(setup, call{stepOrder, unix.SYS_FCNTL, [6]uint64{uint64(fd), unix.F_SETFD, unix.FD_CLOEXEC}})
	}
	// That, and what this program was started with and nobody else closes.
	setup = append(setup, call{careless, unix.SYS_CLOSE_RANGE, [6]uint64{uint64(initFiles + order.Files), 0xffffffff, 0}})
	// /proc shows the namespace's own processes. Mounts of the host go on appearing; none made in here leave.
	none, proc := text("none"), text("proc")
	var inherited unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &inherited); err != nil {
		return nil, err
	}
	core := min(inherited.Max, 1)
	setup = append(setup,
		call{stepMounts, unix.SYS_MOUNT, [6]uint64{none, text("/"), 0, unix.MS_REC | unix.MS_SLAVE, 0}},
		call{stepMounts, unix.SYS_MOUNT, [6]uint64{proc, text("/proc"), proc, unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, 0}},
		call{careless, unix.SYS_UMASK, [6]uint64{0o077}},                                             // what the agent makes is its user's alone
		call{stepLimits, unix.SYS_PRLIMIT64, [6]uint64{0, unix.RLIMIT_CORE, o.words(core, core), 0}}, // see leaveNoCore
	)
	if n := order.Processes; n > 0 {
		setup = append(setup, call{stepLimits, unix.SYS_PRLIMIT64, [6]uint64{0, unix.RLIMIT_NPROC, o.words(n, n), 0}})
	}
	if order.DropCaps {
		setup = append(setup,
			call{stepLimits, unix.SYS_PRCTL, [6]uint64{unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL}},
			call{stepLimits, unix.SYS_CAPSET, [6]uint64{o.words(unix.LINUX_CAPABILITY_VERSION_3), o.words(0, 0, 0)}},
		)
	}
	told := []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2}
	// What this program was started to ignore the CLI is not.
	action := o.words(0, 0, 0, 0)
	for _, s := range append(told, unix.SIGPIPE, unix.SIGCHLD) {
		setup = append(setup, call{careless, unix.SYS_RT_SIGACTION, [6]uint64{uint64(s), action, 0, 8}})
	}
	setup = append(setup, call{stepLimits, unix.SYS_RT_SIGPROCMASK, [6]uint64{unix.SIG_SETMASK, o.words(^uint64(0)), 0, 8}})

	child := []call{{stepExec, unix.SYS_SETPGID, [6]uint64{}}}
	if order.Dir != "" {
		child = append(child, call{stepExec, unix.SYS_CHDIR, [6]uint64{text(order.Dir)}})
	}
	var after []call
	for i := range order.Files {
		child = append(child, call{stepExec, unix.SYS_DUP3, [6]uint64{uint64(initFiles + i), uint64(i)}})
		after = append(after, call{careless, unix.SYS_CLOSE, [6]uint64{uint64(initFiles + i)}})
	}
	child = append(child,
		call{stepExec, unix.SYS_RT_SIGPROCMASK, [6]uint64{unix.SIG_SETMASK, o.words(0), 0, 8}},
		call{stepExec, unix.SYS_EXECVE, [6]uint64{text(order.Path), texts(order.Args), texts(order.Env)}},
	)

	o.put(orderSetup, o.calls(setup))
	o.put(orderChild, o.calls(child))
	o.put(orderAfter, o.calls(after))
	if order.Probe {
		o.put(orderProbe, 1)
	}
	w := binary.LittleEndian
	for i, fd := range []uint32{initSocket, 0} { // the second is the signals', when there is one
		w.PutUint32(o.b[orderPoll+8*i:], fd)
		w.PutUint16(o.b[orderPoll+8*i+4:], unix.POLLIN)
	}
	for _, at := range []int{orderMessage, orderRights} {
		o.put(at+16, orderAt+orderVector)
		o.put(at+24, 1)
	}
	o.put(orderRights+32, orderAt+orderControl)
	o.put(orderRights+40, uint64(unix.CmsgSpace(4)))
	o.put(orderVector, orderAt+orderRecord)
	o.put(orderVector+8, recordSize)
	o.put(orderControl, uint64(unix.CmsgLen(4)))
	w.PutUint32(o.b[orderControl+8:], unix.SOL_SOCKET)
	w.PutUint32(o.b[orderControl+12:], unix.SCM_RIGHTS)
	o.put(orderSignals, bits(append(told, unix.SIGCHLD)...))
	o.put(orderSize, uint64(len(o.b)))
	if failed == nil && len(o.b) > maxOrder {
		failed = syscall.E2BIG
	}
	return o.b, failed
}

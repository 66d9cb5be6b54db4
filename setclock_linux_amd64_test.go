package understudy_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// wallClock sets the clock on the wall for this process alone, and until its end; the monotonic one goes on. What the kernel has put into
// the process for asking the time without a system call begins with a jump now: to what makes the call, and adds so many seconds to the
// wall's time.
func wallClock(t *testing.T) (set func(ahead time.Duration)) {
	t.Helper()
	code := []byte{
		0xb8, unix.SYS_CLOCK_GETTIME, 0, 0, 0, // mov eax, clock_gettime
		0x0f, 0x05, // syscall: the clock in rdi, where to in rsi
		0x85, 0xff, // test edi, edi: CLOCK_REALTIME is 0
		0x75, 0x0a, // jne to the ret
		0x48, 0x8b, 0x15, 0x0e, 0, 0, 0, // mov rdx, [rip+14]: the seconds
		0x48, 0x01, 0x16, // add [rsi], rdx
		0xc3, // ret
	}
	const seconds, room = 32, 40
	memory, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0) // which may write where the process itself may not
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, memory.Close()) })
	from, image := vdso(t, memory)
	entry := clockGettime(t, image)
	free := int64(len(image)-room) &^ 7 // aligned: the seconds are read while they are written
	if entry%8 != 0 || free < 0 || bytes.Trim(image[free:], "\x00") != nil {
		t.Log("the clock is not set: the kernel's clock_gettime is not as expected")
		return func(time.Duration) {}
	}
	write := func(what []byte, at int64) {
		_, err := memory.WriteAt(what, from+at)
		require.NoError(t, err)
	}
	set = func(ahead time.Duration) {
		write(binary.LittleEndian.AppendUint64(nil, uint64(ahead/time.Second)), free+seconds)
	}
	write(code, free)
	jump := bytes.Clone(image[entry : entry+8]) // at once: other threads ask for the time
	jump[0] = 0xe9
	binary.LittleEndian.PutUint32(jump[1:], uint32(free-entry-5))
	write(jump, entry)
	t.Cleanup(func() { set(0) })
	return set
}

// vdso is what the kernel has put into the process, and where.
func vdso(t *testing.T, memory io.ReaderAt) (from int64, image []byte) {
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			var to int64
			_, err := fmt.Sscanf(line, "%x-%x", &from, &to)
			require.NoError(t, err, line)
			image = make([]byte, to-from)
			_, err = memory.ReadAt(image, from)
			require.NoError(t, err)
			return from, image
		}
	}
	require.FailNow(t, "the process has no vDSO")
	return 0, nil
}

// clockGettime is where the function is in a vDSO.
func clockGettime(t *testing.T, image []byte) int64 {
	library, err := elf.NewFile(bytes.NewReader(image))
	require.NoError(t, err)
	symbols, err := library.DynamicSymbols()
	require.NoError(t, err)
	i := slices.IndexFunc(symbols, func(s elf.Symbol) bool { return s.Name == "__vdso_clock_gettime" })
	require.GreaterOrEqual(t, i, 0)
	return int64(symbols[i].Value)
}

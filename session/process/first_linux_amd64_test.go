package process

import (
	"encoding/binary"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestOrdersOfAFirstProcess(t *testing.T) {
	for _, test := range []struct {
		order initOrder
		want  error
	}{
		{initOrder{Path: "/bin/true", Args: []string{"true"}, Env: []string{"A=" + strings.Repeat("x", maxOrder/2)}, Dir: "/", Files: 4}, nil},
		{initOrder{Path: "/bin/true", Args: []string{strings.Repeat("x", maxOrder)}}, syscall.E2BIG},
		{initOrder{Path: "/bin/true", Env: []string{"A=\x00"}}, syscall.EINVAL},
		{initOrder{Path: "/bin/true", Dir: "\x00"}, syscall.EINVAL},
	} {
		body, err := firstOrder(test.order)
		if test.want != nil {
			assert.ErrorIs(t, err, test.want)
			continue
		}
		require.NoError(t, err)
		assert.EqualValues(t, len(body), binary.LittleEndian.Uint64(body))
	}
}

// What a session holds beside its CLI is a page or some.
func TestTheSmallFirstProcessIsSmall(t *testing.T) {
	needs(t, LayerPIDNamespace)
	if ns, _ := pidNamespace(); !ns.small {
		t.Skip("there is none here")
	}
	assert.Less(t, len(firstCode()), 1<<10)
	p := begin(t, launch(t, "idle"), Options{})
	require.Equal(t, "ready", line(t, p))
	status, err := os.ReadFile("/proc/" + strconv.Itoa(p.child.pid) + "/status")
	require.NoError(t, err)
	for text := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(text, "RssAnon:"); ok {
			n, err := strconv.Atoi(strings.Fields(kb)[0])
			require.NoError(t, err)
			assert.Less(t, n, 100, "kB")
		}
	}
	// Nobody reads the key in its memory, as long as he may not everything.
	var mode unix.Stat_t
	require.NoError(t, unix.Stat("/proc/"+strconv.Itoa(p.child.pid)+"/mem", &mode))
	assert.Zero(t, mode.Uid)
}

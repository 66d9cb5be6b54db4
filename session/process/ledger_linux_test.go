package process

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLedgerForgetsWhatHasEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "processes.json")
	l, _, err := OpenLedger(path)
	require.NoError(t, err)
	p := begin(t, bare(launch(t, "tree:pause")), Options{Ledger: l})
	assert.Contains(t, p.Containment(), LayerLedger)
	tools := pids(t, line(t, p))
	p.Observe()
	listed := func() (n int) {
		for _, e := range readLedger(t, path).Processes {
			if e.PID == tools[0] || e.PID == tools[1] {
				n++
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return listed() == 2 }, time.Minute, time.Millisecond)
	p.Kill()
	require.Eventually(t, func() bool { return len(readLedger(t, path).Processes) == 0 }, time.Minute, time.Millisecond)
	lookAtAdopted()
	assert.Empty(t, l.seen)
}

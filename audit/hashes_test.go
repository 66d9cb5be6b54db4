package audit

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"
)

// TestHashesMadeAnewDoNotStayInMemory opens a log whose hashes are not there, as when the disk was full: those of the last segment, and of
// one before it.
func TestHashesMadeAnewDoNotStayInMemory(t *testing.T) {
	const records = 5 * manyHashes
	o := Options{Dir: scratch(t), SegmentBytes: 64 << 20, SegmentAge: time.Hour, Reserve: -1}
	l, _, err := openLog(realDisk{}, o, &memory{}, time.Now)
	require.NoError(t, err)
	fill := func() {
		for range records / bundle {
			b := l.begin()
			for range bundle {
				e, err := encode(Record{Kind: TurnStarted, Session: "a"}, newRedactor(nil, nil), levels{}, nil)
				require.NoError(t, err)
				b.add(&e, 0)
			}
			require.NoError(t, l.commit(b))
		}
		require.NoError(t, l.sign())
	}
	again := func() {
		path := filepath.Join(o.Dir, hashName)
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		l.close()
		require.NoError(t, os.Remove(path))
		l, _, err = openLog(realDisk{}, o, &memory{}, time.Now)
		require.NoError(t, err)
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.True(t, string(want) == string(got), "%d bytes, and %d", len(got), len(want))
		assert.Less(t, cap(l.hashes.pending), 2*manyHashes*tlog.HashSize)
	}
	fill()
	again()
	require.NoError(t, l.rotate())
	fill()
	again()
	l.close()
}

package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/protocol"
)

func numbered(tb testing.TB, n, size int) protocol.Message {
	line := fmt.Sprintf(`{"type":"assistant","message":{"content":[{"type":"text","text":"%d %s"}]}}`, n, strings.Repeat("x", size))
	m, err := protocol.Decode([]byte(line))
	require.NoError(tb, err)
	return m
}

func numberOf(tb testing.TB, m protocol.Message) (n int) {
	_, err := fmt.Sscan(m.(*protocol.Assistant).Text(), &n)
	require.NoError(tb, err)
	return n
}

// drain takes everything, in order, and says with what it ended.
func drain(tb testing.TB, s *stream, from int) (next int, end error) {
	for {
		messages, err := s.take(context.Background())
		if len(messages) == 0 {
			return from, err
		}
		for _, m := range messages {
			require.Equal(tb, from, numberOf(tb, m), "out of order")
			from++
		}
	}
}

// open is how many descriptors this process has.
func open(tb testing.TB) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Skip("no /proc")
	}
	return len(entries)
}

func TestStreamSpills(t *testing.T) {
	dir := t.TempDir()
	before := open(t)
	s := newStream(dir, 1<<30)
	const n, size = 8_000, 1000 // two windows
	var at, peak runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&at)
	for i := range n {
		for s.push(numbered(t, i, size)) != nil {
			t.Fatal("no room")
		}
		if i%1000 == 0 { // the disk of a busy machine is given its turn
			require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return !s.writing }, time.Minute, time.Millisecond)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&peak)
	assert.Less(t, int64(peak.HeapAlloc)-int64(at.HeapAlloc), int64(4*streamWindow), "memory is flat")
	assert.Greater(t, open(t), before)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, files, "the files have no name")
	s.close(errors.New("end"))
	next, end := drain(t, s, 0)
	assert.Equal(t, n, next)
	require.EqualError(t, end, "end")
	assert.Equal(t, before, open(t))
}

// A consumer that has fallen behind is given a moment, and one that takes nothing only once.
func TestStreamIsPatientOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream(t.TempDir(), 1<<30)
		waited := func() time.Duration {
			start := time.Now()
			s.awaitRoom(t.Context())
			return time.Since(start)
		}
		(*stream)(nil).awaitRoom(t.Context())
		fill := func() {
			for s.bytes <= streamWindow/2 {
				require.NoError(t, s.push(numbered(t, 0, 10_000)))
			}
		}
		assert.Zero(t, waited(), "there is room")
		fill()
		assert.Equal(t, patience, waited())
		assert.Zero(t, waited(), "nothing was taken since")
		_, err := s.take(t.Context())
		require.NoError(t, err)
		assert.Zero(t, waited(), "there is room")
		fill()
		go func() { // ends when it has taken
			time.Sleep(patience / 4)
			_, _ = s.take(t.Context())
		}()
		assert.Equal(t, patience/4, waited())
		fill()
		over, cancel := context.WithTimeout(t.Context(), patience/2)
		defer cancel()
		start := time.Now()
		s.awaitRoom(over)
		assert.Equal(t, patience/2, time.Since(start), "a process that is given up is not read any more")
		s.close(nil)
		assert.Zero(t, waited(), "nothing more is to come")
	})
}

// The consumer reads while the producer writes, falls behind and catches up.
func TestStreamKeepsOrder(t *testing.T) {
	s := newStream(t.TempDir(), 1<<30)
	const n = 10_000
	go func() { // ends with the last message
		for i := range n {
			if err := s.push(numbered(t, i, 700)); err != nil {
				s.close(err)
				return
			}
			s.wake()
			if i%3000 == 2999 {
				time.Sleep(time.Millisecond)
			}
		}
		s.close(nil)
	}()
	next, end := drain(t, s, 0)
	require.NoError(t, end)
	assert.Equal(t, n, next)
}

func TestStreamOverflows(t *testing.T) {
	for name, tt := range map[string]struct {
		dir   string
		limit int64
		want  string
	}{
		"the cap":  {t.TempDir(), 1 << 20, "1048576 bytes wait already (max_unread_bytes)"},
		"the disk": {"/nowhere", 1 << 30, "keep them on disk: "},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStream(tt.dir, tt.limit)
			i := 0
			for ; ; i++ {
				if err := s.push(numbered(t, i, 10_000)); err != nil {
					require.ErrorContains(t, err, tt.want)
					break
				}
				require.Less(t, i, 100_000)
				s.mu.Lock()
				writing := s.writing
				s.mu.Unlock()
				if writing {
					runtime.Gosched()
				}
			}
			s.close(nil) // the result was lost: this must not look like an end
			next, end := drain(t, s, 0)
			require.ErrorIs(t, end, ErrSlowConsumer)
			require.ErrorContains(t, end, tt.want)
			assert.GreaterOrEqual(t, next, streamWindow/11_000)
			assert.LessOrEqual(t, next, i)
		})
	}
}

// A consumer that leaves while the spool is written leaves no descriptor.
func TestStreamAbandoned(t *testing.T) {
	before := open(t)
	for range 3 {
		s := newStream(t.TempDir(), 1<<30)
		for i := range 600 {
			require.NoError(t, s.push(numbered(t, i, 10_000)))
		}
		s.abandon()
		require.NoError(t, s.push(numbered(t, 0, 10)), "nobody misses it")
		require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return !s.writing }, time.Minute, time.Millisecond)
		messages, err := s.take(context.Background())
		require.NoError(t, err)
		assert.Empty(t, messages)
	}
	assert.Equal(t, before, open(t))
}

package debug

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLoad has 20 viewers of 1,000 sessions that change all the time, and one viewer that does not read. Each of the
// others gets its events and pages, what changes the sessions is never held up, and memory stays flat. UNDERSTUDY_LOAD is for
// how long; without it there are five viewers and a few pages of each.
func TestLoad(t *testing.T) {
	viewers := 20
	long, err := time.ParseDuration(os.Getenv("UNDERSTUDY_LOAD"))
	if err != nil {
		long, viewers = 0, 5
	}
	f := fleet(1000)
	h := newHandler(f, Options{Socket: true})
	h.changes.every = 50 * time.Millisecond
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }() // ends with Close
	defer func() { _ = server.Close(); <-served }()
	address := "http://" + listener.Addr().String() + Path

	// The one that does not read holds a connection open, and nothing else.
	slow, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer slow.Close()
	_, err = io.WriteString(slow, "GET "+Path+"events HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var changed atomic.Int64
	var all sync.WaitGroup
	all.Go(func() { // ends with ctx
		states := []string{"busy", "idle"}
		for i := 0; ctx.Err() == nil; i++ {
			f.mu.Lock()
			f.root.Children[1].Children[i%1000].State = states[i/1000%2]
			f.mu.Unlock()
			changed.Add(1)
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * viewers}}
	defer client.CloseIdleConnections()
	// look is what the page does at an event.
	look := func() int {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"?part=main", nil)
		if err != nil {
			return 0
		}
		response, err := client.Do(request)
		if err != nil {
			return 0
		}
		defer response.Body.Close()
		n, err := io.Copy(io.Discard, response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			return 0
		}
		return int(n)
	}
	pages := make([]atomic.Int64, viewers)
	for i := range viewers {
		all.Go(func() { // ends with ctx
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"events", nil)
			if err != nil {
				return
			}
			response, err := client.Do(request)
			if err != nil {
				return
			}
			defer response.Body.Close()
			for lines := bufio.NewScanner(response.Body); lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "data: ") && look() > 0 {
					pages[i].Add(1)
				}
			}
		})
	}
	least := func() int64 {
		fewest := pages[0].Load()
		for i := range pages {
			fewest = min(fewest, pages[i].Load())
		}
		return fewest
	}
	require.Eventually(t, func() bool { return least() >= 2 }, time.Minute, 10*time.Millisecond, "every viewer sees what changes")
	before := heap()
	if long > 0 {
		for end := time.Now().Add(long); time.Now().Before(end); {
			time.Sleep(long / 10)
			t.Logf("changes %d, pages of each viewer at least %d, heap %d MiB, goroutines %d", changed.Load(), least(), heap()>>20, runtime.NumGoroutine())
		}
	} else {
		require.Eventually(t, func() bool { return least() >= 4 }, time.Minute, 10*time.Millisecond)
	}
	assert.Less(t, heap(), before+32<<20, "memory stays flat")
	assert.Greater(t, changed.Load(), int64(20), "nobody holds up what changes")
	cancel()
	all.Wait()
}

// heap is what is in use after what is not was collected.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

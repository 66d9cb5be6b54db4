package debug

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLoad has 20 viewers of 1,000 sessions that change all the time: ten that look as the page does, and ten that ask and never
// read. The first get their events and pages, and memory stays flat. UNDERSTUDY_LOAD is for how long; then what changes the sessions
// is measured in turns with nobody looking, with those that never read, and with all. Who never reads must slow nobody; those who look
// use the machine, and as clients of this process more of it than it takes to serve them, which is told and not judged. Without it there are fewer, and a
// few pages of each.
func TestLoad(t *testing.T) {
	fast, slow := 10, 10
	long, err := time.ParseDuration(os.Getenv("UNDERSTUDY_LOAD"))
	if err != nil {
		long, fast, slow = 0, 3, 2
	}
	f := fleet(1000)
	h := newHandler(f, Options{Socket: true})
	if long == 0 {
		h.changes.every = 50 * time.Millisecond // nobody wants to wait
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }() // ends with Close
	defer func() { _ = server.Close(); <-served }()

	changed, still := changing(t, f)
	pages := make([]atomic.Int64, fast)
	least := func() int64 {
		fewest := pages[0].Load()
		for i := range pages {
			fewest = min(fewest, pages[i].Load())
		}
		return fewest
	}
	crowd := func(fast, slow int) (leave func()) {
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for i := range fast {
			all.Go(func() { lookOn(ctx, listener.Addr().String(), &pages[i]) }) // ends with ctx
		}
		for range slow {
			all.Go(func() { neverRead(ctx, listener.Addr().String()) }) // ends with ctx
		}
		return func() { cancel(); all.Wait() }
	}
	leave := crowd(fast, slow)
	require.Eventually(t, func() bool { return least() >= 2 }, time.Minute, 10*time.Millisecond, "every viewer sees what changes")
	before := heap()
	if long == 0 {
		require.Eventually(t, func() bool { return least() >= 4 }, time.Minute, 10*time.Millisecond)
		leave()
	} else {
		leave()
		const rounds = 5
		rates := make(map[string][]float64)
		for range rounds {
			for _, who := range []string{"nobody", "who never reads", "all"} {
				leave := map[string]func() func(){
					"nobody": func() func() { return func() {} }, "who never reads": func() func() { return crowd(0, slow) }, "all": func() func() { return crowd(fast, slow) },
				}[who]()
				from, at := changed.Load(), time.Now()
				time.Sleep(long / (3 * rounds))
				rates[who] = append(rates[who], float64(changed.Load()-from)/time.Since(at).Seconds())
				t.Logf("%s: %.0f changes a second, pages of each viewer at least %d, heap %d MiB, goroutines %d", who, rates[who][len(rates[who])-1], least(), heap()>>20, runtime.NumGoroutine())
				leave()
			}
		}
		median := func(who string) float64 { slices.Sort(rates[who]); return rates[who][rounds/2] }
		nobody, never, all := median("nobody"), median("who never reads"), median("all")
		t.Logf("changes a second: %.0f with nobody, %.0f with those who never read (%.2f), %.0f with all (%.2f)", nobody, never, never/nobody, all, all/nobody)
		assert.Greater(t, never, 0.8*nobody, "who never reads slows nobody")
	}
	assert.Less(t, heap(), before+32<<20, "memory stays flat")
	from := changed.Load()
	require.Eventually(t, func() bool { return changed.Load() > from+20 }, time.Minute, time.Millisecond, "nobody holds up what changes")
	still()
}

// changing changes one session after the other, as often as the machine allows up to a thousand times a second.
func changing(t *testing.T, f *fake) (count *atomic.Int64, stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	count = new(atomic.Int64)
	done := make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		states := []string{"busy", "idle"}
		for i := 0; ctx.Err() == nil; i++ {
			f.mu.Lock()
			f.root.Children[1].Children[i%1000].State = states[i/1000%2]
			f.mu.Unlock()
			count.Add(1)
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	return count, func() { cancel(); <-done }
}

// lookOn does what the page does: it listens, fetches what has changed, and rests a quarter of a second.
func lookOn(ctx context.Context, address string, pages *atomic.Int64) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	get := func(path string) (*http.Response, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+Path+path, nil)
		if err != nil {
			return nil, err
		}
		return client.Do(request)
	}
	events, err := get("events")
	if err != nil {
		return
	}
	defer events.Body.Close()
	for lines := bufio.NewScanner(events.Body); lines.Scan(); {
		if !strings.HasPrefix(lines.Text(), "data: ") {
			continue
		}
		page, err := get("?part=main")
		if err != nil {
			return
		}
		n, err := io.Copy(io.Discard, page.Body)
		_ = page.Body.Close() // it was read, or err says that it was not
		if err == nil && page.StatusCode == http.StatusOK && n > 0 {
			pages.Add(1)
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// neverRead asks for events and for the tree, again and again, and reads nothing of what comes.
func neverRead(ctx context.Context, address string) {
	for ctx.Err() == nil {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		for _, path := range []string{"tree", "tree", "?part=main", "events"} {
			_, _ = io.WriteString(conn, "GET "+Path+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n") // it may have been let go already
		}
		select {
		case <-time.After(eventTimeout):
		case <-ctx.Done():
		}
		_ = conn.Close() // nothing of it was wanted
	}
}

// heap is what is in use after what is not was collected.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

package debug

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor"
)

func TestServeIsAChild(t *testing.T) {
	system := actor.NewSystem(actor.Options{})
	socket := filepath.Join(t.TempDir(), "u.sock")
	start := Serve(system, "root/debug", func() (net.Listener, error) { return ListenUnix(socket) },
		Handler(newFake(), Options{Socket: true, Actions: true}), zerolog.Logger{})
	root, err := supervisor.Start(t.Context(), system, supervisor.Options{
		Name: "root", Strategy: supervisor.OneForOne, Children: []supervisor.ChildSpec{{ID: "debug", Start: start}},
	})
	require.NoError(t, err)
	client := Dial(socket)
	defer client.Close()
	tree, err := client.Tree(t.Context())
	require.NoError(t, err, "it listens when the supervisor says that it runs")
	assert.Equal(t, "root", tree.Name)

	pid, ok := system.Lookup("root/debug")
	require.True(t, ok)
	pid.Kill()
	<-pid.Done()
	require.Eventually(t, func() bool { _, err := client.Tree(t.Context()); return err == nil }, time.Minute, 10*time.Millisecond, "it comes back")

	require.NoError(t, root.Stop(context.Background()))
	_, err = client.Tree(t.Context())
	assert.ErrorIs(t, err, ErrNoDaemon)
	assert.NoFileExists(t, socket)
	assert.Empty(t, system.Actors())
}

// TestServeStopsInTime: requests may go on for two seconds, and no longer.
func TestServeStopsInTime(t *testing.T) {
	for name, c := range map[string]struct {
		takes, want time.Duration
		whole       bool
	}{"nothing going on": {0, 0, true}, "a quick one": {time.Second, time.Second, true}, "a slow one": {time.Hour, 2 * time.Second, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.query = func(ctx context.Context, _, _ string) iter.Seq2[json.RawMessage, error] {
					return func(yield func(json.RawMessage, error) bool) {
						yield(json.RawMessage(`{}`), nil)
						select {
						case <-ctx.Done():
						case <-time.After(c.takes):
						}
					}
				}
				p, system := newPipes(), actor.NewSystem(actor.Options{})
				pid, err := Serve(system, "debug", func() (net.Listener, error) { return p, nil }, Handler(f, Options{Socket: true, Actions: true}), zerolog.Logger{})(t.Context())
				require.NoError(t, err)
				if c.takes == 0 {
					synctest.Wait()
				} else {
					response := send(t, p.client(), "POST", Path+"sessions/a/query", `{"prompt":"p"}`)
					read := make(chan error, 1)
					go func() { // ends with the answer
						_, err := io.ReadAll(response.Body)
						read <- errors.Join(err, response.Body.Close())
					}()
					defer func() {
						err := <-read
						assert.Equal(t, c.whole, err == nil, "%v", err)
					}()
				}
				begun := time.Now()
				pid.Stop(nil)
				<-pid.Done()
				assert.InDelta(t, c.want, time.Since(begun), float64(time.Second/2))
				assert.ErrorIs(t, pid.Reason(), actor.ErrShutdown)
				synctest.Wait()
				_, err = p.Accept()
				assert.ErrorIs(t, err, net.ErrClosed)
			})
		})
	}
}

// TestServeStoppedBeforeItBegan: an actor that is stopped early has no callback to close the listener in.
func TestServeStoppedBeforeItBegan(t *testing.T) {
	for name, stop := range map[string]func(actor.PID){"stop": func(p actor.PID) { p.Stop(nil) }, "kill": actor.PID.Kill} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				pid, err := Serve(actor.NewSystem(actor.Options{}), "debug", func() (net.Listener, error) { return p, nil }, http.NotFoundHandler(), zerolog.Logger{})(t.Context())
				require.NoError(t, err)
				stop(pid)
				<-pid.Done()
				synctest.Wait()
				_, err = p.Accept()
				assert.ErrorIs(t, err, net.ErrClosed)
			})
		})
	}
}

// TestServeComesBackAtOnce: a killed server's address is free when it is started again.
func TestServeComesBackAtOnce(t *testing.T) {
	socket, system := filepath.Join(t.TempDir(), "u.sock"), actor.NewSystem(actor.Options{})
	start := Serve(system, "debug", func() (net.Listener, error) { return ListenUnix(socket) }, http.NotFoundHandler(), zerolog.Logger{})
	for i := range 50 {
		pid, err := start(t.Context())
		require.NoError(t, err, i)
		pid.Kill()
		<-pid.Done()
	}
	pid, err := start(t.Context())
	require.NoError(t, err)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = start(cancelled)
	require.ErrorContains(t, err, "wait for the listener")
	pid.Stop(nil)
	<-pid.Done()
}

// broken is a listener that fails.
type broken struct{ *pipes }

func (broken) Accept() (net.Conn, error) { return nil, errBoom }

func TestServeEndsWithItsListener(t *testing.T) {
	p := newPipes()
	pid, err := Serve(actor.NewSystem(actor.Options{}), "debug", func() (net.Listener, error) { return broken{p}, nil }, http.NotFoundHandler(), zerolog.Logger{})(t.Context())
	require.NoError(t, err)
	<-pid.Done()
	assert.ErrorIs(t, pid.Reason(), errBoom)
	assert.EqualError(t, pid.Reason(), "serve on pipes: boom")
	<-p.done
}

func TestServeFailsToStart(t *testing.T) {
	system := actor.NewSystem(actor.Options{})
	taken, err := ListenTCP("127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	addr := taken.Addr().String()
	_, err = Serve(system, "debug", func() (net.Listener, error) { return ListenTCP(addr) }, http.NotFoundHandler(), zerolog.Logger{})(t.Context())
	require.Error(t, err)
	assert.Equal(t, "listen on "+addr+": address already in use: another program listens there, perhaps another understudy: stop it, or choose another address (port 0 takes one that is free)", err.Error())
	assert.False(t, supervisor.Permanently(err), "it may be free later")
	assert.Empty(t, system.Actors())

	p1, p2 := newPipes(), newPipes()
	pid, err := Serve(system, "debug", func() (net.Listener, error) { return p1, nil }, http.NotFoundHandler(), zerolog.Logger{})(t.Context())
	require.NoError(t, err)
	_, err = Serve(system, "debug", func() (net.Listener, error) { return p2, nil }, http.NotFoundHandler(), zerolog.Logger{})(t.Context())
	require.ErrorIs(t, err, actor.ErrNameTaken)
	<-p2.done
	pid.Stop(nil)
	<-pid.Done()
}

func TestListenTCPErrors(t *testing.T) {
	for addr, want := range map[string]string{
		"nonsense":        "expected HOST:PORT",
		"127.0.0.1:x":     "expected HOST:PORT",
		"127.0.0.1:99999": "expected HOST:PORT",
		"192.0.2.55:7070": "127.0.0.1 is always there",
	} {
		_, err := ListenTCP(addr)
		require.Error(t, err)
		failed, ok := errors.AsType[*ListenError](err)
		require.True(t, ok)
		assert.Equal(t, addr, failed.Addr)
		assert.Contains(t, err.Error(), "listen on "+addr+": ")
		assert.Contains(t, err.Error(), want)
		assert.Equal(t, strings.Contains(want, "HOST"), supervisor.Permanently(err), addr)
	}
}

// TestServersLogGoesToTheLogger: net/http's default is the process's own, which is not ours.
func TestServersLogGoesToTheLogger(t *testing.T) {
	var text strings.Builder
	n, err := warnings{zerolog.New(&text)}.Write([]byte("http: something\n"))
	require.NoError(t, err)
	assert.Equal(t, 16, n)
	assert.JSONEq(t, `{"level":"warn","text":"http: something\n","message":"http server"}`, text.String())
}

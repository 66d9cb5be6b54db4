package remote_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/audit/remote"
	"github.com/understudy-run/understudy/session/sessiontest"
)

func TestMain(m *testing.M) { os.Exit(sessiontest.NothingLeft(m).Run()) }

// received is a server that keeps what is posted to it.
func received(t *testing.T, status *int) (url string, bodies chan []byte, headers chan http.Header) {
	bodies, headers = make(chan []byte, 100), make(chan http.Header, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		w.WriteHeader(*status)
		fmt.Fprint(w, "because")
		bodies <- body
		headers <- r.Header
	}))
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	return server.URL, bodies, headers
}

func TestSink(t *testing.T) {
	status := http.StatusNoContent
	url, bodies, headers := received(t, &status)
	records := []audit.Record{
		{V: 1, Seq: 1, ID: "a", Kind: audit.ToolIntent, Session: "s", Tool: "Bash", Input: json.RawMessage(`{"command":"ls"}`)},
		{V: 1, Seq: 2, ID: "b", Kind: audit.ToolResult, Session: "s", Tool: "Bash"},
	}
	for encoding, want := range map[audit.Encoding]struct{ contentType, begin, end, id string }{
		audit.JSONL:       {"application/x-ndjson", `{"v":1,"seq":1,`, "}\n", `"id":"(.)"`},
		audit.CloudEvents: {"application/cloudevents-batch+json", `[{`, "}]", `"specversion":"1.0","id":"(.)"`},
		audit.OCSF:        {"application/x-ndjson", `{"class_uid":6003,`, "}\n", `"metadata":{.*?"uid":"(.)"`},
		audit.OTLP:        {"application/json", `{"resourceLogs":[{`, "}", `"key":"event.id","value":{"stringValue":"(.)"}`},
	} {
		sink := remote.Sink(remote.SinkOptions{
			Name: "siem", URL: url, Encoding: encoding, HTTP: remote.HTTP{Header: http.Header{"Authorization": {"Bearer t"}}},
		})
		require.NoError(t, sink.Deliver(context.Background(), records))
		body, header := string(<-bodies), <-headers
		assert.Equal(t, want.contentType, header.Get("Content-Type"))
		assert.Equal(t, "Bearer t", header.Get("Authorization"))
		assert.True(t, strings.HasPrefix(body, want.begin), body)
		assert.True(t, strings.HasSuffix(body, want.end), body)
		var ids []string // by which a receiver knows what it has
		for _, found := range regexp.MustCompile(want.id).FindAllStringSubmatch(body, -1) {
			ids = append(ids, found[1])
		}
		assert.Equal(t, []string{"a", "b"}, ids, body)
		for part := range strings.Lines(body) {
			assert.True(t, json.Valid([]byte(part)), part)
		}
	}
	sink := remote.Sink(remote.SinkOptions{Name: "siem", URL: url})
	for _, status = range []int{http.StatusInternalServerError, http.StatusFound, http.StatusForbidden} {
		err := sink.Deliver(context.Background(), records)
		require.ErrorContains(t, err, http.StatusText(status)+`: "because"`)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, sink.Deliver(gone, records), context.Canceled)
}

// TestAnchors has a log whose checkpoints go everywhere, and verifies it against each place.
func TestAnchors(t *testing.T) {
	status := http.StatusOK
	url, bodies, _ := received(t, &status)
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer udp.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer tcp.Close()
	socket := filepath.Join(t.TempDir(), "log")
	local, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	require.NoError(t, err)
	defer local.Close()
	anchors := []audit.Anchor{remote.HTTPAnchor(url, remote.HTTP{})}
	for _, address := range []string{"udp://" + udp.LocalAddr().String(), "tcp://" + tcp.Addr().String(), "unix://" + socket} {
		anchor, err := remote.SyslogAnchor(address)
		require.NoError(t, err)
		anchors = append(anchors, anchor)
	}
	streams := make(chan string, 100)
	go func() { // ends with the listener
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			data, _ := io.ReadAll(conn)
			streams <- string(data)
			_ = conn.Close()
		}
	}()

	dir := filepath.Join(t.TempDir(), "audit")
	trail := audit.New(actor.NewSystem(actor.Options{}), audit.Options{Dir: dir, Anchors: anchors, CheckpointRecords: 1, Reserve: -1})
	pid, err := trail.Start(context.Background())
	require.NoError(t, err)
	require.NoError(t, trail.Append(context.Background(), audit.Record{Kind: audit.TurnStarted, Turn: 1}))
	pid.Stop(nil)
	<-pid.Done()
	newest, err := audit.Checkpoint(dir, 0)
	require.NoError(t, err)

	datagram := func(conn interface {
		ReadFrom([]byte) (int, net.Addr, error)
		SetDeadline(time.Time) error
	}) string {
		require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		for buffer := make([]byte, 64<<10); ; {
			n, _, err := conn.ReadFrom(buffer)
			require.NoError(t, err)
			if line := string(buffer[:n]); strings.Contains(line, audit.CheckpointLine(newest)) {
				return line
			}
		}
	}
	for name, anchored := range map[string]func() string{
		"http": func() string {
			for {
				if body := <-bodies; string(body) == string(newest) {
					return string(body)
				}
			}
		},
		"udp":  func() string { return datagram(udp) },
		"unix": func() string { return datagram(local) },
		"tcp": func() string {
			for {
				if message := <-streams; strings.Contains(message, audit.CheckpointLine(newest)) {
					var n int
					_, err := fmt.Fscan(bufio.NewReader(strings.NewReader(message)), &n)
					require.NoError(t, err)
					_, rest, _ := strings.Cut(message, " ")
					assert.Len(t, rest, n, "octets are counted")
					return message
				}
			}
		},
	} {
		once := anchored() + "\n"
		text := "Nov  5 08:30:00 host other[1]: something\n" + once + "more\n" + once // it may come twice
		if name == "http" {
			text = string(newest) + string(newest)
		} else {
			assert.Regexp(t, `<85>1 20\d\d-\S+Z \S+ understudy \d+ checkpoint - understudy-checkpoint "`, text)
		}
		report, err := audit.Verify(context.Background(), dir, audit.VerifyOptions{Anchor: []byte(text)})
		require.NoError(t, err)
		assert.Zero(t, report.Code(), "%s: %v", name, report.Findings)
		// Against a log that has been begun anew, it shows.
		other := audit.New(actor.NewSystem(actor.Options{}), audit.Options{Dir: filepath.Join(t.TempDir(), "audit"), Reserve: -1})
		pid, err := other.Start(context.Background())
		require.NoError(t, err)
		pid.Stop(nil)
		<-pid.Done()
		report, err = audit.Verify(context.Background(), other.Status().Path, audit.VerifyOptions{Anchor: []byte(text)})
		require.NoError(t, err)
		assert.Equal(t, 1, report.Code(), name)
	}
}

// TestNobodyAnswers: what does not read, or does not answer, is given up when the context ends, or the time is over.
func TestNobodyAnswers(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then the server sees that the other end has gone
		<-r.Context().Done()
	}))
	t.Cleanup(silent.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	err := remote.HTTPAnchor(silent.URL, remote.HTTP{Timeout: time.Millisecond}).Publish(context.Background(), []byte("x"))
	require.ErrorIs(t, err, context.DeadlineExceeded)

	socket := filepath.Join(t.TempDir(), "log")
	full, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	require.NoError(t, err)
	defer full.Close()
	fill, err := net.Dial("unixgram", socket)
	require.NoError(t, err)
	defer fill.Close()
	raw, err := fill.(*net.UnixConn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Write(func(fd uintptr) bool {
		for {
			if _, err := unix.Write(int(fd), []byte("x")); err != nil { // it has no room: EAGAIN
				return true
			}
		}
	}))
	syslog, err := remote.SyslogAnchor("unix://" + socket)
	require.NoError(t, err)
	for _, anchor := range []audit.Anchor{syslog, remote.HTTPAnchor(silent.URL, remote.HTTP{})} {
		ctx, cancel := context.WithCancel(context.Background())
		outcome := make(chan error, 1)
		go func() { outcome <- anchor.Publish(ctx, []byte("x")) }()
		cancel()
		require.ErrorIs(t, <-outcome, context.Canceled, anchor.Name)
	}
	require.NoError(t, full.Close())
	require.Error(t, syslog.Publish(context.Background(), []byte("x")), "nobody is there")
}

// TestSecretsInAddresses has none of an address's parts that may be secret in names and errors, which go to logs and metrics.
func TestSecretsInAddresses(t *testing.T) {
	status := 500
	url, _, _ := received(t, &status)
	for _, address := range []string{
		strings.Replace(url, "://", "://ann:hunter2@", 1) + "/in?token=hunter2#hunter2",
		"http://ann:hunter2@127.0.0.1:1/in?token=hunter2", "http://ann:hunter2@127.0.0.1:port/?token=hunter2", "gopher://x/?hunter2",
	} {
		anchor := remote.HTTPAnchor(address, remote.HTTP{})
		assert.NotContains(t, anchor.Name, "hunter2")
		assert.NotEmpty(t, anchor.Name)
		err := anchor.Publish(context.Background(), []byte("x"))
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "hunter2")
		assert.ErrorContains(t, err, "POST ")
	}
}

func TestSyslogAddresses(t *testing.T) {
	for _, address := range []string{"", "here", "udp://", "udp://host", "tcp://host:1/path", "unix://", "http://host:80"} {
		_, err := remote.SyslogAnchor(address)
		assert.ErrorContains(t, err, "expected local, udp://HOST:514", address)
	}
}

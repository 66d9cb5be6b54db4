package protocol_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/protocol"
)

// readAll gives the lines and errors of a stream until its end, which is the last entry.
func readAll(r io.Reader, limit int) []string {
	rd := protocol.NewReader(r, limit)
	var out []string
	for {
		line, err := rd.Next()
		var long *protocol.LineTooLongError
		switch {
		case errors.As(err, &long):
			out = append(out, "!"+err.Error())
			continue
		case err != nil:
			_, again := rd.Next()
			if again != err {
				out = append(out, "the end is not the end")
			}
			return append(out, "!"+err.Error())
		}
		out = append(out, string(line))
	}
}

func TestReader(t *testing.T) {
	long := (&protocol.LineTooLongError{Limit: 5}).Error()
	for in, want := range map[string][]string{
		"":                         {"!EOF"},
		"\n":                       {"!EOF"},
		" \t\r\n\r\n":              {"!EOF"},
		"a\nb\n":                   {"a", "b", "!EOF"},
		"a\r\n\n  \nb\n":           {"a", "b", "!EOF"},
		"a\rb\n":                   {"a\rb", "!EOF"},
		"a\nb":                     {"a", "!unexpected EOF"},
		"a\n  ":                    {"a", "!EOF"},
		"12345\n":                  {"12345", "!EOF"},
		"123456\nb\n":              {"!" + long, "b", "!EOF"},
		"1234567890\n1234567890\n": {"!" + long, "!" + long, "!EOF"},
		"123456":                   {"!" + long, "!unexpected EOF"},
		"      \nb\n":              {"!" + long, "b", "!EOF"},
		"\x00\xff\n":               {"\x00\xff", "!EOF"},
	} {
		assert.Equal(t, want, readAll(strings.NewReader(in), 5), "%q", in)
		assert.Equal(t, want, readAll(iotest.OneByteReader(strings.NewReader(in)), 5), "%q one at a time", in)
		assert.Equal(t, want, readAll(iotest.DataErrReader(strings.NewReader(in)), 5), "%q with the end", in)
	}
}

func TestReaderLongLines(t *testing.T) {
	// Around the size of the buffer underneath, and well beyond.
	for _, n := range []int{32<<10 - 2, 32<<10 - 1, 32 << 10, 32<<10 + 1, 64 << 10, 3 << 20} {
		line := strings.Repeat("x", n)
		in := "a\n" + line + "\r\nb\n"
		want := []string{"a", line, "b", "!EOF"}
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(in), "half": iotest.HalfReader(strings.NewReader(in))} {
			got := readAll(r, 4<<20)
			require.True(t, len(got) == 4 && got[1] == line && got[0] == want[0] && got[2] == want[2] && got[3] == want[3], "%d %s", n, name)
		}
	}
}

func TestReaderError(t *testing.T) {
	broken := errors.New("pipe broken")
	r := protocol.NewReader(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), 0)
	line, err := r.Next()
	require.NoError(t, err)
	assert.Equal(t, "a", string(line))
	_, err = r.Next()
	require.ErrorIs(t, err, broken)
	assert.EqualError(t, err, "read frame: pipe broken")
}

// repeated gives n times the byte c without holding them.
type repeated struct {
	c byte
	n int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, io.EOF
	}
	p = p[:min(len(p), r.n)]
	for i := range p {
		p[i] = r.c
	}
	r.n -= len(p)
	return len(p), nil
}

// A line of 64 MiB against the limit of 16 MiB costs no more than the limit and its growth.
func TestReaderMemoryIsBounded(t *testing.T) {
	var before, after runtime.MemStats
	r := protocol.NewReader(io.MultiReader(&repeated{'x', 64 << 20}, strings.NewReader("\n{}\n")), protocol.DefaultMaxLine)
	runtime.GC()
	runtime.ReadMemStats(&before)
	_, err := r.Next()
	var long *protocol.LineTooLongError
	require.ErrorAs(t, err, &long)
	assert.Equal(t, 16<<20, long.Limit)
	line, err := r.Next()
	require.NoError(t, err)
	assert.Equal(t, "{}", string(line))
	runtime.ReadMemStats(&after)
	// All that was ever allocated, growing by a quarter or more each time, not only what lived at once.
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(128<<20))
	runtime.GC()
	runtime.ReadMemStats(&after)
	assert.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(1<<20), "the room for the long line is given back")
	runtime.KeepAlive(r)
}

func FuzzReader(f *testing.F) {
	var all bytes.Buffer
	for _, r := range transcripts(f) {
		if all.Len() < 4<<10 {
			all.Write(r.frame)
			all.WriteByte('\n')
		}
	}
	f.Add(all.Bytes(), uint16(100))
	f.Add([]byte("a\r\n\n \nb"), uint16(1))
	f.Add([]byte("123456\n\n12345\n"), uint16(5))
	f.Fuzz(func(t *testing.T, in []byte, limit uint16) {
		whole := readAll(bytes.NewReader(in), int(limit))
		assert.Equal(t, whole, readAll(iotest.OneByteReader(bytes.NewReader(in)), int(limit)))
		assert.Equal(t, whole, readAll(iotest.HalfReader(bytes.NewReader(in)), int(limit)))
	})
}

// A reader says whether it would have to wait for the stream.
func TestReaderReady(t *testing.T) {
	source, feed := io.Pipe()
	rd := protocol.NewReader(source, 0)
	assert.False(t, rd.Ready(), "nothing was read yet")
	go func() { // ends when everything was read
		_, _ = feed.Write([]byte("a\nb\ncut"))
		_, _ = feed.Write([]byte(" off\n"))
		_ = feed.Close()
	}()
	for _, want := range []struct {
		line  string
		ready bool
	}{{"a", true}, {"b", false}, {"cut off", false}} {
		line, err := rd.Next()
		require.NoError(t, err)
		assert.Equal(t, want.line, string(line))
		assert.Equal(t, want.ready, rd.Ready(), want.line)
	}
	_, err := rd.Next()
	require.ErrorIs(t, err, io.EOF)
	assert.True(t, rd.Ready(), "the end is there")
}

// TestReadersThatWaitHoldNoBuffer: a thousand silent sessions must not take 64 MB.
func TestReadersThatWaitHoldNoBuffer(t *testing.T) {
	const readers = 200
	used := func() uint64 {
		runtime.GC()
		runtime.GC() // a pool gives up what it has in two steps
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := used()
	var all []*protocol.Reader
	for range readers {
		rd := protocol.NewReader(strings.NewReader("a\nb\n"), 0)
		for _, want := range []string{"a", "b"} {
			line, err := rd.Next()
			require.NoError(t, err)
			require.Equal(t, want, string(line))
		}
		_, err := rd.Next() // which would wait
		require.ErrorIs(t, err, io.EOF)
		all = append(all, rd)
	}
	assert.Less(t, (used()-before)/readers, uint64(8<<10), "bytes each")
	runtime.KeepAlive(all)
}

// eager is a stream whose parts are there at once up to a pause; and there is more behind a wait, an empty part.
type eager struct {
	parts []string
	end   error
}

func (e *eager) Read(p []byte) (int, error) {
	for len(e.parts) > 0 && e.parts[0] == "" { // a wait
		e.parts = e.parts[1:]
	}
	return e.ReadReady(p)
}

func (e *eager) ReadReady(p []byte) (int, error) {
	if len(e.parts) == 0 {
		return 0, e.end
	}
	n := copy(p, e.parts[0])
	if e.parts[0] = e.parts[0][n:]; n > 0 && e.parts[0] == "" {
		e.parts = e.parts[1:]
	}
	return n, nil
}

// Ready looks at what is there, loses none of it, and does not wait.
func TestReadyReadsWhatIsThere(t *testing.T) {
	long := strings.Repeat("y", 200_000)
	for name, c := range map[string]struct {
		parts []string
		end   error
		want  string // lines, each with whether another one was there
	}{
		"one by one":        {[]string{"a\n", "", "b\n", "", "c\n"}, io.EOF, "a false b false c false EOF"},
		"together":          {[]string{"a\nb\n", "c\n"}, io.EOF, "a true b true c false EOF"},
		"in pieces":         {[]string{"a\nb", "b", "b\n", "", "c\n"}, io.EOF, "a true bbb false c false EOF"},
		"a piece is there":  {[]string{"a\nb", "", "b\n"}, io.EOF, "a false bb false EOF"},
		"cut off":           {[]string{"a\nb"}, io.EOF, "a false unexpected EOF"},
		"an error":          {[]string{"a\n"}, io.ErrClosedPipe, "a false read frame: io: read/write on closed pipe"},
		"beyond the buffer": {[]string{"a\n" + long, long + "\nb\n"}, io.EOF, "a false " + long + long + " true b false EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			r := protocol.NewReader(&eager{slices.Clone(c.parts), c.end}, 0)
			var got []string
			for {
				line, err := r.Next()
				if err != nil {
					got = append(got, err.Error())
					break
				}
				got = append(got, string(line))
				got = append(got, fmt.Sprint(r.Ready()))
			}
			assert.Equal(t, c.want, strings.Join(got, " "))
		})
	}
}

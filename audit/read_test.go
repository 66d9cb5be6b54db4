package audit

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadNothing(t *testing.T) {
	n := 0
	for _, err := range Read(filepath.Join(t.TempDir(), "none")) {
		n++
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
	assert.Equal(t, 1, n)
	for range Read(dirWith(t, nil)) {
		t.Fatal("an empty log has no record")
	}
}

func TestReadDamage(t *testing.T) {
	content, last := sample(t)
	file := strings.Join([]string{
		string(content[:last]), "\n", "[]\n", `{"v":1}` + "\n", strings.Repeat("y", maxLine+2) + "\n",
		`{"v":9,"seq":1}` + "\n", string(content[last:]), `{"v":1,"s`,
	}, "")
	dir := dirWith(t, []byte(file))
	var words []string
	var places []int
	records := 0
	for _, err := range Read(dir) {
		if err == nil {
			records++
			continue
		}
		var damage *DamageError
		require.ErrorAs(t, err, &damage)
		assert.Equal(t, Path(dir), damage.File)
		places = append(places, damage.Line)
		words = append(words, damage.Err.Error())
	}
	assert.Equal(t, []int{4, 5, 6, 7, 8, 10}, places)
	assert.Equal(t, 4, records)
	require.Len(t, words, 6)
	for i, want := range []string{"empty line", "no JSON object", "v, seq, id or kind", "longer than", "version 9", "has no end"} {
		assert.Contains(t, words[i], want)
	}
	// A reader that has enough can stop.
	for range Read(dir) {
		break
	}
	got, err := Tail(dir, 1)
	require.NoError(t, err, "an unfinished line is not the last record")
	assert.Equal(t, LogClosed, got[0].Kind)
}

// following runs a Follow and gives what it finds.
func following(t *testing.T, dir string, after uint64) <-chan Record {
	ctx, cancel := context.WithCancel(deadline(t))
	found, over := make(chan Record), make(chan struct{})
	go func() {
		defer close(over)
		for r, err := range FollowAfter(ctx, dir, after) {
			if !assert.NoError(t, err) {
				return
			}
			select {
			case found <- r:
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-over })
	return found
}

func expect(t *testing.T, found <-chan Record, kind Kind, turn int) {
	t.Helper()
	select {
	case r := <-found:
		require.Equal(t, kind, r.Kind)
		require.Equal(t, turn, r.Turn)
	case <-deadline(t).Done():
		t.Fatalf("no %s", kind)
	}
}

func TestFollow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	found := following(t, dir, 0) // before there is a log
	trail := newTrail(t, Options{Dir: dir}, nil)
	pid := start(t, trail)
	expect(t, found, LogOpened, 0)
	for i := range 3 {
		require.NoError(t, trail.Append(deadline(t), turn(i+1)))
		expect(t, found, TurnStarted, i+1)
	}
	late := following(t, dir, 3)
	expect(t, late, TurnStarted, 3)
	stop(t, pid)
	expect(t, found, LogClosed, 0)
	expect(t, late, LogClosed, 0)

	// Half a line is no record yet.
	content, last := sample(t)
	f, err := os.OpenFile(Path(dir), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.Write(content[last : last+9])
	require.NoError(t, err)
	_, err = f.Write(content[last+9:])
	require.NoError(t, err)
	expect(t, found, LogClosed, 0)

	// The log is moved away and begun anew.
	require.NoError(t, os.Rename(Path(dir), Path(dir)+".old"))
	stop(t, start(t, newTrail(t, Options{Dir: dir}, nil)))
	expect(t, found, LogOpened, 0)
	expect(t, found, LogClosed, 0)
}

// TestFollowOverACut: records that were seen and then cut off, and others in their place.
func TestFollowOverACut(t *testing.T) {
	content, last := sample(t)
	other, otherLast := sample(t) // the same, with other ids
	before := bytes.LastIndexByte(content[:last-1], '\n') + 1
	otherBefore := bytes.LastIndexByte(other[:otherLast-1], '\n') + 1
	for name, tail := range map[string][]byte{
		"shorter": other[otherLast:], "as long": other[otherBefore:], "longer": append(other[otherBefore:len(other):len(other)], other[otherLast:]...),
	} {
		t.Run(name, func(t *testing.T) {
			dir := dirWith(t, content)
			found := following(t, dir, 0)
			expect(t, found, LogOpened, 0)
			expect(t, found, TurnStarted, 1)
			expect(t, found, TurnStarted, 2)
			expect(t, found, LogClosed, 0)
			f, err := os.OpenFile(Path(dir), os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			defer f.Close()
			require.NoError(t, f.Truncate(int64(before)))
			_, err = f.Write(tail)
			require.NoError(t, err)
			if name != "shorter" {
				expect(t, found, TurnStarted, 2)
			}
			expect(t, found, LogClosed, 0)
			_, err = f.Write(content[before:last]) // given already
			require.NoError(t, err)
			third, thirdLast := sample(t)
			_, err = f.Write(third[thirdLast:])
			require.NoError(t, err)
			expect(t, found, LogClosed, 0)
		})
	}
}

func TestFollowForgets(t *testing.T) {
	f := &follower{seen: map[string]struct{}{}}
	for i := range 3 * followMemory {
		m := mark{key: string(rune(i + 0x10000)), line: i + 1, start: int64(i), end: int64(i + 1)}
		require.True(t, f.pass(m))
		require.False(t, f.pass(m))
	}
	assert.LessOrEqual(t, len(f.marks), followMemory)
	assert.LessOrEqual(t, len(f.seen), followMemory)
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("\n\n"))
	f.Add([]byte(`{"v":1,"seq":1,"id":"a","time":"2025-11-05T08:30:00Z","kind":"log.opened"}` + "\n" + `{"v":1`))
	f.Add([]byte(`{"v":1,"seq":1,"id":"a","kind":"x","input":{"a":1},"exit":null,"lost":3}` + "\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(Path(dir), content, 0o600); err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(content, []byte("\n"))
		if len(lines[len(lines)-1]) == 0 {
			lines = lines[:len(lines)-1]
		}
		n := 0
		for r, err := range Read(dir) {
			if n == len(lines) {
				t.Fatal("more records than lines")
			}
			line := lines[n]
			n++
			if err != nil {
				var damage *DamageError
				if !errors.As(err, &damage) || damage.Line != n || !bytes.HasPrefix(content[damage.Offset:], line) {
					t.Fatalf("line %d: %v", n, err)
				}
				continue
			}
			if r.Seq == 0 || r.Kind == "" || !bytes.HasPrefix(line, []byte("{")) {
				t.Fatalf("a record out of %q", line)
			}
		}
		if n != len(lines) {
			t.Fatalf("%d of %d lines", n, len(lines))
		}
		if _, err := Tail(dir, 2); err != nil {
			var damage *DamageError
			if !errors.As(err, &damage) {
				t.Fatal(err)
			}
		}
	})
}

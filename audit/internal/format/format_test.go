package format_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// TestFrontier compares the tree with that of tlog, for each size up to 70 and each record.
func TestFrontier(t *testing.T) {
	var tree format.Frontier
	var leaf format.Leaf
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, i := range indexes {
			found = append(found, stored[i])
		}
		return found, nil
	})
	for n := range int64(70) {
		root, err := tlog.TreeHash(n, reader)
		require.NoError(t, err)
		require.Equal(t, root, tree.Root(), "size %d", n)
		for i, index := range tree.Indexes() {
			require.Equal(t, stored[index], tree.Nodes()[i])
		}
		again, err := format.NewFrontier(uint64(n), tree.Nodes())
		require.NoError(t, err)
		require.Equal(t, root, again.Root())
		_, err = format.NewFrontier(uint64(n)+1<<40, tree.Nodes())
		require.Error(t, err)

		payload := fmt.Appendf(nil, "record %d", n)
		require.Equal(t, tlog.RecordHash(payload), leaf.Hash(payload))
		want, err := tlog.StoredHashes(n, payload, reader)
		require.NoError(t, err)
		before := tree.Clone()
		got := tree.Add(leaf.Hash(payload), []tlog.Hash{})
		require.Equal(t, want, got)
		require.Equal(t, root, before.Root(), "a clone is independent")
		stored = append(stored, got...)
	}
}

func TestFrames(t *testing.T) {
	payload := []byte(`{"a":1}`)
	frame := format.AppendFrame([]byte("before"), payload)[6:]
	assert.Len(t, frame, format.FrameSize(len(payload)))
	got, n, err := format.Next(append(bytes.Clone(frame), "more"...))
	require.NoError(t, err)
	assert.Equal(t, payload, got)
	assert.Len(t, frame, n)
	for i := range frame {
		_, _, err := format.Next(frame[:i])
		require.ErrorIs(t, err, format.ErrShort)
		for bit := range 8 {
			bad := bytes.Clone(frame)
			bad[i] ^= 1 << bit
			_, _, err := format.Next(bad)
			require.Error(t, err, "byte %d bit %d", i, bit)
		}
	}
	_, _, err = format.Next(make([]byte, 100))
	require.ErrorContains(t, err, "impossible length 0")
	junk := append([]byte("junk\n\n"), frame...)
	assert.Equal(t, 6, format.Resync(junk))
	assert.Equal(t, -1, format.Resync(frame))
}

func TestHead(t *testing.T) {
	for _, h := range []format.Head{
		{V: 1, Seq: 7, Kind: "a.b"},
		{V: 2, Seq: 1 << 60, Kind: "x", Session: "s", SessionSeq: 3, Lost: 9},
		{V: 1, Seq: 1, Kind: "x", Session: "quote\" back\\ \u2028 é\x7f", SessionSeq: 1},
	} {
		line := append(h.Append(nil), `"id":"1"}`...)
		var v map[string]any
		require.NoError(t, json.Unmarshal(line, &v), "%s", line)
		got, ok := format.ParseHead(line, h)
		require.True(t, ok)
		assert.Equal(t, h, got)
	}
	for _, bad := range []string{"", "{}", `{"v":1}`, `{"v":1,"seq":1}`, `{"v":1,"seq":1,"kind":"a"}`, `{"v":x,"seq":1,"kind":"a",`, `{"v":1,"seq":1,"kind":"a`} {
		_, ok := format.ParseHead([]byte(bad), format.Head{})
		assert.False(t, ok, bad)
	}
}

func TestCheckpoints(t *testing.T) {
	private, public, err := note.GenerateKey(rand.Reader, "log/a")
	require.NoError(t, err)
	signer, err := note.NewSigner(private)
	require.NoError(t, err)
	key, err := note.NewVerifier(public)
	require.NoError(t, err)
	var all []byte
	for size := range uint64(4) {
		c := format.Checkpoint{Origin: "log/a", Size: size, Root: format.Hash{byte(size)}}
		signed, err := c.Sign(signer)
		require.NoError(t, err)
		got, err := format.OpenCheckpoint(signed, key)
		require.NoError(t, err)
		assert.Equal(t, c, got)
		// A witness may have signed too.
		witness, err := note.Open(signed, note.VerifierList(key))
		require.NoError(t, err)
		other, _, err := note.GenerateKey(rand.Reader, "witness")
		require.NoError(t, err)
		second, err := note.NewSigner(other)
		require.NoError(t, err)
		both, err := note.Sign(witness, second)
		require.NoError(t, err)
		_, err = format.OpenCheckpoint(both, key)
		require.NoError(t, err)
		all = append(all, both...)
	}
	rest := all
	for n := range 4 {
		var signed []byte
		signed, rest, err = format.NextCheckpoint(rest)
		require.NoError(t, err)
		c, err := format.OpenCheckpoint(signed, key)
		require.NoError(t, err)
		assert.EqualValues(t, n, c.Size)
	}
	assert.Empty(t, rest)
	_, _, err = format.NextCheckpoint(all[:20])
	require.ErrorIs(t, err, format.ErrShort)
	for _, bad := range []string{"", "a\n", "a\n1\n", "a\nx\nAAAA\n", "a\n01\n" + format.Hash{}.String() + "\n", "\n1\n" + format.Hash{}.String() + "\n"} {
		_, err := format.ParseCheckpoint(bad)
		require.Error(t, err, "%q", bad)
	}
	_, err = format.Checkpoint{Origin: "a\nb"}.Sign(signer)
	require.Error(t, err)
}

func FuzzNext(f *testing.F) {
	f.Add(format.AppendFrame(nil, []byte("{}")), uint8(0))
	f.Add([]byte("\x02\x00\x00\x00"), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		payload, n, err := format.Next(b)
		if err == nil {
			if again := format.AppendFrame(nil, payload); !bytes.Contains(payload, []byte("\n")) && !bytes.Equal(again, b[:n]) {
				t.Fatalf("%q is not the frame of %q", b[:n], payload)
			}
			if _, _, err := format.Next(b[:n-1-int(cut)%n]); !errors.Is(err, format.ErrShort) {
				t.Fatalf("a part of a frame: %v", err)
			}
		}
		if at := format.Resync(b); at >= 0 {
			if _, _, err := format.Next(b[at:]); err != nil || at == 0 || b[at-1] != '\n' {
				t.Fatalf("resync at %d: %v", at, err)
			}
		}
		format.ParseHead(b, format.Head{})
		if signed, rest, err := format.NextCheckpoint(b); err == nil && len(signed)+len(rest) != len(b) {
			t.Fatal("bytes lost")
		}
		_, _ = format.ParseCheckpoint(string(b)) // must not panic
		_, _ = format.ParseSegment(b)
		_, _ = format.ParseProof(b)
	})
}

// TestStringsAreThoseOfEncodingJSON compares with the encoder whose strings the log's are.
func TestStringsAreThoseOfEncodingJSON(t *testing.T) {
	for _, s := range []string{
		"", "plain", `q"uote`, `back\slash`, "\b\f\n\r\t\x00\x1f\x7f", "é\u2028\u2029\u202a\U0001f600", "\xff\xc3", "<&>", "\xed\xa0\x80", "a\xe2\x80", "\ufffd",
	} {
		for _, s := range []string{s, s + s, "x" + s + "y"} {
			var want bytes.Buffer
			encoder := json.NewEncoder(&want)
			encoder.SetEscapeHTML(false)
			require.NoError(t, encoder.Encode(s))
			assert.Equal(t, want.String(), string(format.AppendString(nil, s))+"\n")
			assert.Equal(t, want.String(), string(format.AppendString(nil, []byte(s)))+"\n")
		}
	}
}

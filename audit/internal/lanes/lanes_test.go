package lanes

import (
	"crypto/sha256"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// check compares the hashes of messages with those of the standard library.
func check(t require.TestingT, h *Hasher, messages [][]byte) {
	before := []Hash{{1}, {2}}
	got := h.Sum(messages, before)
	require.Len(t, got, len(messages)+2)
	require.Equal(t, before, got[:2])
	for i, m := range messages {
		require.Equal(t, Hash(sha256.Sum256(m)), got[2+i], "message %d of %d, %d bytes", i, len(messages), len(m))
	}
}

// TestEveryLength has every length up to five blocks, where one is padded in another way than the next, in every lane.
func TestEveryLength(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	var h Hasher
	for shift := range 17 {
		var messages [][]byte
		for length := range 321 + shift {
			m := make([]byte, length)
			_, _ = random.Read(m)
			messages = append(messages, m)
		}
		check(t, &h, messages[shift:])
	}
}

// TestEveryCount has any number of messages, so that lanes stay empty.
func TestEveryCount(t *testing.T) {
	var h Hasher
	for count := range 70 {
		messages := make([][]byte, count)
		for i := range messages {
			messages[i] = make([]byte, i*i%200)
			for j := range messages[i] {
				messages[i][j] = byte(i + j)
			}
		}
		check(t, &h, messages)
	}
	assert.Empty(t, h.Sum(nil, nil))
}

// TestAnyMessages uses one Hasher for all, so that what one call leaves must not matter to the next.
func TestAnyMessages(t *testing.T) {
	var h Hasher
	rapid.Check(t, func(t *rapid.T) {
		check(t, &h, rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 700), 0, 60).Draw(t, "messages"))
	})
}

// TestPartsOfOneBuffer hashes what lies side by side at any address, as frames do, and leaves it as it is.
func TestPartsOfOneBuffer(t *testing.T) {
	buffer := make([]byte, 40_000)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(buffer)
	kept := string(buffer)
	var messages [][]byte
	for at, length := 1, 1; at+length < len(buffer); at, length = at+length, length*7%433+1 {
		messages = append(messages, buffer[at:at+length])
	}
	check(t, new(Hasher), messages)
	assert.Equal(t, kept, string(buffer))
}

func TestLongMessages(t *testing.T) {
	messages := make([][]byte, 20)
	for i := range messages {
		messages[i] = make([]byte, 200_000-i*9_999)
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(messages[i])
	}
	check(t, new(Hasher), messages)
}

// TestGarbageCollected has the messages collected as soon as nobody holds them.
func TestGarbageCollected(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	go func() { // ends with over
		for {
			select {
			case <-over:
				return
			default:
				runtime.GC()
			}
		}
	}()
	var h Hasher
	for round := range 50 {
		messages := make([][]byte, 33)
		for i := range messages {
			messages[i] = make([]byte, 3000+i)
			messages[i][i] = byte(round)
		}
		check(t, &h, messages)
	}
}

func TestDoesNotAllocate(t *testing.T) {
	messages := make([][]byte, 40)
	for i := range messages {
		messages[i] = make([]byte, 400)
	}
	var h Hasher
	hashes := h.Sum(messages, nil)
	assert.Zero(t, testing.AllocsPerRun(10, func() { hashes = h.Sum(messages, hashes[:0]) }))
}

func FuzzSum(f *testing.F) {
	f.Add([]byte("some messages"), uint8(5), uint8(20))
	f.Add(make([]byte, 3000), uint8(64), uint8(1))
	f.Fuzz(func(t *testing.T, all []byte, length, step uint8) {
		var messages [][]byte
		for at := 0; at < len(all) && len(messages) < 200; at += 1 + int(step) {
			messages = append(messages, all[at:min(len(all), at+int(length)*(1+len(messages)%3))])
		}
		check(t, new(Hasher), messages)
	})
}

func BenchmarkSum(b *testing.B) {
	messages := make([][]byte, 256)
	for i := range messages {
		messages[i] = make([]byte, 430)
	}
	var h Hasher
	var hashes []Hash
	b.SetBytes(256 * 430)
	for b.Loop() {
		hashes = h.Sum(messages, hashes[:0])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/message")
}

func BenchmarkOneByOne(b *testing.B) {
	message := make([]byte, 430)
	b.SetBytes(430)
	for b.Loop() {
		sha256.Sum256(message)
	}
}

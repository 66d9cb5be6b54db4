package audit

import (
	"encoding/hex"
	"math/rand/v2"
	"time"
)

// appendID appends a UUIDv7 (RFC 9562): the time in milliseconds, then 74 random bits. They come from the runtime's
// generator, ChaCha8 seeded by the operating system for each thread: an id has to be unique, and is no secret. To ask the
// operating system for each of them would take as long as all the rest of encoding a short record.
func appendID(b []byte, at time.Time) []byte {
	ms, high, low := uint64(at.UnixMilli()), rand.Uint64(), rand.Uint64()
	var id [16]byte
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[7] = 7<<4|byte(high>>8)&0x0f, byte(high)
	for i := range 8 {
		id[8+i] = byte(low >> (56 - 8*i))
	}
	id[8] = 2<<6 | id[8]&0x3f
	b = hex.AppendEncode(b, id[:4])
	for _, part := range [][]byte{id[4:6], id[6:8], id[8:10], id[10:]} {
		b = hex.AppendEncode(append(b, '-'), part)
	}
	return b
}

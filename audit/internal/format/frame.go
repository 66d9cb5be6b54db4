package format

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	// HeaderSize is how many bytes precede a payload.
	HeaderSize = 8
	// MaxPayload bounds a payload that is read: more than any that is written.
	MaxPayload = 8 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrShort says that the bytes end before the frame does.
var ErrShort = errors.New("the frame has no end: a write was cut short, or is still going on")

var (
	errLength   = errors.New("impossible length")
	errChecksum = errors.New("the checksum is another")
	errEnd      = errors.New("no newline at the end")
)

// AppendFrame appends a payload in its frame. The payload is not empty, and has no newline in it.
func AppendFrame(dst, payload []byte) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	dst = append(dst, payload...)
	SealFrame(dst[at:])
	return append(dst, '\n')
}

// SealFrame fills in the header of a frame without its newline.
func SealFrame(frame []byte) {
	binary.LittleEndian.PutUint32(frame, uint32(len(frame)-HeaderSize))
	binary.LittleEndian.PutUint32(frame[4:], checksum(frame[:4], frame[HeaderSize:]))
}

// checksum covers the length too: zeros are no frame, and a length that changed is found as such.
func checksum(length, payload []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, length), castagnoli, payload)
}

// FrameSize is the size of a payload's frame.
func FrameSize(payload int) int { return HeaderSize + payload + 1 }

// Next returns the payload of the frame that b begins with, and the size of that frame. The error is
// ErrShort if b is a proper beginning of a frame, as far as it goes.
func Next(b []byte) (payload []byte, size int, err error) {
	if len(b) < HeaderSize {
		return nil, 0, ErrShort
	}
	n := binary.LittleEndian.Uint32(b)
	if n == 0 || n > MaxPayload {
		return nil, 0, fmt.Errorf("%w %d", errLength, n)
	}
	size = FrameSize(int(n))
	if len(b) < size {
		return nil, 0, ErrShort
	}
	payload = b[HeaderSize : size-1]
	if b[size-1] != '\n' {
		return nil, 0, errEnd
	}
	if binary.LittleEndian.Uint32(b[4:]) != checksum(b[:4], payload) {
		return nil, 0, errChecksum
	}
	return payload, size, nil
}

// Resync returns where the first whole frame after the beginning of b is, -1 if there is none. A payload
// has no newline in it, so that only what follows one is looked at.
func Resync(b []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return -1
		}
		at += i + 1
		if _, _, err := Next(b[at:]); err == nil {
			return at
		}
	}
}

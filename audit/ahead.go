package audit

import (
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// scanned is a frame that was read, or the damage in its place.
type scanned struct {
	head    format.Head
	ok      bool // it begins as a record
	leaf    format.Hash
	offset  int64
	payload []byte // of the log's own records, or of all if asked for
	err     error
}

// ahead reads frames in a goroutine of its own, which is half of the work of a verification, and gives them
// in order.
func ahead(s *scanner, whole bool) iter.Seq[scanned] {
	return func(yield func(scanned) bool) {
		const size, waiting = 512, 4
		chunks, spare, over := make(chan []scanned, waiting), make(chan []scanned, waiting+1), make(chan struct{})
		ended := make(chan struct{})
		go func() { // ends at the end of the segment, or when over is closed
			defer close(ended)
			defer close(chunks)
			var leaf format.Leaf
			var head format.Head
			for end := false; !end; {
				var chunk []scanned
				select {
				case chunk = <-spare:
				default:
					chunk = make([]scanned, 0, size)
				}
				for len(chunk) < size && !end {
					one := scanned{}
					var payload []byte
					payload, one.offset, one.err = s.next()
					switch {
					case one.err == io.EOF:
						end = true
						continue
					case one.err == nil:
						one.head, one.ok = format.ParseHead(payload, head)
						head, one.leaf = one.head, leaf.Hash(payload)
						if whole || strings.HasPrefix(one.head.Kind, "log.") {
							one.payload = slices.Clone(payload)
						}
					}
					chunk = append(chunk, one)
				}
				select {
				case chunks <- chunk:
				case <-over:
					return
				}
			}
		}()
		defer func() { close(over); <-ended }()
		for chunk := range chunks {
			for _, one := range chunk {
				if !yield(one) {
					return
				}
			}
			select {
			case spare <- chunk[:0]:
			default:
			}
		}
	}
}

package protocol

import (
	"bytes"
	"maps"
	"slices"
)

// KnownKinds are the types of frames, with a slash and the subtype for those of system.
func KnownKinds() []string {
	kinds := slices.Collect(maps.Keys(messagePlans))
	for sub := range systemPlans {
		kinds = append(kinds, "system/"+sub)
	}
	return slices.Sorted(slices.Values(kinds))
}

// KnownBlocks are the types of content blocks.
func KnownBlocks() []string { return slices.Sorted(maps.Keys(blockPlans)) }

// DecodePlainly is Decode by the plans alone, for comparison.
func DecodePlainly(line []byte) (Message, error) {
	d := decoder{scanner: scanner{b: bytes.Clone(line)}, look: &inspection{}}
	if m := d.message(); d.msg == "" {
		return m, nil
	}
	return nil, d.error()
}

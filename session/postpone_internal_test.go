package session

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestWhatIsLeftKeepsItsOrder: also if one that had its turn comes to nothing when those behind it are left already, or several were given
// to a process before.
func TestWhatIsLeftKeepsItsOrder(t *testing.T) {
	for name, given := range map[string][3]int{"none was given": {0, 0, 0}, "the first was": {1, 0, 0}, "two were": {1, 1, 0}} {
		for _, order := range [][3]int{{0, 1, 2}, {1, 2, 0}, {2, 0, 1}} {
			d := &desk{ending: true}
			for _, place := range order {
				assert.True(t, d.leave(&query{place: place, attempts: given[place]}))
			}
			for place, q := range d.left {
				assert.Equal(t, place, q.place, "%s, in the order %v", name, order)
			}
		}
	}
}

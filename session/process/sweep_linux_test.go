package process

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestTollOfWhatTakesLongToGo has a process that goes after its round has ceased to wait for it, as one with much memory does on a slow machine.
func TestTollOfWhatTakesLongToGo(t *testing.T) {
	quick, slow := procStat{procID: procID{11, 1}, comm: "quick"}, procStat{procID: procID{12, 1}, comm: "slow"}
	again := procStat{procID: procID{12, 2}, comm: "again"} // its pid is another one's by then
	var k toll
	k.found([]procStat{quick, slow})
	k.struck([]procStat{quick, slow}, map[procID]bool{quick.procID: true})
	assert.Equal(t, []Swept{{11, "quick"}}, k.killed)
	k.found([]procStat{slow})
	assert.Len(t, k.killed, 1, "it is there still")
	k.struck([]procStat{slow}, nil)
	k.found([]procStat{again})
	k.found(nil)
	assert.Equal(t, []Swept{{11, "quick"}, {12, "slow"}}, k.killed, "each once")
}

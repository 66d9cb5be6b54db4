package session

import (
	"bytes"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
)

func TestWhatIsAsItShouldBeIsNoWarning(t *testing.T) {
	var log bytes.Buffer
	s := newSession(nil, Spec{Name: "a", Logger: zerolog.New(&log)}, newRecord("a"))
	s.tellNotice(NoticeHibernated, "there was nothing to do")
	assert.Contains(t, log.String(), `"level":"info"`)
	log.Reset()
	s.tellNotice(NoticeStateDamaged, "it was set aside")
	assert.Contains(t, log.String(), `"level":"error"`)
	log.Reset()
	s.tellNotice(NoticeQueueLost, "prompts were lost")
	assert.Contains(t, log.String(), `"level":"warn"`)
}

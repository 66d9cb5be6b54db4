package understudy

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/understudy-run/understudy/supervisor"
)

// TestTheTreeLeavesOutWhatWasRemovedMeanwhile: a supervisor has said that a session is there, and nobody knows it any more.
func TestTheTreeLeavesOutWhatWasRemovedMeanwhile(t *testing.T) {
	rt := &Runtime{sessions: &branch{path: "root/sessions"}, warmth: &branch{path: "root/warm"}}
	tree := rt.node(supervisor.Node{Name: "root", Path: "root", Children: []supervisor.Node{
		{Name: "audit", Path: "root/audit", Kind: supervisor.Worker},
		{Name: "sessions", Path: "root/sessions", Children: []supervisor.Node{{Name: "gone", Path: "root/sessions/gone", Kind: supervisor.Worker}}},
	}})
	assert.Len(t, tree.Children, 2)
	assert.Empty(t, tree.Children[1].Children)
}

package transcript

import (
	"iter"

	"github.com/understudy-run/understudy/session/protocol"
)

// A conversation that was gone on with from an earlier entry has branches in its file: what was said after that entry stays there, and the
// CLI does not know it any more. Each entry names the one before it; the branch that counts is the one that ends with the last of them.

// node is what has to be known of an entry to find its branch.
type node struct {
	line      int
	before    *node // in the file, of the same kind (a subagent's or not)
	parent    string
	follows   bool // the entry says which one it follows, or that it is the first
	sidechain bool
	model     bool     // it is of an answer
	answer    string   // the API's id of that, which its blocks share
	results   []string // the tool uses that it has results of
}

// branch finds the lines of the branch that counts. The file may grow meanwhile: lines behind the last are not looked at.
func branch(entries iter.Seq2[Entry, error]) (lines map[int]bool, last int, err error) {
	var all []*node
	byID := map[string]*node{}
	ends := map[bool]*node{} // the last one of subagents, and of the others
	lines = map[int]bool{}
	for e, err := range entries {
		if err != nil {
			return nil, 0, err
		}
		last = e.Line
		if e.UUID == "" {
			lines[e.Line] = true // it has no place, and cannot be on another branch
			continue
		}
		if byID[e.UUID] != nil { // written twice
			continue
		}
		n := &node{line: e.Line, before: ends[e.Sidechain], parent: e.Parent, follows: e.follows, sidechain: e.Sidechain}
		if e.Parent == "" && e.across != "" { // the first after a compaction
			n.parent = e.across
		}
		switch m := e.Message.(type) {
		case *protocol.Assistant:
			n.model, n.answer = true, m.Message.ID
		case *protocol.User:
			for _, b := range m.Message.Content.Blocks() {
				if result, ok := b.(*protocol.ToolResultBlock); ok {
					n.results = append(n.results, result.ToolUseID)
				}
			}
		default: // nothing that could stand beside
		}
		all = append(all, n)
		byID[e.UUID], ends[e.Sidechain] = n, n
	}
	end := ends[false]
	if end == nil {
		end = ends[true] // the file of a subagent
	}
	chain(end, byID, lines)
	if end != nil {
		beside(all, byID, end.sidechain, lines)
	}
	return lines, last, nil
}

// chain goes back from the last entry.
func chain(n *node, byID map[string]*node, lines map[int]bool) {
	for n != nil && !lines[n.line] {
		lines[n.line] = true
		switch {
		case n.parent == "" && n.follows: // the first of all
			n = nil
		case byID[n.parent] != nil && byID[n.parent].line < n.line:
			n = byID[n.parent]
		default: // it is damaged, or was never written: the next best is the entry that stands before
			n = n.before
		}
	}
}

// beside adds what belongs to the branch and is not in the line of parents: blocks of an answer that used several tools, and the results of
// those. Of several results of one use that of the branch counts.
func beside(all []*node, byID map[string]*node, sidechain bool, lines map[int]bool) {
	answers, answered := map[string]bool{}, map[string]bool{}
	for _, n := range all {
		if lines[n.line] {
			if n.answer != "" {
				answers[n.answer] = true
			}
			for _, id := range n.results {
				answered[id] = true
			}
		}
	}
	for _, n := range all {
		if lines[n.line] || n.sidechain != sidechain {
			continue
		}
		if n.model {
			lines[n.line] = n.answer != "" && answers[n.answer]
			continue
		}
		parent := byID[n.parent]
		if parent == nil || !parent.model || !lines[parent.line] {
			continue
		}
		for _, id := range n.results {
			if !answered[id] {
				answered[id], lines[n.line] = true, true
			}
		}
	}
}

package debug

// KindSession is the Kind of a Node that is a session.
const KindSession = "session"

// Sessions gives every session at or below the node, in the order of the tree.
func (n Node) Sessions() []Node {
	var found []Node
	if n.Kind == KindSession {
		found = append(found, n)
	}
	for _, child := range n.Children {
		found = append(found, child.Sessions()...)
	}
	return found
}

// Session gives the session of that name at or below the node.
func (n Node) Session(name string) (Node, bool) {
	if n.Kind == KindSession && n.Name == name {
		return n, true
	}
	for _, child := range n.Children {
		if found, ok := child.Session(name); ok {
			return found, true
		}
	}
	return Node{}, false
}

package format

// Checker compares the records of a log, given in order, with its checkpoints.
type Checker struct {
	tree    Frontier
	signed  []Checkpoint // by size
	next    int
	checked uint64   // how many records a checkpoint has been right about
	since   []Hash   // the records' hashes since then
	base    Frontier // the tree then
	failed  bool
}

// NewChecker begins with the tree before the first record. The checkpoints are sorted by size.
func NewChecker(before Frontier, signed []Checkpoint) *Checker {
	c := &Checker{tree: before.Clone(), base: before.Clone(), signed: signed}
	return c
}

// Mismatch says that the records From to To are not those of a checkpoint.
type Mismatch struct {
	From, To   uint64
	Checkpoint Checkpoint
	Leaves     []Hash   // what was found in their place
	Base       Frontier // the tree before them
}

// Size is how many records there were so far.
func (c *Checker) Size() uint64 { return c.tree.Size() }

// Checked is up to which record a checkpoint was right.
func (c *Checker) Checked() uint64 { return c.checked }

// Tree is the tree so far.
func (c *Checker) Tree() *Frontier { return &c.tree }

// Start compares the checkpoints of what came before the first record, as far as they can be: those of
// exactly that size. It returns how many were of a smaller size.
func (c *Checker) Start() (unchecked []Checkpoint, m *Mismatch) {
	for c.next < len(c.signed) && c.signed[c.next].Size < c.tree.Size() {
		unchecked = append(unchecked, c.signed[c.next])
		c.next++
	}
	return unchecked, c.compare()
}

// Add adds a record by its hash.
func (c *Checker) Add(leaf Hash) *Mismatch {
	c.tree.Add(leaf, nil)
	if c.failed {
		return nil
	}
	if c.next < len(c.signed) { // what no checkpoint covers need not be remembered
		c.since = append(c.since, leaf)
	}
	return c.compare()
}

// AddRun is Add for records of which at most the last one is that of a checkpoint, with the subtrees they make.
func (c *Checker) AddRun(leaves []Hash, subtrees []Subtree) *Mismatch {
	for _, s := range subtrees {
		c.tree.AddSubtree(s)
	}
	if c.failed {
		return nil
	}
	if c.next < len(c.signed) {
		c.since = append(c.since, leaves...)
	}
	return c.compare()
}

// Sizes are those of the checkpoints, sorted.
func (c *Checker) Sizes() []uint64 {
	sizes := make([]uint64, len(c.signed))
	for i, s := range c.signed {
		sizes[i] = s.Size
	}
	return sizes
}

// Fail says that the tree is not to be compared any more.
func (c *Checker) Fail() { c.failed, c.since = true, nil }

// Failed reports whether a comparison failed.
func (c *Checker) Failed() bool { return c.failed }

func (c *Checker) compare() *Mismatch {
	size := c.tree.Size()
	if c.failed || c.next >= len(c.signed) || c.signed[c.next].Size != size {
		return nil
	}
	root := c.tree.Root()
	for ; c.next < len(c.signed) && c.signed[c.next].Size == size; c.next++ {
		if c.signed[c.next].Root != root {
			m := &Mismatch{c.base.Size() + 1, size, c.signed[c.next], c.since, c.base}
			c.Fail()
			return m
		}
	}
	c.checked, c.since, c.base = size, c.since[:0], c.tree.Clone()
	return nil
}

// Rest are the checkpoints of more records than there were.
func (c *Checker) Rest() []Checkpoint {
	for i, s := range c.signed {
		if s.Size > c.tree.Size() {
			return c.signed[i:]
		}
	}
	return nil
}

// Locate compares what was found with what was written, as far as other evidence has it: written are the
// hashes of the records From to To. It reports whether that evidence is that of the checkpoint, and the
// first record that is another.
func (m *Mismatch) Locate(written []Hash) (seq uint64, certain bool) {
	tree := m.Base.Clone()
	for _, h := range written {
		tree.Add(h, nil)
	}
	if tree.Size() != m.Checkpoint.Size || tree.Root() != m.Checkpoint.Root {
		return 0, false
	}
	for i, h := range written {
		if i >= len(m.Leaves) || m.Leaves[i] != h {
			return m.From + uint64(i), true
		}
	}
	return 0, false
}

package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// Identity says which program a CLI is.
type Identity struct {
	Path    string // as it was found
	SHA256  string // of the file, in hexadecimal
	Version string // as Version reports it; empty if it reports none
}

// Identify finds the program of a launch and says what it is. The file is read, and asked for its version, when it is
// first seen and after it was replaced: some 0.3 s for the 380 MB of the CLI. What is known of it is returned also with
// an error.
func Identify(ctx context.Context, l Launch) (Identity, error) {
	var parent, env []string
	if !strings.ContainsRune(l.program(), '/') { // it is looked for
		var err error
		parent = Options{}.filled().Parent
		if env, err = l.Environ(parent); err != nil {
			return Identity{}, err
		}
	}
	path, err := findProgram(l.program(), parent, env)
	if err != nil {
		return Identity{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return Identity{Path: path}, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return Identity{Path: path}, err
	}
	// A file that was changed, or put in its place, is another.
	key := fmt.Sprint(path, "\x00", info.Size(), info.ModTime().UnixNano(), fileState(info), "\x00", strings.Join(l.PrefixArgs, "\x00"))
	identities.Lock()
	one := identities.known[key]
	if one == nil {
		one = &identity{turn: make(chan struct{}, 1)}
		identities.known[key] = one
	}
	identities.Unlock()
	select {
	case one.turn <- struct{}{}:
		defer func() { <-one.turn }()
	case <-ctx.Done():
		return Identity{Path: path}, context.Cause(ctx)
	}
	if !one.done {
		one.Identity, one.err = identify(ctx, f, path, l)
		one.done = ctx.Err() == nil
	}
	return one.Identity, one.err
}

// identities are those of the programs seen so far: few, since a service runs few CLIs.
var identities = struct {
	sync.Mutex
	known map[string]*identity
}{known: make(map[string]*identity)}

// identity is what is known of a file; whoever has its turn may look.
type identity struct {
	turn chan struct{}
	done bool
	Identity
	err error
}

// identify reads the file while the program says its version.
func identify(ctx context.Context, f *os.File, path string, l Launch) (Identity, error) {
	id := Identity{Path: path}
	asked := make(chan error, 1)
	go func() { // ends with the program, which is given ten seconds
		version, err := version(ctx, Launch{Path: path, PrefixArgs: l.PrefixArgs, Env: l.Env, InheritEnv: l.InheritEnv})
		id.Version = version
		asked <- err
	}()
	sum := sha256.New()
	_, err := io.Copy(sum, f)
	failed := <-asked
	if err != nil {
		return id, fmt.Errorf("read %s: %w", path, err)
	}
	id.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return id, failed
}

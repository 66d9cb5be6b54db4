package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
)

// keys are what a log signs with, and what its redactor makes digests with.
type keys struct {
	signer   note.Signer
	verifier note.Verifier
	salt     []byte
}

// loadKeys reads the keys of a log, or makes them if the log has none yet. begun says that the log has
// records: then a key that is missing is not made anew.
func (l *log) loadKeys(given note.Signer, public string, begun bool) (keys, error) {
	var k keys
	var err error
	if given != nil {
		k.signer = given
		if public == "" {
			return k, errors.New("audit log: a Signer without its VerifierKey: set both")
		}
	} else {
		private, err := l.keep(keyName, begun, func() (string, error) {
			// The name is the origin of the checkpoints, and has to be this log's alone.
			private, _, err := note.GenerateKey(rand.Reader, "understudy-audit/"+uuid.NewString())
			return private, err
		})
		if err != nil {
			return k, err
		}
		if k.signer, err = note.NewSigner(private); err != nil {
			return k, &FileError{filepath.Join(l.dir, keyName), "read the signing key", err}
		}
		if public, err = publicKey(private); err != nil {
			return k, &FileError{filepath.Join(l.dir, keyName), "read the signing key", err}
		}
	}
	if k.verifier, err = note.NewVerifier(public); err != nil {
		return k, fmt.Errorf("audit log %s: VerifierKey: %w", l.dir, err)
	}
	if k.verifier.Name() != k.signer.Name() || k.verifier.KeyHash() != k.signer.KeyHash() {
		return k, fmt.Errorf("audit log %s: VerifierKey is not that of Signer", l.dir)
	}
	kept, err := l.keep(pubName, begun, func() (string, error) { return public, nil })
	if err != nil {
		return k, err
	}
	if kept != public {
		return k, fmt.Errorf("audit log %s: it was signed with another key (%s): use that, or another audit.dir",
			filepath.Join(l.dir, pubName), keyLabel(kept))
	}
	salt, err := l.keep(saltName, false, func() (string, error) { return rand.Text(), nil })
	k.salt = []byte(salt)
	return k, err
}

// LoadSigner reads a private key as audit.key has it, in the form of golang.org/x/mod/sumdb/note, for Options.Signer and
// VerifierKey: a key that is not kept beside the log. Its file must not be open to others.
func LoadSigner(path string) (signer note.Signer, verifierKey string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", &FileError{path, "read the signing key", err}
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, "", fmt.Errorf("audit signing key %s: it is open to others (mode %#o): run chmod 600 on it", path, info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, "", &FileError{path, "read the signing key", err}
	}
	private := strings.TrimSpace(string(data))
	if signer, err = note.NewSigner(private); err == nil {
		verifierKey, err = publicKey(private)
	}
	if err != nil {
		return nil, "", fmt.Errorf("audit signing key %s: %w: expected PRIVATE+KEY+NAME+HASH+KEY, as understudy audit new-key makes it", path, err)
	}
	return signer, verifierKey, nil
}

// NewKey makes a key pair for a log: the private one, for LoadSigner, and the public one, for VerifyOptions.Key.
func NewKey() (private, public string, err error) {
	return note.GenerateKey(rand.Reader, "understudy-audit/"+uuid.NewString())
}

// publicKey computes the verifier key of a signer key, which is PRIVATE+KEY+name+hash+seed: note exports no
// function for it.
func publicKey(private string) (string, error) {
	parts := strings.Split(private, "+")
	seed, err := base64.StdEncoding.DecodeString(strings.Join(parts[min(4, len(parts)):], "+"))
	if err != nil || len(parts) < 5 || len(seed) != 1+ed25519.SeedSize {
		return "", errors.New("malformed key")
	}
	public, ok := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return "", errors.New("malformed key")
	}
	return note.NewEd25519VerifierKey(parts[2], public)
}

// keyLabel is what of a key tells it from others.
func keyLabel(public string) string {
	if i := strings.LastIndexByte(public, '+'); i > 0 {
		return public[:i]
	}
	return "unreadable"
}

// keep reads a small file, or makes it: whole, or not at all.
func (l *log) keep(name string, must bool, make func() (string, error)) (string, error) {
	path := filepath.Join(l.dir, name)
	data, err := os.ReadFile(path)
	if err == nil {
		f, err := l.disk.Open(path, os.O_RDONLY)
		if err != nil {
			return "", &FileError{path, "open", err}
		}
		err = private(f, path)
		_ = f.Close() // only read
		return strings.TrimSpace(string(data)), err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", &FileError{path, "read", err}
	}
	if must {
		return "", fmt.Errorf("audit log %s: the file is gone, and the log there can neither be continued nor checked without it: "+
			"put it back, or choose another audit.dir", path)
	}
	text, err := make()
	if err != nil {
		return "", fmt.Errorf("audit log %s: make key: %w", path, err)
	}
	f, err := l.create(path, []byte(text+"\n"))
	if err != nil {
		return "", err
	}
	_ = f.Close() // it is synced
	if err := l.disk.SyncDir(l.dir); err != nil {
		return "", &FileError{l.dir, "sync directory", err}
	}
	return text, nil
}

// create makes a file with that content, which is either there with all of it or not there. The caller
// syncs the directory.
func (l *log) create(path string, content []byte) (file, error) {
	temporary := filepath.Join(l.dir, newName)
	// A file of an earlier failure may not be written again: the kernel may remember that differently.
	if err := l.disk.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &FileError{temporary, "remove", err}
	}
	f, err := l.disk.Open(temporary, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, &FileError{temporary, "create", err}
	}
	if err := write(f, content, 0); err != nil {
		_ = f.Close() // it has failed already
		return nil, &FileError{path, "write", err}
	}
	if err := f.Sync(); err != nil {
		_ = f.Close() // it has failed already
		return nil, &FileError{path, "sync", err}
	}
	if err := l.disk.Rename(temporary, path); err != nil {
		_ = f.Close() // it has failed already
		return nil, &FileError{path, "rename", err}
	}
	return f, nil
}

// readKey reads a public key, the log's own if none is given.
func readKey(dir, given string) (note.Verifier, error) {
	path := filepath.Join(dir, pubName)
	if given == "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, &FileError{path, "read the public key", err}
		}
		given = string(data)
	} else {
		path = "the public key given"
	}
	key, err := note.NewVerifier(strings.TrimSpace(given))
	if err != nil {
		return nil, &KeyError{path, err}
	}
	return key, nil
}

// KeyError says that a public key is none.
type KeyError struct {
	Path string
	Err  error
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("audit log %s: %v: expected NAME+HASH+KEY as in %s", e.Path, e.Err, pubName)
}

// Unwrap gives the cause.
func (e *KeyError) Unwrap() error { return e.Err }

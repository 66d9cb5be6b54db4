package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/understudy-run/understudy/session/process"
)

// APIKeyDelivery is how the key comes to where it is used.
type APIKeyDelivery string

const (
	// DeliverEnv puts the key into the CLI's environment, and has the CLI keep it from its tools. A tool that runs outside of
	// the sandbox as the same user can still read it in /proc.
	DeliverEnv APIKeyDelivery = "env"
	// DeliverFD hands the key over in a pipe that the CLI reads once: it is in no environment. It is a feature of the CLI that
	// is not documented; a CLI without it starts without a key, and its first turn says so.
	DeliverFD APIKeyDelivery = "fd"
	// DeliverProxy keeps the key in this program. The CLI gets a token that is good for a proxy of the session's own, and for
	// nothing when the process has ended; see Options.APIProxy.
	DeliverProxy APIKeyDelivery = "proxy"
)

// APIKeyDeliveries are all of them.
func APIKeyDeliveries() []APIKeyDelivery {
	return []APIKeyDelivery{DeliverEnv, DeliverFD, DeliverProxy}
}

// UnmarshalText takes env, fd or proxy.
func (d *APIKeyDelivery) UnmarshalText(text []byte) error {
	if !slices.Contains(APIKeyDeliveries(), APIKeyDelivery(text)) {
		return fmt.Errorf("api_key_delivery %q: expected env, fd or proxy", cut(string(text), 60))
	}
	*d = APIKeyDelivery(text)
	return nil
}

// APIKeySource gives the key of a session each time that its process starts, so that keys can be changed without a
// restart of the program. It runs in a goroutine of its own, with a context that ends with StartTimeout. An error, an
// empty key and a panic fail the start, which is tried again.
type APIKeySource func(ctx context.Context, session string) (Secret, error)

// CredentialsDirectory is the variable in which systemd says where the credentials of a service are.
const CredentialsDirectory = "CREDENTIALS_DIRECTORY"

// maxKeyFile is how long the file of a key may be.
const maxKeyFile = 4 << 10

// keySources are those of a key's sources that are set.
func (o Options) keySources() []string {
	var out []string
	for _, s := range []struct {
		option string
		set    bool
	}{
		{"api_key", o.APIKey != ""}, {"api_key_file", o.APIKeyFile != ""}, {"api_key_credential", o.APIKeyCredential != ""},
		{"APIKeySource", o.APIKeySource != nil},
	} {
		if s.set {
			out = append(out, s.option)
		}
	}
	return out
}

// key gets the key, for a start.
func (o Options) key(ctx context.Context, session string) (Secret, error) {
	// Whatever is wrong may be mended by whoever changes the key just now: the start is tried again.
	fail := func(err error) (Secret, error) {
		return "", &process.StartError{Class: process.ClassResources, Path: "API key", Err: err}
	}
	path := o.APIKeyFile
	if o.APIKeyCredential != "" {
		dir := os.Getenv(CredentialsDirectory)
		if dir == "" {
			return "", &process.StartError{Class: process.ClassRequest, Path: "API key", Err: fmt.Errorf("api_key_credential %s: %s is not set", o.APIKeyCredential, CredentialsDirectory),
				Hint: "it is for a service of systemd with LoadCredential= or LoadCredentialEncrypted="}
		}
		path = filepath.Join(dir, o.APIKeyCredential)
	}
	switch {
	case o.APIKeySource != nil:
		key, err := o.askForKey(ctx, session)
		if err == nil && key == "" {
			err = errors.New("the source of the API key gave none")
		}
		if err != nil {
			return fail(err)
		}
		return key, nil
	case path != "":
		key, err := readKey(path)
		if err != nil {
			return fail(err)
		}
		return key, nil
	}
	return o.APIKey, nil
}

func (o Options) askForKey(ctx context.Context, session string) (Secret, error) {
	type answer struct {
		key Secret
		err error
	}
	answers := make(chan answer, 1)
	go func() { // ends when the source returns; nobody need wait for it
		var a answer
		defer func() {
			if v := recover(); v != nil {
				// What it panicked with may hold the key; the stack shows no strings.
				a = answer{err: fmt.Errorf("the source of the API key panicked with a %T: %s", v, debug.Stack())}
			}
			answers <- a
		}()
		a.key, a.err = o.APIKeySource(ctx, session)
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			return "", fmt.Errorf("the source of the API key: %w", a.err)
		}
		return Secret(strings.TrimSpace(a.key.Reveal())), nil
	case <-ctx.Done():
		return "", fmt.Errorf("the source of the API key does not answer: %w", context.Cause(ctx))
	}
}

// readKey reads a key from a file, without the white space around it.
func readKey(path string) (Secret, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("API key: %w", err)
	}
	if !info.Mode().IsRegular() { // reading a pipe could wait for ever
		return "", fmt.Errorf("API key %s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("API key: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	key := strings.TrimSpace(string(data))
	switch {
	case err != nil:
		return "", fmt.Errorf("API key %s: %w", path, err)
	case len(data) > maxKeyFile:
		return "", fmt.Errorf("API key %s: more than %d bytes are no key", path, maxKeyFile)
	case key == "":
		return "", fmt.Errorf("API key %s: the file is empty", path)
	case strings.ContainsAny(key, "\r\n\x00"):
		return "", fmt.Errorf("API key %s: more than one line is no key", path)
	}
	return Secret(key), nil
}

// shownKey stands for the key in a launch that is only shown: its value is replaced before a start.
func (o Options) shownKey() string {
	if o.APIKey != "" || len(o.keySources()) == 0 {
		return o.APIKey.Reveal()
	}
	return "a key that is asked for at the start"
}

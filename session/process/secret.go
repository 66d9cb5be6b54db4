package process

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// keyDescriptor is the descriptor that the CLI reads its key from: the first after the usual three.
const keyDescriptor = "3"

// maxSecret is what fits into a pipe that nobody reads yet, on every system.
const maxSecret = 4 << 10

// secretPipe is a pipe that holds a secret and its end, for the CLI to read once; nil if there is no secret. Nothing of it
// stays in the CLI's environment, arguments or on disk, and the CLI does not hand the descriptor on to its tools.
func secretPipe(secret string) (*os.File, error) {
	if secret == "" {
		return nil, nil
	}
	if len(secret) > maxSecret {
		return nil, fmt.Errorf("api_key: %d bytes, a key has %d at most", len(secret), maxSecret)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	_, err = w.WriteString(secret)
	if err = errors.Join(err, w.Close(), syscall.SetNonblock(int(r.Fd()), false)); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

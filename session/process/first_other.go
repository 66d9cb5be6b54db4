//go:build linux && !amd64

package process

import "errors"

// firstImage is where the first process of a pid namespace would be, if there were one for this processor.
func firstImage() (int, error) { return -1, errors.ErrUnsupported }

func firstOrder(initOrder) ([]byte, error) { return nil, errors.ErrUnsupported }

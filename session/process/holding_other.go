//go:build !linux

package process

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// holding is what there is of containment: the process group.
type holding struct{ layers []Layer }

func hold(c command, _ Options) (*holding, error) {
	if err := errors.Join(c.containment.Validate(), c.limits.Validate()); err != nil {
		return nil, err
	}
	h := &holding{layers: []Layer{LayerGroup}}
	if c.contained {
		h.layers = append(h.layers, LayerContainer)
	}
	for _, l := range c.containment.Require {
		if !slices.Contains(h.layers, l) {
			return nil, &errUnavailable{"containment requires " + string(l), "there is none on " + runtime.GOOS, "use a launcher with a container"}
		}
	}
	if !c.limits.IsZero() {
		return nil, &errUnavailable{"limits", fmt.Sprintf("they need control groups, which %s does not have", runtime.GOOS), "use a launcher with a container"}
	}
	return h, nil
}

func (h *holding) failed(error) bool { return false }

func (c *child) endGroup(time.Duration) error { return nil }

func (c *child) watchOOM() func() bool { return nil }

// DelegateCgroup is there on Linux only.
func DelegateCgroup() error {
	return errors.Join(errors.New("control groups: need Linux"), errors.ErrUnsupported)
}

func inspect() []LayerStatus {
	out := []LayerStatus{{LayerGroup, true, "of the CLI", ""}}
	for _, l := range []Layer{LayerMarker, LayerDeathSignal, LayerSubreaper, LayerLedger, LayerCgroup, LayerPIDNamespace} {
		out = append(out, LayerStatus{Layer: l, Detail: "there is none on " + runtime.GOOS, Fix: "use a launcher with a container"})
	}
	return out
}

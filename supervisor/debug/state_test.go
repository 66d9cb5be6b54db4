package debug

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEveryStateIsShown holds the page and top to the states that the description of the API has.
func TestEveryStateIsShown(t *testing.T) {
	var api struct {
		Components struct {
			Schemas struct {
				Node struct {
					Properties struct {
						State struct {
							Enum []string `json:"enum"`
						} `json:"state"`
					} `json:"properties"`
				}
			} `json:"schemas"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(openapiDocument, &api))
	states := api.Components.Schemas.Node.Properties.State.Enum
	require.NotEmpty(t, states)
	others := []string{"running", "stopping", "warm", StateKept} // no sessions that are in the tree
	for _, state := range states {
		assert.Contains(t, looks, state)
		if !slices.Contains(others, state) {
			assert.Contains(t, chips, state, "sessions of it are counted")
			assert.GreaterOrEqual(t, gravity(&Node{State: state}), 0, state)
		}
	}
}

package debug

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var plain24 = RenderOptions{Now: noon, Width: 130}

func topOf(f *fake) *Top {
	t := &Top{}
	t.Update(f.root, nil)
	return t
}

// listed are the names of the list, with a mark before the selected one.
func listed(t *Top, height int) []string {
	var names []string
	below := false
	for line := range strings.Lines(t.Render(height, plain24)) {
		first, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(line, " NAME") {
			below = true
		} else if below && first != "" {
			names = append(names, first)
		}
	}
	return names[:max(len(names)-1, 0)] // the last line is the foot
}

func TestTopIsAsRecorded(t *testing.T) {
	top := topOf(newFake())
	golden(t, "top.txt", top.Render(12, plain24)+"\n")
	golden(t, "top-color.txt", top.Render(12, RenderOptions{Now: noon, Width: 100, Color: true})+"\n")
	top.Key("?")
	golden(t, "top-help.txt", top.Render(14, plain24)+"\n")
}

func TestTopOrdersFiltersAndChooses(t *testing.T) {
	top := topOf(newFake())
	assert.Equal(t, []string{">importer", "nightly", "reviewer", "writer"}, listed(top, 20), "the worst first")
	for _, key := range []string{"j", "down", "j", "j", "j"} {
		assert.Empty(t, top.Key(key).Kind)
	}
	assert.Equal(t, "writer", top.Selected(), "the last one stays")
	top.Key("k")
	assert.Equal(t, "reviewer", top.Selected())
	for _, key := range []string{"/", "n", "i", "g", "h", "x", "backspace", "enter"} {
		top.Key(key)
	}
	assert.Equal(t, []string{">nightly"}, listed(top, 20))
	top.Key("escape")
	assert.Equal(t, "nightly", top.Selected(), "it stays selected")
	top.Key("z")
	assert.Equal(t, []string{"importer", ">nightly"}, listed(top, 20))
	top.Key("z")
	top.Key("s")
	assert.Equal(t, []string{"importer", ">nightly", "reviewer", "writer"}, listed(top, 20))
	for range 3 {
		top.Key("s")
	}
	assert.Contains(t, top.Render(20, plain24), "COST▾")
	assert.Equal(t, []string{"reviewer", ">nightly", "writer", "importer"}, listed(top, 20))
	top.Key("S")
	assert.Contains(t, top.Render(20, plain24), "RESTARTS▾")
}

func TestTopActsOnWhatIsSelected(t *testing.T) {
	top := topOf(newFake())
	assert.Equal(t, TopAction{"open", "importer"}, top.Key("enter"))
	assert.Equal(t, TopAction{"interrupt", "importer"}, top.Key("i"))
	assert.Equal(t, TopAction{"attach", "importer"}, top.Key("a"))
	for kind, key := range map[string]string{"restart": "r", "stop": "x"} {
		assert.Empty(t, top.Key(key), "not without confirmation")
		assert.Contains(t, top.Render(20, plain24), kind+" importer? y/n")
		assert.Empty(t, top.Key("n"))
		assert.Empty(t, top.Key("y"), "it was taken back")
		top.Key(key)
		action := top.Key("y")
		assert.Equal(t, TopAction{kind, "importer"}, action)
		top.Done(action, errBoom)
		assert.Contains(t, top.Render(20, plain24), "boom")
	}
	assert.Equal(t, "quit", top.Key("q").Kind)
	top.Key("r")
	assert.Equal(t, "quit", top.Key("ctrl-c").Kind, "at any time")
	empty := &Top{}
	assert.Empty(t, empty.Key("r").Kind, "nothing is selected")
	assert.Contains(t, empty.Render(20, plain24), "connecting")
}

func TestTopKeepsTheSelectedInSight(t *testing.T) {
	top := topOf(fleet(100))
	for range 3 {
		top.Key("pagedown")
	}
	assert.Len(t, listed(top, 20), 16)
	assert.Contains(t, top.Render(20, plain24), ">"+top.Selected())
	top.Key("G")
	assert.Contains(t, top.Render(20, plain24), ">"+top.Selected())
	top.Key("g")
	assert.Equal(t, ">"+top.Selected(), listed(top, 20)[0])
	gone := fleet(100)
	gone.root.Children[1].Children = gone.root.Children[1].Children[1:99]
	top.Update(gone.root, nil)
	assert.NotEmpty(t, top.Selected())
	top.Update(Node{}, errBoom)
	assert.Contains(t, top.Render(20, plain24), "boom")
	assert.Len(t, listed(top, 20), 16, "what was seen last stays")
}

// TestTopFitsAnyScreen draws on screens of all sizes.
func TestTopFitsAnyScreen(t *testing.T) {
	top := topOf(fleet(30))
	for _, height := range []int{1, 2, 3, 4, 5, 10, 50} {
		for _, width := range []int{1, 5, 20, 80, 300} {
			lines := strings.Split(top.Render(height, RenderOptions{Now: noon, Width: width, Color: true}), "\n")
			require.Len(t, lines, height, fmt.Sprint(width, "x", height))
			for _, line := range lines {
				assert.LessOrEqual(t, cells(plainOf(line)), width)
			}
		}
	}
	top.Update(fleet(30).root, nil)
	top.Render(10, RenderOptions{Now: noon.Add(5 * time.Second), Width: 100})
}

package process

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "1": 1, "1024": 1024, "512MiB": 512 << 20, "2GiB": 2 << 30, "1.5G": 3 << 29, "300 MB": 300e6, "64k": 64 << 10, "7B": 7, " 1gib ": 1 << 30,
	} {
		var b Bytes
		require.NoError(t, b.UnmarshalText([]byte(text)), text)
		assert.Equal(t, want, b, text)
		again := Bytes(-1)
		require.NoError(t, again.UnmarshalText([]byte(b.String())))
		assert.Equal(t, want, again, text)
	}
	for _, text := range []string{"", "G", "-1", "1XiB", "NaN", "1e99", "Inf", "ten", "1 0"} {
		var b Bytes
		assert.ErrorContains(t, b.UnmarshalText([]byte(text)), "write it like 512MiB", text)
	}
	assert.Equal(t, "1536MiB", Bytes(3<<29).String())
}

func TestContainmentThatCannotBeMeant(t *testing.T) {
	for _, tc := range []struct {
		c    Containment
		want string
	}{
		{Containment{Require: []Layer{"cage"}}, `"cage" is not a layer`},
		{Containment{Without: []Layer{LayerMarker}}, "marker can't be left out"},
		{Containment{Require: []Layer{LayerCgroup}, Without: []Layer{LayerCgroup}}, "required and left out"},
	} {
		assert.ErrorContains(t, tc.c.Validate(), tc.want)
	}
	assert.NoError(t, Containment{Require: Layers()}.Validate())
	var l Layer
	require.NoError(t, l.UnmarshalText([]byte("pid-namespace")))
	assert.Equal(t, LayerPIDNamespace, l)
	assert.ErrorContains(t, l.UnmarshalText([]byte("pidns")), "expected one of process_group")

	for want, limits := range map[string]Limits{
		"memory 1KiB": {Memory: 1024}, "processes 3": {Processes: 3}, "cpus -1": {CPUs: -1}, "cpus 0.001": {CPUs: 0.001}, "processes -1": {Processes: -1},
	} {
		assert.ErrorContains(t, limits.Validate(), want)
	}
	assert.NoError(t, Limits{Memory: 1 << 30, Processes: 100, CPUs: 1.5}.Validate())
}

// A layer that is required and can't be had stops the start, and says why; so does a limit.
func TestRequiredAndNotToBeHad(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Launch)
		want   string
	}{
		{"subreaper", func(l *Launch) { l.Containment.Require = []Layer{LayerSubreaper} }, "containment requires subreaper"},
		{"container", func(l *Launch) { l.Containment.Require = []Layer{LayerContainer} }, "containment requires container"},
		{"ledger", func(l *Launch) { l.Containment.Require = []Layer{LayerLedger} }, "containment requires ledger"},
		{"limits without groups", func(l *Launch) {
			l.Limits.Memory, l.Containment.Without = 1<<30, []Layer{LayerCgroup}
		}, "limits"},
		{"nonsense", func(l *Launch) { l.Limits.CPUs = -1 }, "cpus -1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := launch(t, "exit:0")
			tc.change(&l)
			_, err := Start(l, Options{})
			var se *StartError
			require.ErrorAs(t, err, &se)
			assert.Equal(t, ClassRequest, se.Class)
			assert.ErrorContains(t, err, tc.want)
		})
	}
}

func TestInspectNamesEachLayer(t *testing.T) {
	var seen []Layer
	for _, s := range Inspect() {
		seen = append(seen, s.Layer)
		assert.NotEmpty(t, s.Detail, s.Layer)
	}
	assert.Equal(t, Layers()[:len(Layers())-1], seen, "all but the container, which is a launcher's")
	if runtime.GOOS == "linux" {
		assert.True(t, Inspect()[0].Available)
	}
}

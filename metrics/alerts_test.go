package metrics_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/metrics"
)

// described are the labels of each metric of a collector, by name.
func described(t *testing.T) map[string][]string {
	t.Helper()
	form := regexp.MustCompile(`fqName: "([a-z_]+)".*variableLabels: \{([^}]*)\}`)
	descs := make(chan *prometheus.Desc, 200)
	metrics.NewCollector(metrics.Options{Version: "v1"}).Describe(descs)
	close(descs)
	all := make(map[string][]string)
	for d := range descs {
		parts := form.FindStringSubmatch(d.String())
		require.NotNil(t, parts, "%v", d)
		all[parts[1]] = strings.FieldsFunc(parts[2], func(r rune) bool { return r == ',' })
	}
	return all
}

// TestAlertsAreAboutMetricsThatExist holds docs/alerts.yaml and the list in the package comment against what is shown.
func TestAlertsAreAboutMetricsThatExist(t *testing.T) {
	known := described(t)
	data, err := os.ReadFile("../docs/alerts.yaml")
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	require.NoError(t, yaml.UnmarshalWithOptions(data, &file, yaml.Strict()))
	require.NotEmpty(t, file.Groups)
	name := regexp.MustCompile(`understudy_[a-z_]+`)
	selector := regexp.MustCompile(`(understudy_[a-z_]+)\{([a-z]+)!?="`)
	shown := regexp.MustCompile(`\$labels\.([a-z]+)`)
	seen := make(map[string]bool)
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			t.Run(rule.Alert, func(t *testing.T) {
				assert.False(t, seen[rule.Alert], "twice")
				seen[rule.Alert] = true
				assert.Contains(t, []string{"page", "ticket"}, rule.Labels["severity"])
				assert.NotEmpty(t, rule.Annotations["summary"])
				assert.NotEmpty(t, rule.Annotations["action"])
				names := name.FindAllString(rule.Expr, -1)
				require.NotEmpty(t, names)
				var labels []string
				for _, n := range names {
					require.Contains(t, known, n)
					labels = append(labels, known[n]...)
				}
				for _, s := range selector.FindAllStringSubmatch(rule.Expr, -1) {
					assert.Contains(t, known[s[1]], s[2], s[0])
				}
				for _, text := range rule.Annotations {
					for _, s := range shown.FindAllStringSubmatch(text, -1) {
						assert.Contains(t, labels, s[1], text)
					}
				}
			})
		}
	}

	comment, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	for n, labels := range known {
		listed := n + "{" + strings.Join(labels, ",") + "}"
		if len(labels) == 0 {
			listed = n
		}
		assert.True(t, strings.Contains(string(comment), listed), "the package comment lists every metric with its labels, and not %s", listed)
	}
	for _, n := range name.FindAllString(string(comment), -1) {
		if n != "understudy_" {
			assert.Contains(t, known, n, "the package comment lists what is not there")
		}
	}
}

package hub

import (
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// The dashboard in docs asks only for metrics that a hub has.
func TestDashboardMetricsExist(t *testing.T) {
	h, err := New(t.Context(), settings(t, nil), "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	}()
	descs := make(chan *prometheus.Desc)
	go func() { h.metrics.Describe(descs); close(descs) }()
	have := map[string]bool{}
	for d := range descs {
		_, name, _ := strings.Cut(d.String(), `fqName: "`)
		name, _, _ = strings.Cut(name, `"`)
		have[name] = true
	}
	b, err := os.ReadFile("../../docs/grafana-hawser.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &dashboard); err != nil || len(dashboard.Panels) < 10 {
		t.Fatalf("%d panels, %v", len(dashboard.Panels), err)
	}
	names := regexp.MustCompile(`\b(hawser|go|process)_[a-z_]+`)
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			found := names.FindAllString(target.Expr, -1)
			if len(found) == 0 {
				t.Errorf("%s: %s asks for nothing", p.Title, target.Expr)
			}
			for _, name := range found {
				if !have[strings.TrimSuffix(name, "_bucket")] {
					t.Errorf("%s asks for %s, which a hub does not have", p.Title, name)
				}
			}
		}
	}
}

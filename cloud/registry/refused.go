package registry

import (
	"errors"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/registry/filter"
)

// newRefused counts what was not taken, by the member at fault; the members are few.
func newRefused() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hawser_registry_refused_total",
		Help: "Products, devices and groups that were not stored, by what exceeded a limit or could not be."}, []string{"what"})
}

var _ prometheus.Collector = (*Registry)(nil)

// Describe implements prometheus.Collector.
func (r *Registry) Describe(ch chan<- *prometheus.Desc) { r.refused.Describe(ch) }

// Collect implements prometheus.Collector.
func (r *Registry) Collect(ch chan<- prometheus.Metric) { r.refused.Collect(ch) }

// judged counts a refusal; it is deferred by what stores something.
func (r *Registry) judged(err *error) {
	if *err == nil {
		return
	}
	if e, ok := errors.AsType[*LimitError](*err); ok {
		r.refused.WithLabelValues(e.What).Inc()
		return
	}
	if e, ok := errors.AsType[*ErrInvalid](*err); ok {
		what, _, _ := strings.Cut(e.Field, ".") // what follows the dot may be the caller's
		r.refused.WithLabelValues(what).Inc()
		return
	}
	if _, ok := errors.AsType[*filter.Error](*err); ok {
		r.refused.WithLabelValues("filter").Inc()
	}
}

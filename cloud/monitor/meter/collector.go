package meter

import (
	"cmp"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// maxExported bounds the products that are shown as metrics: those with the most messages.
const maxExported = 1000

var (
	messagesDesc = prometheus.NewDesc("hawser_product_messages_total", "Messages of a product's devices: up that were taken, down that were handed to connections.", []string{"product", "direction"}, nil)
	bytesDesc    = prometheus.NewDesc("hawser_product_bytes_total", "Bytes of payloads of those messages.", []string{"product", "direction"}, nil)
	errorsDesc   = prometheus.NewDesc("hawser_product_errors_total", "Messages of a product's devices that were not taken, or not handed over.", []string{"product", "direction"}, nil)
	rulesDesc    = prometheus.NewDesc("hawser_product_rule_results_total", "Results of rules for messages of a product's devices: matched, and what became of them.", []string{"product", "result"}, nil)
)

// Describe implements prometheus.Collector.
func (m *Meter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{messagesDesc, bytesDesc, errorsDesc, rulesDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Meter) Collect(ch chan<- prometheus.Metric) {
	all := m.Products()
	names := slices.Sorted(maps.Keys(all))
	if len(names) > maxExported {
		slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(all[b].n[Up].Load(), all[a].n[Up].Load()) })
		names = names[:maxExported]
	}
	for _, name := range names {
		v := all[name].Values()
		put := func(d *prometheus.Desc, k Kind, label string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v[k]), name, label)
		}
		put(messagesDesc, Up, "up")
		put(messagesDesc, Down, "down")
		put(bytesDesc, UpBytes, "up")
		put(bytesDesc, DownBytes, "down")
		put(errorsDesc, UpErrors, "up")
		put(errorsDesc, DownErrors, "down")
		put(rulesDesc, Matched, "matched")
		put(rulesDesc, Delivered, "delivered")
		put(rulesDesc, Dead, "dead")
		put(rulesDesc, Dropped, "dropped")
	}
}

var _ prometheus.Collector = (*Meter)(nil)

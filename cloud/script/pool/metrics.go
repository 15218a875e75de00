package pool

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hawser-iot/hawser/cloud/script/wire"
)

var statusNames = map[wire.Status]string{
	wire.OK: "ok", wire.Syntax: "syntax", wire.Missing: "missing", wire.Thrown: "thrown", wire.BadResult: "bad_result", wire.Timeout: "timeout",
	wire.Memory: "memory", wire.Recursion: "recursion", wire.Unknown: "unknown", Crashed: "crashed",
}

// StatusName is a status in one word.
func StatusName(s wire.Status) string { return statusNames[s] }

// outcome is an error in one word.
func outcome(err error) string {
	if errors.Is(err, ErrPaused) {
		return "paused"
	}
	return "stopped"
}

type metrics struct {
	calls         *prometheus.CounterVec
	died          *prometheus.CounterVec
	started, full prometheus.Counter
	paused        prometheus.Counter
	cpu           prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, p *Pool) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "hawser_script_waiting", Help: "Calls of parse scripts that wait for a worker."}, func() float64 {
		p.mu.Lock()
		defer p.mu.Unlock()
		return float64(p.waiting)
	})
	return &metrics{
		calls: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_script_calls_total", Help: "Calls of parse scripts, by how they ended."}, []string{"result"}),
		died: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_script_worker_deaths_total",
			Help: "Script workers that died: of a bound that a script crossed, killed for a call that did not end, killed from outside, or crashed."}, []string{"why"}),
		started: f.NewCounter(prometheus.CounterOpts{Name: "hawser_script_workers_started_total", Help: "Script workers started."}),
		full: f.NewCounter(prometheus.CounterOpts{Name: "hawser_script_queue_full_total",
			Help: "Times that a connection waited because its product had as many calls waiting as it may."}),
		paused: f.NewCounter(prometheus.CounterOpts{Name: "hawser_script_paused_total",
			Help: "Times that a product's parse script was paused because it crossed its bounds again and again."}),
		cpu: f.NewCounter(prometheus.CounterOpts{Name: "hawser_script_cpu_seconds_total", Help: "Processor time of parse scripts."}),
	}
}

package telemetry

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// namespace starts every metric's name.
const namespace = "odradek"

// Buckets in seconds. Those of lanes go from a settle to a transaction's timeout,
// those of takeovers to the restore of a large partition, those of calls from a local
// API to the longest timeout that people set.
var (
	laneBuckets     = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	takeoverBuckets = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900}
	callBuckets     = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
)

// registry holds one process's metrics; there is no global one. A name that is
// registered twice is a mistake in this package and panics.
type registry struct {
	*prometheus.Registry
	component string
}

func newRegistry(component string) registry {
	r := registry{prometheus.NewRegistry(), component}
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// build makes the gauge whose label names the build.
func (r registry) build() *prometheus.GaugeVec {
	return r.gauge("info", "The build; always 1.", "version")
}

// of gives the same registry for another component.
func (r registry) of(component string) registry { return registry{r.Registry, component} }

func (r registry) name(name string) string {
	return prometheus.BuildFQName(namespace, r.component, name)
}

func (r registry) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: r.name(name), Help: help}, labels)
	r.MustRegister(v)
	return v
}

func (r registry) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: r.name(name), Help: help}, labels)
	r.MustRegister(v)
	return v
}

func (r registry) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: r.name(name), Help: help, Buckets: buckets}, labels)
	r.MustRegister(v)
	return v
}

// timer is a histogram without labels.
func (r registry) timer(name, help string, buckets []float64) prometheus.Observer {
	return r.histogram(name, help, buckets).WithLabelValues()
}

// desc describes a gauge that a collector reads at scrape time.
func (r registry) desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(r.name(name), help, labels, nil)
}

// handler serves the metrics. What cannot be gathered is left out: half a scrape is
// better than none when something is wrong.
func (r registry) handler() http.Handler {
	return promhttp.HandlerFor(r.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4})
}

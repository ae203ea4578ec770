package telemetry

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/odradek/odradek/httpapi"
)

// requestMetrics are the metrics of the HTTP API.
type requestMetrics struct {
	total    *prometheus.CounterVec
	problems *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newRequestMetrics(reg registry) *requestMetrics {
	r := reg.of("api")
	return &requestMetrics{
		total:    r.counter("requests_total", "Requests answered, by route and status; forwarded ones came from another instance.", "operation", "status", "forwarded"),
		problems: r.counter("problems_total", "Requests answered with a problem, by route and code.", "operation", "code"),
		seconds:  r.histogram("request_seconds", "Requests, waiting that they asked for included.", callBuckets, "operation"),
	}
}

// Request counts an answered request: httpapi.Config.Observe.
func (e *Engine) Request(i httpapi.RequestInfo) {
	m := e.requests
	m.total.WithLabelValues(i.Operation, strconv.Itoa(i.Status), strconv.FormatBool(i.Forwarded)).Inc()
	m.seconds.WithLabelValues(i.Operation).Observe(i.Elapsed.Seconds())
	if i.Code != "" {
		m.problems.WithLabelValues(i.Operation, string(i.Code)).Inc()
	}
}

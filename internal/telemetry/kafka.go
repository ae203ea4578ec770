package telemetry

import "github.com/odradek/odradek/internal/kafka"

// kafkaRequests makes the counters of a process's requests to Kafka, for kafka.Count.
func kafkaRequests(reg registry) func(kafka.Request) {
	r := reg.of("kafka")
	total := r.counter("requests_total", "Requests to Kafka, by kind.", "request")
	failed := r.counter("failed_requests_total", "Requests to Kafka that were not answered, by kind.", "request")
	written := r.counter("request_bytes_total", "Bytes of requests to Kafka, by kind.", "request")
	read := r.counter("response_bytes_total", "Bytes of Kafka's responses, by kind.", "request")
	return func(q kafka.Request) {
		total.WithLabelValues(q.Name).Inc()
		written.WithLabelValues(q.Name).Add(float64(q.Written))
		read.WithLabelValues(q.Name).Add(float64(q.Read))
		if q.Failed {
			failed.WithLabelValues(q.Name).Inc()
		}
	}
}

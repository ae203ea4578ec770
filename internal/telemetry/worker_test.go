package telemetry

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/worker"
)

func fullWorker(log *slog.Logger) *Worker {
	w := NewWorker(log, "v1", []string{"card.charge"})
	l := w.Listener()
	l.CallEnded(worker.CallEnded{Service: "card", Operation: "charge", Outcome: worker.OutcomeCompleted, Duration: 20 * time.Millisecond})
	l.CallEnded(worker.CallEnded{Service: "card", Operation: "no such thing", Outcome: worker.OutcomeFailed, Kind: "engine", Code: "unbound"})
	l.CommitEnded(worker.CommitEnded{Service: "card", Partitions: 2, Duration: time.Second})
	l.CommitEnded(worker.CommitEnded{Service: "card", Err: errText})
	l.RecordSkipped(worker.RecordSkipped{Service: "card", Reason: worker.SkipRepeated})
	w.Kafka(kafka.Request{Name: "fetch", Failed: true})
	w.Watch(func() []worker.ServiceStatus {
		return []worker.ServiceStatus{{Service: "card", Joined: true, Partitions: []int32{1, 2}, Permits: 3, Running: 4, Queued: 5, Open: 6, Paused: 7, OperatorPaused: true, Breaker: "open", Rate: 2.5, RateLimited: true, Keys: 8, KeyLimited: 9}}
	})
	return w
}

func TestWorkerNames(t *testing.T) {
	t.Parallel()
	checkNames(t, fullWorker(nil).reg, "worker|kafka")
}

func TestWorkerValues(t *testing.T) {
	t.Parallel()
	_, text := call(Admin(AdminConfig{Metrics: fullWorker(nil).Handler()}), "GET", "/metrics", "")
	for _, line := range []string{
		`odradek_worker_calls_total{outcome="completed",service="card",task="charge"} 1`,
		`odradek_worker_calls_total{outcome="failed",service="card",task="unbound"} 1`,
		`odradek_worker_call_seconds_sum{service="card",task="charge"} 0.02`,
		`odradek_worker_commits_total{outcome="ok",service="card"} 1`,
		`odradek_worker_commits_total{outcome="failed",service="card"} 1`,
		`odradek_worker_commit_seconds_sum{service="card"} 1`,
		`odradek_worker_records_skipped_total{reason="repeated",service="card"} 1`,
		`odradek_worker_partitions{service="card"} 2`,
		`odradek_worker_permits{service="card"} 3`,
		`odradek_worker_running_calls{service="card"} 4`,
		`odradek_worker_queued_records{service="card"} 5`,
		`odradek_worker_open_records{service="card"} 6`,
		`odradek_worker_paused_partitions{service="card"} 7`,
		`odradek_worker_paused{service="card"} 1`,
		`odradek_worker_breaker_open{service="card"} 1`,
		`odradek_worker_rate_calls_per_second{service="card"} 2.5`,
		`odradek_worker_rate_limited{service="card"} 1`,
		`odradek_worker_keys{service="card"} 8`,
		`odradek_worker_key_limited_records{service="card"} 9`,
		`odradek_kafka_requests_total{request="fetch"} 1`,
		`odradek_worker_info{version="v1"} 1`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no %s", line)
		}
	}
}

func TestWorkerReady(t *testing.T) {
	t.Parallel()
	if err := WorkerReady([]worker.ServiceStatus{{Service: "card", Joined: true}}); err != nil {
		t.Error(err)
	}
	if err := WorkerReady([]worker.ServiceStatus{{Service: "card", Joined: true}, {Service: "mail"}}); err == nil || !strings.Contains(err.Error(), "service mail") {
		t.Error(err)
	}
}

func TestWorkerLog(t *testing.T) {
	t.Parallel()
	for level, want := range map[string][]string{
		"info":  {"call ended"},
		"debug": {"call ended", "call ended", "commit failed", "record skipped"},
	} {
		var b bytes.Buffer
		log, _, err := Logger(&b, FormatJSON, level, false)
		if err != nil {
			t.Fatal(err)
		}
		fullWorker(log)
		if got := strings.Count(b.String(), "\n"); got != len(want) {
			t.Errorf("at %s: %s", level, b.String())
		}
		for _, msg := range want {
			if !strings.Contains(b.String(), `"msg":"`+msg+`"`) {
				t.Errorf("at %s: no %q", level, msg)
			}
		}
		if strings.Contains(b.String(), "no such thing") {
			t.Errorf("at %s: what a record names is in the log as a task", level)
		}
	}
}

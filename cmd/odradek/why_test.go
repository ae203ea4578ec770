package main

import (
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/httpapi/api"
)

func TestReasonsOfAQuarantinedTask(t *testing.T) {
	t.Parallel()
	r := taskReason("order-7", &api.PendingTask{Task: "RUN.2", Service: "pay", Operation: "charge", Attempt: 2, Quarantined: true})
	if !strings.Contains(r.Detail, "quarantined") || !strings.Contains(r.Do, "odradek wf retry order-7 --task 2") {
		t.Errorf("%+v", r)
	}
}

// TestReasonsOfAPendingTask: one that is asked for again says when, one that waits for its
// token says so.
func TestReasonsOfAPendingTask(t *testing.T) {
	t.Parallel()
	task := api.PendingTask{Task: "RUN.2", Service: "farm", Operation: "render", Attempt: 1, Pending: true}
	if r := taskReason("order-7", &task); !strings.Contains(r.Detail, "by whoever has its token") || r.Do != "odradek wf retry order-7 --task 2 sends another attempt" {
		t.Errorf("%+v", r)
	}
	task.Sending, task.NextAt = 4, time.UnixMilli(0).UTC()
	if r := taskReason("order-7", &task); !strings.Contains(r.Detail, "asked 3 times, it goes out at 1970-01-01") || r.Do != "odradek wf retry order-7 sends it now" {
		t.Errorf("%+v", r)
	}
}

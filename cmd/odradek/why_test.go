package main

import (
	"strings"
	"testing"

	"github.com/odradek/odradek/httpapi/api"
)

func TestReasonsOfAQuarantinedTask(t *testing.T) {
	t.Parallel()
	r := taskReason("order-7", &api.PendingTask{Task: "RUN.2", Service: "pay", Operation: "charge", Attempt: 2, Quarantined: true})
	if !strings.Contains(r.Detail, "quarantined") || !strings.Contains(r.Do, "odradek wf retry order-7 --task 2") {
		t.Errorf("%+v", r)
	}
}

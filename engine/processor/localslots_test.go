package processor

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/record"
)

// TestLocalSlots: a task that ends before it has begun gives its slot back.
func TestLocalSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocals(make(chan struct{}, 4))
		defer l.stop()
		for n := range uint64(200) { // scheduled and cancelled in one batch: slot and end come at once
			id := record.TaskID{No: n + 1}
			l.start(partition.Local{Task: id, Name: "never", Call: func(context.Context, []byte) ([]byte, error) { return nil, nil }})
			l.end(id)
		}
		synctest.Wait()
		if n := len(l.slots); n != 0 {
			t.Errorf("%d of %d slots are held by nobody", n, cap(l.slots))
		}
	})
}

// TestLocalWaits: the limit of an attempt begins with its slot, waiting for one spends
// no attempt.
func TestLocalWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocals(make(chan struct{}, 1))
		defer l.stop()
		slow := func(context.Context, []byte) ([]byte, error) {
			time.Sleep(localTimeout - time.Second)
			return []byte("1"), nil
		}
		for n := range uint64(5) {
			l.start(partition.Local{Task: record.TaskID{No: n + 1}, Name: "slow", Call: slow})
		}
		time.Sleep(5 * localTimeout)
		synctest.Wait()
		done := l.take(10)
		if len(done) != 5 {
			t.Fatalf("%d of 5 tasks have ended", len(done))
		}
		for _, r := range done {
			if f, ok := r.Body.(*record.TaskFailed); ok {
				t.Errorf("task %d failed: %s", f.Task.No, f.Failure.Message)
			}
		}
	})
}

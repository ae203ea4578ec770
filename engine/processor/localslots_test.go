package processor

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/record"
)

func someLocalPlaces(slots, lost int) *localPlaces {
	return &localPlaces{slots: make(chan struct{}, slots), lost: make(chan struct{}, lost)}
}

// TestLocalSlots: a task that ends before it has begun gives its slot back.
func TestLocalSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocals(someLocalPlaces(4, 1), nil)
		defer l.stop()
		for n := range uint64(200) { // scheduled and cancelled in one batch: slot and end come at once
			id := record.TaskID{No: n + 1}
			l.start(partition.Local{Task: id, Name: "never", Call: func(context.Context, []byte) ([]byte, error) { return nil, nil }})
			l.end(id)
		}
		synctest.Wait()
		if n := len(l.places.slots); n != 0 {
			t.Errorf("%d of %d slots are held by nobody", n, cap(l.places.slots))
		}
	})
}

// TestLocalWaits: the limit of an attempt begins with its slot, waiting for one spends
// no attempt.
func TestLocalWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocals(someLocalPlaces(1, 1), nil)
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

// TestALocalTaskThatIgnoresItsContext: its place goes to others after its limit and a moment,
// and what it answers later counts for nothing; as long as not too many do so.
func TestALocalTaskThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var warned []WarningInfo
		l := newLocals(someLocalPlaces(2, 1), func(w WarningInfo) {
			mu.Lock()
			defer mu.Unlock()
			warned = append(warned, w)
		})
		defer l.stop()
		release := make(chan struct{})
		deaf := func(context.Context, []byte) ([]byte, error) {
			<-release
			return []byte("1"), nil
		}
		const limit = time.Second
		for n := range uint64(2) {
			l.start(partition.Local{Task: record.TaskID{No: n + 1}, Attempt: 1, Name: "deaf", Timeout: limit, Call: deaf})
		}
		synctest.Wait() // both have their places
		l.start(partition.Local{Task: record.TaskID{No: 3}, Name: "quick", Call: func(context.Context, []byte) ([]byte, error) { return []byte("3"), nil }})
		time.Sleep(limit + localGrace - time.Millisecond)
		synctest.Wait()
		if got := l.take(10); len(got) != 0 {
			t.Fatalf("%d tasks have ended early", len(got))
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		got := l.take(10)
		if len(got) != 2 || len(warned) != 2 {
			t.Fatalf("%d tasks have ended, %v", len(got), warned)
		}
		ends := map[string]int{} // in whatever order
		for _, r := range got {
			switch b := r.Body.(type) {
			case *record.TaskFailed:
				ends[fmt.Sprint(b.Failure.Code, " ", b.Failure.Retryable)]++
			case *record.TaskCompleted:
				ends[fmt.Sprint("completed ", b.Task.No)]++
			}
		}
		if ends["attempt_timeout true"] != 1 || ends["completed 3"] != 1 {
			t.Errorf("they have ended with %v", ends)
		}
		if lost, held := len(l.places.lost), len(l.places.slots); lost != 1 || held != 1 {
			t.Errorf("%d are lost, %d places are held", lost, held)
		}
		close(release)
		synctest.Wait()
		if got := l.take(10); len(got) != 1 { // of the one that kept its place
			t.Errorf("%d answers of tasks that return late", len(got))
		}
		if lost, held := len(l.places.lost), len(l.places.slots); lost != 0 || held != 0 {
			t.Errorf("%d are lost, %d places are held", lost, held)
		}
	})
}

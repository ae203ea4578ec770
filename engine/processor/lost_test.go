package processor

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/record"
)

// lostWorld is all that the rule on lost attempts is about (W4), for partition 0 of two and
// one service with one task partition: logs, a group's commit, and a step that closes tasks.
// Its workers answer, commit and die in any order.
type lostWorld struct {
	t *rapid.T

	// Kafka.
	tasks    []lostAttempt // the task topic; a marker has no task
	commit   int64
	events   [2][]lostAnswer
	internal []lostAnswer
	// The owner of partition 1 forwards what comes there.
	forwarded int64
	// The owner of partition 0.
	sent    *sent
	at      record.Positions
	clock   record.Millis
	open    map[record.TaskID]lostAttempt // the open attempt of each open task
	pending map[record.TaskID]bool
	flight  []*batch
	// The watch.
	before  map[string]map[int32]int64
	waiting *lostWaiting

	next    uint64
	told    map[lostAttempt]bool // answered, or said to be pending, before their records were left behind
	covered map[lostAttempt]bool // their records were left behind
	made    int                  // lost attempts
}

type lostAttempt struct {
	id      record.TaskID
	attempt uint32
	out     record.Millis
}

type lostAnswer struct {
	of      lostAttempt
	pending bool
}

const lostService = "pay"

func newLostWorld(t *rapid.T) *lostWorld {
	w := &lostWorld{t: t, open: map[record.TaskID]lostAttempt{}, pending: map[record.TaskID]bool{}, told: map[lostAttempt]bool{}, covered: map[lostAttempt]bool{}}
	w.takeover()
	return w
}

// takeover begins a tenure: what the last one knew is lost, batches that were on their way
// are committed.
func (w *lostWorld) takeover() {
	for len(w.flight) > 0 {
		w.settle()
	}
	w.sent = newSent(map[string]int32{lostService: 1}, w.clock)
	w.sent.max = 3
	w.clock++
	w.waiting = nil
}

// send lets a batch with an attempt go out; it settles later.
func (w *lostWorld) send(a lostAttempt) {
	if rapid.Bool().Draw(w.t, "time passes") {
		w.clock++
	}
	a.out = w.clock
	w.open[a.id] = a
	delete(w.pending, a.id)
	b := &batch{Batch: &partition.Batch{Now: w.clock, Counts: partition.Counts{Tasks: 1}, Outputs: []record.Output{
		{Topic: record.TopicTasks, Service: lostService, Run: a.id.Run, Task: a.id.No, Attempt: a.attempt, WorkflowID: "w"},
	}}}
	b.records = []kgo.Record{{Offset: int64(len(w.tasks))}}
	w.sent.launched(b)
	w.tasks = append(w.tasks, a, lostAttempt{})
	w.flight = append(w.flight, b)
}

func (w *lostWorld) settle() {
	w.sent.settled(w.flight[0])
	w.flight = w.flight[1:]
}

// answer is a worker's, or that of somebody outside, to whatever partition.
func (w *lostWorld) answer(a lostAttempt, pending bool, q int) {
	if !w.covered[a] {
		w.told[a] = true
	}
	w.events[q] = append(w.events[q], lostAnswer{a, pending})
}

// step takes one input of partition 0 in.
func (w *lostWorld) step() {
	in, at := w.events[0], &w.at.Events
	if at.Offset == int64(len(in)) {
		in, at = w.internal, &w.at.Internal
	}
	if at.Offset == int64(len(in)) {
		return
	}
	x := in[at.Offset]
	at.Offset++
	var b record.Body = &record.TaskCompleted{Task: x.of.id, Attempt: x.of.attempt}
	if x.pending {
		b = &record.TaskBeat{Task: x.of.id, Attempt: x.of.attempt, Pending: true}
	}
	w.sent.answered(b)
	switch open, ok := w.open[x.of.id]; {
	case x.pending && ok && open.attempt == x.of.attempt:
		w.pending[x.of.id] = true
	case !x.pending:
		delete(w.open, x.of.id)
	}
}

// lost steps the attempts whose time has come.
func (w *lostWorld) lost() {
	for _, r := range w.sent.take(&w.at, 100) {
		b := r.Body.(*record.TaskLost)
		a, ok := w.open[b.Task]
		if !ok || w.pending[b.Task] || a.out > b.OutBy || b.Attempt != 0 && b.Attempt != a.attempt {
			continue
		}
		if !w.covered[a] {
			w.t.Fatalf("attempt %d of %d is taken for lost: its record has not been left behind", a.attempt, a.id.No)
		}
		if w.told[a] {
			w.t.Fatalf("attempt %d of %d is taken for lost: it was answered before its record was left behind", a.attempt, a.id.No)
		}
		w.made++
		w.send(lostAttempt{id: a.id, attempt: a.attempt + 1})
	}
}

// round is one of the watch's.
func (w *lostWorld) round() {
	behind := map[string]map[int32]int64{lostService: {0: w.commit}}
	low := lower(w.before, behind)
	w.before = behind
	if len(w.sent.unlooked()) > 0 {
		end := int64(len(w.tasks))
		if end > 0 {
			end-- // the last is a marker
		}
		w.sent.looked(lostService, map[int32]int64{0: end})
	}
	if w.waiting == nil {
		records := w.sent.behind(low, 2)
		if scan := w.sent.scanning(low); scan != nil && len(w.flight) == 0 {
			for id, a := range w.open {
				if o := scan.services[lostService]; a.out <= o.out && !w.pending[id] {
					records = append(records, lostRecord("w", &record.TaskLost{Task: id, OutBy: o.out}))
				}
			}
			w.sent.scanned("")
		}
		if len(records) > 0 {
			w.waiting = &lostWaiting{records: records}
		}
	}
	w.hand()
}

func (w *lostWorld) hand() {
	if w.waiting == nil {
		return
	}
	if w.waiting.events == nil {
		w.waiting.events = map[int32]int64{0: int64(len(w.events[0])), 1: int64(len(w.events[1]))}
	}
	if w.waiting.over(0, map[int32]int64{1: w.forwarded}) {
		w.sent.hand(lostTasks{inputEnds{0, int64(len(w.events[0])), int64(len(w.internal))}, w.waiting.records})
		w.waiting = nil
	}
}

// forward is a step of the other owner's.
func (w *lostWorld) forward() {
	if w.forwarded < int64(len(w.events[1])) {
		w.internal = append(w.internal, w.events[1][w.forwarded])
		w.forwarded++
	}
}

// commitTo is the group's, also back.
func (w *lostWorld) commitTo(n int64) {
	w.commit = n
	for _, a := range w.tasks[:n] {
		w.covered[a] = true
	}
}

// TestManyAttempts: what is too much to remember is known by its time, and by where the
// task partitions ended, also those of which only a takeover tells.
func TestManyAttempts(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{true, false} {
		s := newSent(map[string]int32{lostService: 2}, 5)
		s.max = 2
		if known {
			s.looked(lostService, map[int32]int64{0: 3, 1: 9})
		}
		for i := range 4 {
			b := &batch{Batch: &partition.Batch{Now: record.Millis(10 + i/2), Counts: partition.Counts{Tasks: 1}, Outputs: []record.Output{
				{Topic: record.TopicTasks, Service: lostService, Task: uint64(i + 1), Attempt: 1},
			}}}
			b.records = []kgo.Record{{Offset: int64(20 + i)}}
			s.launched(b)
			s.settled(b)
		}
		var left []uint64
		for id := range s.tasks {
			left = append(left, id.No)
		}
		slices.Sort(left)
		o := s.older[lostService]
		if want := map[int32]int64{0: 22, 1: 9}; !slices.Equal(left, []uint64{3, 4}) || o.out != 10 || known && !maps.Equal(o.ends, want) || !known && o.ends != nil {
			t.Errorf("known=%v: tasks %v are remembered; the others went out by %d, below %v", known, left, o.out, o.ends)
		}
	}
}

// TestSendingsAreToldApart: an attempt that is sent out again is watched again, whatever a
// repeat of an earlier sending's answer says, and the batch of an earlier one, which settles
// late, does not say where its record lies.
func TestSendingsAreToldApart(t *testing.T) {
	t.Parallel()
	s := newSent(map[string]int32{lostService: 1}, 5)
	send := func(sending uint32, offset int64) *batch {
		b := &batch{Batch: &partition.Batch{Now: record.Millis(10 + sending), Counts: partition.Counts{Tasks: 1}, Outputs: []record.Output{
			{Topic: record.TopicTasks, Service: lostService, Task: 1, Attempt: 1, Sending: sending},
		}}}
		b.records = []kgo.Record{{Offset: offset}}
		s.launched(b)
		return b
	}
	pending := func(sending uint32) *record.TaskBeat {
		return &record.TaskBeat{Task: record.TaskID{No: 1}, Attempt: 1, Sending: sending, Pending: true, After: time.Second}
	}
	first := send(1, 20)
	s.answered(pending(1))
	second := send(2, 30)
	s.settled(first)
	if got := s.behind(map[string]map[int32]int64{lostService: {0: 25}}, 9); len(got) > 0 {
		t.Errorf("lost is %+v, but the second sending is not behind", got[0].Body)
	}
	s.settled(second)
	s.answered(pending(1))
	if got := s.behind(map[string]map[int32]int64{lostService: {0: 31}}, 9); len(got) != 1 {
		t.Error("the second sending is not watched")
	}
}

// TestLostAttempts: whatever workers do, an attempt that was answered, or said to be
// pending, before its record was left behind is never made again, and one that was left
// behind without an answer always is.
func TestLostAttempts(t *testing.T) {
	t.Parallel()
	made := 0
	rapid.Check(t, func(t *rapid.T) {
		w := newLostWorld(t)
		one := func(t *rapid.T) (a lostAttempt, at int64) { // of the last records
			if len(w.tasks) == 0 {
				return a, 0
			}
			i := max(0, len(w.tasks)/2-1-rapid.IntRange(0, 5).Draw(t, "back"))
			return w.tasks[2*i], int64(2*i + 1)
		}
		answer := func(t *rapid.T, a lostAttempt) {
			w.answer(a, rapid.IntRange(0, 3).Draw(t, "pending") == 0, rapid.IntRange(0, 1).Draw(t, "partition"))
		}
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				for range rapid.IntRange(1, 3).Draw(t, "tasks") {
					w.next++
					w.send(lostAttempt{id: record.TaskID{No: w.next}, attempt: 1})
				}
			},
			"settle": func(t *rapid.T) {
				for range rapid.IntRange(0, len(w.flight)).Draw(t, "batches") {
					w.settle()
				}
			},
			"answer": func(t *rapid.T) {
				if a, _ := one(t); a.attempt > 0 {
					answer(t, a)
				}
			},
			"answer and commit": func(t *rapid.T) {
				if a, behind := one(t); a.attempt > 0 {
					answer(t, a)
					w.commitTo(behind)
				}
			},
			"commit":  func(t *rapid.T) { w.commitTo(rapid.Int64Range(0, int64(len(w.tasks))).Draw(t, "offset")) },
			"step":    func(*rapid.T) { w.step() },
			"forward": func(*rapid.T) { w.forward() },
			"rounds": func(t *rapid.T) {
				for range rapid.IntRange(1, 3).Draw(t, "rounds") {
					w.round()
				}
				w.lost()
			},
			"takeover": func(t *rapid.T) {
				if rapid.IntRange(0, 4).Draw(t, "takeover") == 0 {
					w.takeover()
				}
			},
			"": func(*rapid.T) {},
		})
		// From now on the workers commit everything and answer nothing.
		open := maps.Clone(w.open)
		for range 3 * (len(open) + len(w.flight) + 3) {
			for len(w.flight) > 0 {
				w.settle()
			}
			for range len(w.events[1]) {
				w.forward()
			}
			for range len(w.events[0]) + len(w.internal) + len(w.events[1]) {
				w.step()
			}
			w.commitTo(int64(len(w.tasks)))
			w.round()
			w.lost()
		}
		for id, a := range open {
			if now, ok := w.open[id]; ok && now == a && !w.pending[id] {
				t.Fatalf("attempt %d of %d was left behind without an answer, and is not made again", a.attempt, id.No)
			}
		}
		made += w.made
	})
	if made == 0 {
		t.Error("no attempt was ever lost")
	}
}

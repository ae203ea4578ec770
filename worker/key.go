package worker

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// Bounds of what waits for its key's turn.
const (
	// keysMax bounds the keys that are remembered, 190 bytes each (measured): those that have
	// calls or records, and those whose bucket is not full yet. Beyond, records of other
	// keys wait until one is forgotten.
	keysMax = 100_000
	// keysWaitMax is how many records may wait for the turns of their keys; more go back to
	// the engine: half of openMax, so that a worker always has room for the records of
	// others, and few enough for a commit's metadata (W3).
	keysWaitMax = openMax / 2
	// keysCrowd is from how many on a key that has keyFew of them gets no more: the rest is
	// for keys with few.
	keysCrowd = keysWaitMax * 3 / 4
	keyFew    = 16
	// keysWaitBytesMax bounds their payloads; the crowd begins in the same proportion.
	keysWaitBytesMax = openBytesMax / 2
	// A record that goes back comes again after about keyBackMin, doubling with each attempt
	// up to keyBackMax, give or take half of it: what goes back together comes one by one, so
	// that the key is never idle for long while the engine has records of it.
	keyBackMin = 5 * time.Second
	keyBackMax = 2 * time.Minute
)

// KeyLimit limits the calls of each key of limits (workflow.LimitBy), over all workers of
// the service. All tasks with a key stand in one partition, so that one worker has it.
type KeyLimit struct {
	// Concurrency is how many calls of a key run at the same time; 0: no limit.
	Concurrency int
	// Rate of a key; the default of its burst is what comes in a tenth of a second, at
	// least one. A key that was never seen has what it would have saved up since the
	// worker took its partition.
	Rate Rate
}

// IsZero reports whether nothing is limited.
func (l KeyLimit) IsZero() bool { return l == KeyLimit{} }

// problem says what is wrong with a limit, or nothing.
func (l KeyLimit) problem() string {
	if l.Concurrency < 0 || l.Concurrency > concurrencyMax {
		return "its concurrency is out of range"
	}
	return l.Rate.problem()
}

// key is one key of limits that has calls, records or an unfilled bucket.
type key struct {
	name    string
	part    *partition // whose bucket it is
	bucket  bucket
	running int      // calls
	waiting jobQueue // records that wait for its turn
	ready   bool     // stands in keys.ready
	due     time.Time
	at      int // in keys.due; -1: not there
}

// keys are the keys of a service that its pool knows. A key has its place in ready if a
// record of it may start, in due if that is a question of time, or if it may be forgotten
// then, and in neither while its calls take all its places. The pool's mu protects it.
type keys struct {
	limit  KeyLimit
	known  map[string]*key
	ready  []*key
	due    dueKeys
	parked int   // records that wait
	bytes  int64 // their payloads
}

func newKeys(l KeyLimit) *keys {
	l.Rate = l.Rate.withDefaults(1)
	return &keys{limit: l, known: map[string]*key{}}
}

// next gives a record of a key whose turn has come.
func (ks *keys) next(now time.Time) *job {
	for len(ks.ready) > 0 {
		k := ks.ready[0]
		ks.ready[0] = nil
		ks.ready = ks.ready[1:]
		k.ready = false
		if k.waiting.len() == 0 || ks.wait(k, now) > 0 {
			ks.settle(k, now)
			continue
		}
		j := ks.unpark(k)
		ks.begin(k, j, now)
		return j
	}
	return nil
}

// admit takes a record from the queue: it may start, or it waits in its key, or it goes
// back to the engine, for which it may start too. full: nothing can be done with it before
// a key is forgotten.
func (ks *keys) admit(j *job, now time.Time) (start, full bool) {
	k := ks.known[j.key]
	if k == nil {
		if len(ks.known) >= keysMax {
			return false, true
		}
		k = &key{name: j.key, at: -1}
		ks.known[j.key] = k
	}
	if k.part != j.part {
		ks.enter(k, j.part, now)
	}
	switch {
	case k.waiting.len() == 0 && !k.ready && ks.wait(k, now) == 0:
		ks.begin(k, j, now)
		return true, false
	case ks.full(k):
		j.back = true
		ks.settle(k, now)
		return true, false
	}
	ks.park(k, j)
	ks.settle(k, now)
	return false, false
}

// park lets a record wait in its key.
func (ks *keys) park(k *key, j *job) {
	k.waiting.push(j)
	ks.parked++
	ks.bytes += int64(len(j.rec.Value))
}

// unpark takes out the record of a key that has waited longest.
func (ks *keys) unpark(k *key) *job {
	j := k.waiting.pop()
	ks.parked--
	ks.bytes -= int64(len(j.rec.Value))
	return j
}

// full reports whether another record of the key has no place to wait.
func (ks *keys) full(k *key) bool {
	crowd := ks.parked >= keysCrowd || ks.bytes >= keysWaitBytesMax*3/4
	return ks.parked >= keysWaitMax || ks.bytes >= keysWaitBytesMax || crowd && k.waiting.len() >= keyFew
}

// backAfter is the pause of a record that goes back.
func backAfter(attempt uint32) time.Duration {
	pause := min(keyBackMin<<min(attempt-1, 16), keyBackMax)
	return pause/2 + rand.N(pause)
}

// enter gives a key the bucket of a partition in which it has come: another holder may have
// spent its tokens before this one took it. What this one has spent of it counts too.
func (ks *keys) enter(k *key, p *partition, now time.Time) {
	b := bucket{perSecond: ks.limit.Rate.perSecond(), burst: float64(ks.limit.Rate.Burst), at: p.since}
	b.fill(now)
	if k.part != nil {
		k.bucket.fill(now)
		b.tokens = min(b.tokens, k.bucket.tokens)
		if k.bucket.at.After(b.at) { // paused
			b.at = k.bucket.at
		}
	}
	k.part, k.bucket = p, b
}

// wait is how long it is until a call of the key may begin; never if that is not a question
// of time.
func (ks *keys) wait(k *key, now time.Time) time.Duration {
	if ks.limit.Concurrency > 0 && k.running >= ks.limit.Concurrency {
		return never
	}
	if ks.limit.Rate.Calls == 0 {
		return 0
	}
	k.bucket.fill(now)
	return k.bucket.wait(now)
}

// begin counts a call that begins now.
func (ks *keys) begin(k *key, j *job, now time.Time) {
	k.running++
	j.limit = k
	if ks.limit.Rate.Calls > 0 {
		k.bucket.take(now)
	}
	ks.settle(k, now)
}

// end counts the end of a job that began.
func (ks *keys) end(j *job, called bool, now time.Time) {
	k := j.limit
	if k == nil {
		return
	}
	j.limit = nil
	k.running--
	if !called && k.part == j.part {
		k.bucket.giveBack()
	}
	ks.settle(k, now)
}

// pause lets no call of the key begin before until; false: keys have no rate.
func (ks *keys) pause(k *key, now, until time.Time) bool {
	if ks.limit.Rate.Calls == 0 {
		return false
	}
	k.bucket.pause(now, until)
	ks.settle(k, now)
	return true
}

// settle gives a key its place after a change, or forgets it.
func (ks *keys) settle(k *key, now time.Time) {
	due := time.Time{} // none
	switch {
	case k.ready:
	case k.waiting.len() > 0:
		switch wait := ks.wait(k, now); {
		case wait == 0:
			k.ready = true
			ks.ready = append(ks.ready, k)
		case wait < never:
			due = now.Add(wait)
		}
	case k.running > 0:
	default:
		if ks.limit.Rate.Calls > 0 {
			k.bucket.fill(now)
			if full := k.bucket.full(); full.After(now) {
				due = full
				break
			}
		}
		delete(ks.known, k.name)
	}
	switch k.due = due; {
	case due.IsZero() && k.at >= 0:
		heap.Remove(&ks.due, k.at)
	case due.IsZero():
	case k.at >= 0:
		heap.Fix(&ks.due, k.at)
	default:
		heap.Push(&ks.due, k)
	}
}

// look gives those keys their place whose time has come.
func (ks *keys) look(now time.Time) {
	for len(ks.due) > 0 && !ks.due[0].due.After(now) {
		k := heap.Pop(&ks.due).(*key)
		ks.settle(k, now)
	}
}

// drop forgets the records of a partition that has gone. Its keys stay while their calls
// run, and as long as their buckets fill: what comes back is limited by both.
func (ks *keys) drop(p *partition, now time.Time) {
	for _, k := range ks.known {
		if k.part != p {
			continue
		}
		for k.waiting.len() > 0 {
			ks.unpark(k)
		}
		ks.settle(k, now)
	}
}

// drain takes out the records that wait of partitions from active on.
func (ks *keys) drain(active int32, now time.Time) (out []*job) {
	for _, k := range ks.known {
		n := k.waiting.len()
		for range n {
			if j := ks.unpark(k); j.part.id < active {
				ks.park(k, j)
			} else {
				out = append(out, j)
			}
		}
		ks.settle(k, now)
	}
	return out
}

// dueKeys is a heap by due.
type dueKeys []*key

func (h dueKeys) Len() int           { return len(h) }
func (h dueKeys) Less(i, k int) bool { return h[i].due.Before(h[k].due) }
func (h dueKeys) Swap(i, k int) {
	h[i], h[k] = h[k], h[i]
	h[i].at, h[k].at = i, k
}

// Push is heap.Interface's.
func (h *dueKeys) Push(x any) {
	k := x.(*key)
	k.at = len(*h)
	*h = append(*h, k)
}

// Pop is heap.Interface's.
func (h *dueKeys) Pop() any {
	k := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	k.at = -1
	return k
}

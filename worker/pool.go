package worker

import (
	"math"
	"sync"
	"time"
)

// pool runs jobs on at most limit goroutines. They are started when there is work
// and stay; handlers that return at once are run one after the other without a
// switch, handlers that wait get a goroutine each.
//
// The limit is the number of permits that the held partitions carry (W2). It may
// fall while calls run: they keep their goroutine to the end, and nothing is
// started until enough have ended. With a rate, a job also needs a token of the
// bucket, which fills at the rate that the held partitions carry.
type pool struct {
	run func(*job) (called bool)
	wg  sync.WaitGroup

	mu      sync.Mutex
	wake    sync.Cond
	queue   jobQueue
	limit   int
	running int // goroutines
	idle    int // of them waiting
	busy    int // of them in run
	closed  bool

	keys    *keys       // nil: no limits by key
	alarm   *time.Timer // until something is to be done with a key
	alarmAt time.Time

	active   int32       // jobs of partitions from there on go back (W2)
	draining bool        // all are such
	rate     *bucket     // nil: no limit
	timer    *time.Timer // until a token comes
	timing   bool        // it runs: nobody looks before
}

// newPool makes a pool without permits. run tells whether it called anything: only that
// spends a token.
func newPool(run func(*job) (called bool), perKey KeyLimit) *pool {
	p := &pool{run: run, active: math.MaxInt32}
	if !perKey.IsZero() {
		p.keys = newKeys(perKey)
	}
	p.wake.L = &p.mu
	return p
}

// put queues jobs. After close it drops them.
func (p *pool) put(jobs []*job) {
	if len(jobs) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for _, j := range jobs {
		if p.keys != nil {
			j.key = limitKey(j.rec)
		}
		j.draining = j.part.id >= p.active
		j.back = j.draining
		p.queue.push(j)
	}
	p.more()
}

// more wakes or starts one goroutine if there is work for it. Each that takes a job
// calls it again, so that many wake only while there is enough to do. p.mu is held.
func (p *pool) more() {
	switch {
	case p.timing || p.queue.len() == 0 && (p.keys == nil || len(p.keys.ready) == 0):
	case p.idle > 0:
		p.wake.Signal()
	case p.running < p.limit:
		p.running++
		p.wg.Add(1)
		go p.work()
	}
}

func (p *pool) work() {
	defer p.wg.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		j := p.next()
		for j == nil && !p.closed && p.running <= p.limit {
			p.idle++
			p.wake.Wait()
			p.idle--
			j = p.next()
		}
		if j == nil {
			p.running--
			p.more()
			return
		}
		p.more()
		p.busy++
		p.mu.Unlock()
		called := p.run(j)
		p.mu.Lock()
		p.busy--
		if !called && !j.back && p.rate != nil {
			p.rate.giveBack()
			p.look()
		}
		if p.keys != nil {
			p.keys.end(j, called, time.Now())
			p.more()
		}
	}
}

// next gives a job that may start now, or none. p.mu is held.
func (p *pool) next() *job {
	if p.closed || p.running > p.limit || p.timing || p.queue.len() == 0 && p.keys == nil {
		return nil
	}
	if p.rate != nil && !p.draining && p.left() > 0 {
		now := time.Now()
		p.rate.fill(now)
		if wait := p.rate.wait(now); wait > 0 {
			p.timing = true
			if p.timer == nil {
				p.timer = time.AfterFunc(wait, p.due)
			} else {
				p.timer.Reset(wait)
			}
			return nil
		}
	}
	j := p.pick()
	if j != nil && !j.back && p.rate != nil && !p.draining {
		p.rate.tokens--
	}
	return j
}

// pick takes the next job that its key lets start: those that have waited for their keys
// first, then the queue.
func (p *pool) pick() *job {
	if p.keys == nil {
		return p.queue.pop()
	}
	now := time.Now()
	defer p.setAlarm(now)
	p.keys.look(now)
	if j := p.keys.next(now); j != nil {
		return j
	}
	for p.queue.len() > 0 {
		j := p.queue.first()
		if j.key == "" || j.back {
			return p.queue.pop()
		}
		start, full := p.keys.admit(j, now)
		if full {
			return nil
		}
		p.queue.pop()
		if start {
			return j
		}
	}
	return nil
}

// setAlarm lets the keys be looked at when the time of the first comes. p.mu is held.
func (p *pool) setAlarm(now time.Time) {
	switch {
	case len(p.keys.due) == 0:
		if p.alarm != nil {
			p.alarm.Stop()
		}
		p.alarmAt = time.Time{}
	case p.keys.due[0].due.Equal(p.alarmAt):
	default:
		p.alarmAt = p.keys.due[0].due
		if p.alarm == nil {
			p.alarm = time.AfterFunc(p.alarmAt.Sub(now), p.lookAtKeys)
		} else {
			p.alarm.Reset(p.alarmAt.Sub(now))
		}
	}
}

// lookAtKeys is called when the time of a key has come.
func (p *pool) lookAtKeys() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	now := time.Now()
	p.alarmAt = time.Time{}
	p.keys.look(now)
	p.setAlarm(now)
	p.more()
}

// left is how many jobs wait. p.mu is held.
func (p *pool) left() int {
	n := p.queue.len()
	if p.keys != nil {
		n += p.keys.parked
	}
	return n
}

// due is called when a token has come.
func (p *pool) due() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.look()
}

// look lets the queue be looked at now, whatever was waited for. p.mu is held.
func (p *pool) look() {
	if p.timing {
		p.timer.Stop()
		p.timing = false
	}
	p.more()
}

// setLimit changes the number of permits.
func (p *pool) setLimit(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = n
	p.wake.Broadcast()
	p.more()
}

// setDraining says that jobs of partitions from active on go back to the engine; all: the
// others are none of ours, and no tokens are needed.
func (p *pool) setDraining(active int32, all bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if active != p.active {
		p.active = active
		for i := p.queue.head; i < len(p.queue.jobs); i++ {
			j := p.queue.jobs[i]
			j.draining = j.part.id >= active
			j.back = j.draining
		}
		if p.keys != nil { // their turn may be far away
			now := time.Now()
			for _, j := range p.keys.drain(active, now) {
				j.back, j.draining = true, true
				p.queue.push(j)
			}
			p.setAlarm(now)
		}
	}
	p.draining = all
	p.look()
}

// setRate changes what the held partitions carry of the service's rate. Tokens of a
// partition that has come are still to come.
func (p *pool) setRate(perSecond float64, burst int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate == nil {
		p.rate = &bucket{}
	}
	p.rate.set(time.Now(), perSecond, float64(burst))
	p.look()
}

// pause starts nothing for d, and lets no token come meanwhile: of the key of the job that
// is under way where keys have a rate, else of the whole pool if that has one.
func (p *pool) pause(j *job, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	switch {
	case j.limit != nil && p.keys.pause(j.limit, now, now.Add(d)):
		p.setAlarm(now)
	case p.rate != nil:
		p.rate.pause(now, now.Add(d))
		p.look()
	}
}

// drop forgets what waits of a partition that has gone.
func (p *pool) drop(part *partition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := jobQueue{}
	for p.queue.len() > 0 {
		if j := p.queue.pop(); j.part != part {
			rest.push(j)
		}
	}
	p.queue = rest
	if p.keys != nil {
		now := time.Now()
		p.keys.drop(part, now)
		p.setAlarm(now)
		p.more() // where it waited for a key to be forgotten
	}
}

// count fills in calls under way, jobs that wait, and for what.
func (p *pool) count(st *ServiceStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	st.Running, st.Queued, st.RateLimited = p.busy, p.left(), p.timing
	if p.keys != nil {
		st.Keys, st.KeyLimited = len(p.keys.known), p.keys.parked
	}
}

// close drops what waits and lets the goroutines end; it does not wait for calls.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.queue = jobQueue{}
	if p.alarm != nil {
		p.alarm.Stop()
	}
	p.look()
	p.wake.Broadcast()
}

// jobQueue is a first-in first-out queue whose array is used again.
type jobQueue struct {
	jobs []*job
	head int
}

func (q *jobQueue) len() int { return len(q.jobs) - q.head }

func (q *jobQueue) push(j *job) {
	if q.head > 0 && len(q.jobs) == cap(q.jobs) {
		n := copy(q.jobs, q.jobs[q.head:])
		clear(q.jobs[n:])
		q.jobs, q.head = q.jobs[:n], 0
	}
	q.jobs = append(q.jobs, j)
}

// first is the next that pop gives.
func (q *jobQueue) first() *job { return q.jobs[q.head] }

func (q *jobQueue) pop() *job {
	j := q.jobs[q.head]
	q.jobs[q.head] = nil
	q.head++
	if q.head == len(q.jobs) {
		q.jobs, q.head = q.jobs[:0], 0
	}
	return j
}

package worker

import (
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

	rate   *bucket     // nil: no limit
	timer  *time.Timer // until a token comes
	timing bool        // it runs: nobody looks before
}

// newPool makes a pool without permits. run tells whether it called anything: only that
// spends a token.
func newPool(run func(*job) (called bool)) *pool {
	p := &pool{run: run}
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
		p.queue.push(j)
	}
	p.more()
}

// more wakes or starts one goroutine if there is work for it. Each that takes a job
// calls it again, so that many wake only while there is enough to do. p.mu is held.
func (p *pool) more() {
	switch {
	case p.queue.len() == 0 || p.timing:
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
		if !called && p.rate != nil {
			p.rate.giveBack()
			p.look()
		}
	}
}

// next gives a job that may start now, or none. p.mu is held.
func (p *pool) next() *job {
	if p.queue.len() == 0 || p.closed || p.running > p.limit || p.timing {
		return nil
	}
	if p.rate != nil {
		if wait := p.rate.take(time.Now()); wait > 0 {
			p.timing = true
			if p.timer == nil {
				p.timer = time.AfterFunc(wait, p.due)
			} else {
				p.timer.Reset(wait)
			}
			return nil
		}
	}
	return p.queue.pop()
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

// pause starts nothing for d, and lets no token come meanwhile. Without a rate it does
// nothing.
func (p *pool) pause(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate != nil {
		now := time.Now()
		p.rate.pause(now, now.Add(d))
		p.look()
	}
}

// counts gives calls under way, jobs that wait, and whether they wait for a token.
func (p *pool) counts() (busy, queued int, rated bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busy, p.queue.len(), p.timing
}

// close drops what waits and lets the goroutines end; it does not wait for calls.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.queue = jobQueue{}
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

func (q *jobQueue) pop() *job {
	j := q.jobs[q.head]
	q.jobs[q.head] = nil
	q.head++
	if q.head == len(q.jobs) {
		q.jobs, q.head = q.jobs[:0], 0
	}
	return j
}

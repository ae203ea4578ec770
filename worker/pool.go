package worker

import "sync"

// pool runs jobs on at most limit goroutines. They are started when there is work
// and stay; handlers that return at once are run one after the other without a
// switch, handlers that wait get a goroutine each.
//
// The limit is the number of permits that the held partitions carry (W2). It may
// fall while calls run: they keep their goroutine to the end, and nothing is
// started until enough have ended.
type pool struct {
	run func(*job)
	wg  sync.WaitGroup

	mu      sync.Mutex
	wake    sync.Cond
	queue   jobQueue
	limit   int
	running int // goroutines
	idle    int // of them waiting
	busy    int // of them in run
	closed  bool
}

func newPool(run func(*job)) *pool {
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
	case p.queue.len() == 0:
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
		for p.queue.len() == 0 && !p.closed && p.running <= p.limit {
			p.idle++
			p.wake.Wait()
			p.idle--
		}
		if p.closed || p.running > p.limit {
			p.running--
			p.more()
			return
		}
		j := p.queue.pop()
		p.more()
		p.busy++
		p.mu.Unlock()
		p.run(j)
		p.mu.Lock()
		p.busy--
	}
}

// setLimit changes the number of permits.
func (p *pool) setLimit(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = n
	p.wake.Broadcast()
	p.more()
}

// counts gives permits, calls under way and jobs that wait.
func (p *pool) counts() (limit, busy, queued int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit, p.busy, p.queue.len()
}

// close drops what waits and lets the goroutines end; it does not wait for calls.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.queue = jobQueue{}
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

package worker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// job is a task record on its way through the worker.
type job struct {
	part    *partition
	no      uint64 // in part.offsets
	rec     *kgo.Record
	suspect bool
	starts  uint32 // by former holders
	died    bool   // not to be started: its starts ended too many workers
	era     uint64 // part.rewinds when it was delivered
	ended   bool   // its result is acknowledged, or it is given up
	key     string // of limits; empty: none
	limit   *key   // whose call it is, while that runs; the pool's
	// back: it goes back to the engine, because its partition drains or too many wait for
	// their keys.
	back, draining bool
}

// partition is what a member holds of one task partition, from its assignment to
// its revocation. A partition that comes back is another value. All fields but
// the first four are guarded by the service's mutex.
type partition struct {
	id     int32
	since  time.Time               // when it was taken
	ctx    context.Context         // of its calls
	cancel context.CancelCauseFunc // ends them, with the cause

	offsets *offsets
	// announced is the offset up to which a commit says that records may be started.
	announced int64
	// committed is what the last commit said; offset -1: none by this holder.
	committed commitPoint
	size      int // of its metadata before base64
	// delivered counts records since the last commit.
	delivered int64

	// fresh wait for an announcement; suspects are let go in small groups, so that
	// one that kills the worker is found among few (W3).
	fresh    jobQueue
	suspects jobQueue
	running  int    // suspects that are started and not finished
	worst    uint32 // most former starts among them

	pending int           // calls begun whose result is neither acknowledged nor given up
	paused  bool          // not fetched: the metadata is full (W3)
	closing bool          // nothing is started any more
	idle    chan struct{} // closed when closing and pending is 0
	rewinds uint64        // times that Kafka lost the log's end (P6)
}

// commitPoint is one partition's part of a commit.
type commitPoint struct {
	offset   int64
	metadata string
}

func newPartition(id int32, start int64, prior progress) *partition {
	ctx, cancel := context.WithCancelCause(context.Background())
	p := &partition{id: id, since: time.Now(), ctx: ctx, cancel: cancel, offsets: newOffsets(start, prior), idle: make(chan struct{})}
	p.announced = start
	p.committed.offset = -1
	return p
}

// suspectsMax is how many suspects run at the same time in a partition when the
// worst of them was started that often before: each crash narrows the circle.
func suspectsMax(starts uint32) int {
	switch {
	case starts <= 1:
		return 256
	case starts == 2:
		return 16
	}
	return 1
}

// take registers a record. It gives the job if it may start at once; otherwise the
// job waits for a commit, or there is nothing to do.
func (p *partition) take(rec *kgo.Record) (ready *job, what delivery, rewound bool) {
	no, what, rewound := p.offsets.deliver(rec.Offset, rec.LeaderEpoch, len(rec.Value))
	if rewound {
		p.rewinds++
		p.fresh, p.suspects = jobQueue{}, jobQueue{}
		p.running, p.worst = 0, 0
		p.announced = rec.Offset
	}
	p.delivered++
	switch what {
	case deliveryRepeated, deliveryFinished:
		return nil, what, rewound
	case deliverySuspect:
		p.suspects.push(&job{part: p, no: no, rec: rec, suspect: true, starts: p.offsets.at(no).prior, era: p.rewinds})
		return nil, what, rewound
	}
	j := &job{part: p, no: no, rec: rec, era: p.rewinds}
	if rec.Offset < p.announced && p.fresh.len() == 0 {
		return j, what, rewound
	}
	p.fresh.push(j)
	return nil, what, rewound
}

// waiting reports whether records wait for a commit that would let them start.
func (p *partition) waiting() bool {
	return p.fresh.len() > 0 || p.suspects.len() > 0 && p.running < suspectsMax(p.worst)
}

// plan is what a commit says and whom it lets go.
type plan struct {
	part      *partition
	point     commitPoint
	announced int64
	fresh     int // jobs to let go from the front of each queue
	suspects  int
	rewinds   uint64
}

// lookaheadMin is how many offsets beyond the last delivered record a commit
// announces, so that records which come until the next one start without waiting
// for it. After a crash these are suspects: a few hundred microseconds each.
const lookaheadMin = 1000

// plan makes the next commit of the partition; ok is false if there is nothing to
// say. startsMax is Config.StartsMax.
func (p *partition) plan(startsMax uint32) (pl plan, ok bool) {
	watermark := p.offsets.watermark()
	if watermark < 0 {
		return plan{}, false
	}
	pl = plan{part: p, fresh: p.fresh.len(), rewinds: p.rewinds}
	worst := p.worst
	for i := p.suspects.head; i < len(p.suspects.jobs); i++ {
		j := p.suspects.jobs[i]
		if j.starts >= startsMax {
			j.died = true
			pl.suspects++
			continue
		}
		if p.running+pl.suspects >= suspectsMax(max(worst, j.starts)) {
			break
		}
		worst = max(worst, j.starts)
		p.offsets.started(j.no)
		pl.suspects++
	}
	pl.announced = p.announced
	ahead := max(lookaheadMin, 8*p.delivered)
	if next := p.offsets.last + 1; next+ahead/2 > p.announced {
		pl.announced = next + ahead
	}
	pl.point.offset = watermark
	pl.point.metadata, p.size = encodeProgress(watermark, p.offsets.progress(pl.announced, false))
	return pl, pl.point != p.committed
}

// last makes the commit with which the holder leaves: what he started and did not
// finish did not kill him.
func (p *partition) last() (pl plan, ok bool) {
	watermark := p.offsets.watermark()
	if watermark < 0 {
		return plan{}, false
	}
	pl = plan{part: p}
	pl.point.offset = watermark
	pl.point.metadata, _ = encodeProgress(watermark, p.offsets.progress(0, true))
	return pl, true
}

// release notes that the planned commit is there and gives the jobs that may start.
func (p *partition) release(pl plan, ready []*job) []*job {
	p.committed = pl.point
	if pl.rewinds != p.rewinds {
		return ready
	}
	p.announced = max(p.announced, pl.announced)
	p.delivered = 0
	for range pl.suspects {
		j := p.suspects.pop()
		if !j.died {
			p.running++
			p.worst = max(p.worst, j.starts)
		}
		ready = append(ready, j)
	}
	for range pl.fresh {
		ready = append(ready, p.fresh.pop())
	}
	return ready
}

// full reports whether the metadata of more open records might not fit (W3).
func (p *partition) full() bool {
	return p.size+metadataPerOpen*p.offsets.open > metadataRawMax
}

// ended notes that a job of the partition is finished or given up.
func (p *partition) ended(j *job) {
	if !j.suspect || j.died || j.era != p.rewinds {
		return
	}
	if p.running--; p.running == 0 {
		p.worst = 0
	}
}

// close lets nothing start any more.
func (p *partition) close() {
	if p.closing {
		return
	}
	p.closing = true
	p.fresh, p.suspects = jobQueue{}, jobQueue{}
	p.settle()
}

// settle tells those who wait for the partition's calls that there are none.
func (p *partition) settle() {
	if !p.closing || p.pending > 0 {
		return
	}
	select {
	case <-p.idle:
	default:
		close(p.idle)
	}
}

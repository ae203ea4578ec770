package worker

import "slices"

// offsets is what one holder knows of one task partition: which records were
// delivered to it, which of them are finished, and from that the watermark that it
// may commit: every record below is finished, its result acknowledged.
//
// Records finish in any order. Offsets have gaps (transaction markers), so the
// watermark moves along delivered records and never along numbers. It is not safe
// for concurrent use; partition guards it.
type offsets struct {
	// start is the committed offset from which this holder reads; -1: none was
	// committed, the first delivered record tells.
	start int64
	// prior is what the last holder's commit said.
	prior progress

	last  int64 // last delivered offset; start-1 before the first
	epoch int32 // its leader epoch

	// entries are the delivered records from the first unfinished one on, ascending
	// by offset; entries[0] has the number first. Only the first may be finished for
	// the time of a call.
	entries []entry
	first   uint64
	open    int   // entries that are not finished
	bytes   int64 // their payloads
}

// entry is one delivered record.
type entry struct {
	offset int64
	size   int32
	starts uint32 // times it was started, this holder's included; 0: not yet
	prior  uint32 // the same without this holder's
	done   bool
}

// delivery says what a delivered record is to this holder.
type delivery uint8

const (
	// deliveryFresh: no holder has started it.
	deliveryFresh delivery = iota
	// deliverySuspect: a former holder may have started it and did not finish it.
	deliverySuspect
	// deliveryFinished: a former holder finished it; it is not started again (W3).
	deliveryFinished
	// deliveryRepeated: this holder has it already; it is dropped (P6).
	deliveryRepeated
)

// newOffsets begins at a committed offset with its metadata's progress.
func newOffsets(start int64, prior progress) *offsets {
	o := &offsets{start: start, prior: prior, last: start - 1, epoch: -1}
	if start < 0 {
		o.last, o.prior = -1, progress{}
	}
	return o
}

// deliver notes the next record. The number names it in finish. A record that is
// not ahead of the last one is a repetition, unless its leader epoch went forward:
// then Kafka lost the log's end and wrote other records there (P6), and rewound
// tells that all numbers given before are void.
func (o *offsets) deliver(offset int64, epoch int32, size int) (no uint64, what delivery, rewound bool) {
	if offset <= o.last {
		if epoch <= o.epoch {
			return 0, deliveryRepeated, false
		}
		o.rewind(offset)
		rewound = true
	}
	o.last, o.epoch = offset, max(o.epoch, epoch)
	e := entry{offset: offset, size: int32(size), prior: o.priorStarts(offset)}
	switch {
	case contains(o.prior.Finished, offset):
		e.done, what = true, deliveryFinished
	case e.prior > 0:
		what = deliverySuspect
	}
	no = o.first + uint64(len(o.entries))
	o.entries = append(o.entries, e)
	if e.done {
		o.trim()
	} else {
		o.open++
		o.bytes += int64(size)
	}
	return no, what, rewound
}

// rewind forgets everything from offset on, also what the last holder said.
func (o *offsets) rewind(offset int64) {
	o.first += uint64(len(o.entries))
	o.entries, o.open, o.bytes = nil, 0, 0
	o.start, o.prior = offset, progress{Announced: offset}
}

// priorStarts is how often former holders may have started the record.
func (o *offsets) priorStarts(offset int64) uint32 {
	i, found := slices.BinarySearchFunc(o.prior.Starts, offset, func(c startCount, off int64) int {
		switch {
		case c.Offset < off:
			return -1
		case c.Offset > off:
			return 1
		}
		return 0
	})
	switch {
	case found:
		return o.prior.Starts[i].Starts
	case offset < o.prior.Announced:
		return 1
	}
	return 0
}

// at gives the entry of a number; nil if it is finished and gone, or void.
func (o *offsets) at(no uint64) *entry {
	if no < o.first || no-o.first >= uint64(len(o.entries)) {
		return nil
	}
	return &o.entries[no-o.first]
}

// started notes that the record is about to be started.
func (o *offsets) started(no uint64) {
	if e := o.at(no); e != nil {
		e.starts = e.prior + 1
	}
}

// finish notes that the record's result is acknowledged. Again is harmless.
func (o *offsets) finish(no uint64) {
	e := o.at(no)
	if e == nil || e.done {
		return
	}
	e.done = true
	o.open--
	o.bytes -= int64(e.size)
	o.trim()
}

// trim drops the finished records at the front.
func (o *offsets) trim() {
	n := 0
	for n < len(o.entries) && o.entries[n].done {
		n++
	}
	o.first += uint64(n)
	o.entries = o.entries[n:]
	if len(o.entries) == 0 {
		o.entries = nil // lets the grown array go
	}
}

// watermark is the offset to commit; -1 before anything is known.
func (o *offsets) watermark() int64 {
	switch {
	case len(o.entries) > 0:
		return o.entries[0].offset
	case o.last < o.start || o.last < 0:
		return o.start
	}
	return o.last + 1
}

// progress is what a commit at the watermark has to say beside it. announced is
// the offset up to which records may be started once the commit is there. If the
// holder leaves cleanly, no call of his is left that could have killed him: his
// own starts do not count, and nothing is announced.
func (o *offsets) progress(announced int64, clean bool) progress {
	watermark := o.watermark()
	p := progress{Announced: watermark}
	if !clean {
		p.Announced = max(watermark, announced)
	}
	for i := range o.entries {
		e := &o.entries[i]
		if e.done {
			p.Finished = appendSpan(p.Finished, o.spanAt(i))
			continue
		}
		n := max(e.starts, e.prior)
		if clean {
			n = e.prior
		}
		switch {
		case n >= 2:
			p.Starts = append(p.Starts, startCount{e.offset, n})
		case e.prior == 1: // told by lying below what is announced
			p.Announced = max(p.Announced, e.offset+1)
		}
	}
	// What the last holder finished or counted and nobody delivered to us yet.
	for _, s := range o.prior.Finished {
		if s.To > o.last+1 && s.To > watermark {
			p.Finished = appendSpan(p.Finished, span{max(s.From, o.last+1, watermark), s.To})
		}
	}
	for _, c := range o.prior.Starts {
		if c.Offset > o.last && c.Offset >= watermark {
			p.Starts = append(p.Starts, c)
		}
	}
	if o.last+1 < o.prior.Announced {
		p.Announced = max(p.Announced, o.prior.Announced)
	}
	return p
}

// spanAt is the span of a finished entry. It reaches up to the next delivered
// record: what lies between is no record, and so neighbours make one span.
func (o *offsets) spanAt(i int) span {
	e := o.entries[i]
	if i+1 < len(o.entries) {
		return span{e.offset, o.entries[i+1].offset}
	}
	return span{e.offset, e.offset + 1}
}

// appendSpan appends and merges what is adjacent.
func appendSpan(spans []span, s span) []span {
	if n := len(spans); n > 0 && spans[n-1].To >= s.From {
		spans[n-1].To = max(spans[n-1].To, s.To)
		return spans
	}
	return append(spans, s)
}

package worker

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// offsetsModel is the naive side of TestOffsetsAgreeWithModel: one task partition,
// its records, what is finished, and what the last commit said, in plain sets.
type offsetsModel struct {
	log      []int64          // offsets of records, with gaps
	finished map[int64]bool   // result acknowledged, whoever did it
	starts   map[int64]uint32 // starts whose holder crashed before they finished

	watermark int64 // of the last commit; -1: none
	metadata  string
	carried   map[int64]bool // finished when the last commit was made
}

// holder is one consumer's life.
type modelHolder struct {
	o         *offsets
	next      int // index in log of the next record to deliver
	numbers   map[int64]uint64
	startable map[int64]bool // delivered, announced by a commit, not started
	started   map[int64]bool
	announced int64
	knows     map[int64]bool // finished, as this holder can know
}

// TestOffsetsAgreeWithModel drives holders that deliver, start, finish, commit,
// crash and leave in any order, and compares with sets. What it guards: a commit
// never passes an unfinished record, no unfinished record is ever skipped, no
// record that a commit carried as finished is started again (W3), and the counts
// of redelivered records are those of the crashed starts.
func TestOffsetsAgreeWithModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &offsetsModel{finished: map[int64]bool{}, starts: map[int64]uint32{}, carried: map[int64]bool{}, watermark: -1}
		at := int64(0)
		for range rapid.IntRange(1, 60).Draw(t, "records") {
			at += rapid.SampledFrom([]int64{1, 1, 1, 2, 3}).Draw(t, "gap")
			m.log = append(m.log, at)
		}
		h := m.begin(t)
		actions := []string{"deliver", "deliver", "deliver", "start", "start", "start", "finish", "finish", "commit", "commit", "repeat", "crash", "leave"}
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			switch rapid.SampledFrom(actions).Draw(t, "action") {
			case "deliver":
				m.deliver(t, h)
			case "repeat":
				m.repeat(t, h)
			case "start":
				m.start(t, h)
			case "finish":
				m.finish(t, h)
			case "commit":
				m.commit(t, h, false)
			case "crash":
				for o := range h.started {
					m.starts[o]++
				}
				h = m.begin(t)
			case "leave":
				m.commit(t, h, true)
				h = m.begin(t)
			}
			m.check(t, h)
		}
	})
}

func (m *offsetsModel) begin(t *rapid.T) *modelHolder {
	p, err := decodeProgress(m.watermark, m.metadata)
	if err != nil {
		t.Fatalf("our own metadata: %v", err)
	}
	h := &modelHolder{o: newOffsets(m.watermark, p), numbers: map[int64]uint64{}, startable: map[int64]bool{}, started: map[int64]bool{}, knows: maps.Clone(m.carried), announced: m.watermark}
	for h.next < len(m.log) && m.log[h.next] < m.watermark {
		h.next++
	}
	return h
}

func (m *offsetsModel) deliver(t *rapid.T, h *modelHolder) {
	if h.next == len(m.log) {
		return
	}
	off := m.log[h.next]
	h.next++
	no, what, rewound := h.o.deliver(off, 3, 1)
	if rewound {
		t.Fatalf("offset %d: rewound", off)
	}
	h.numbers[off] = no
	switch what {
	case deliveryRepeated:
		t.Fatalf("offset %d: first delivery taken as a repetition", off)
	case deliveryFinished:
		if !m.finished[off] {
			t.Fatalf("offset %d is skipped and was never finished: its task is lost", off)
		}
	default:
		if m.carried[off] {
			t.Fatalf("offset %d was carried as finished by the last commit and is to be started again", off)
		}
		if want := m.starts[off]; want > 0 && h.o.at(no).prior < want {
			t.Fatalf("offset %d was started %d times by holders that crashed, counted %d", off, want, h.o.at(no).prior)
		}
		if what == deliveryFresh && m.starts[off] > 0 {
			t.Fatalf("offset %d is called fresh after %d starts", off, m.starts[off])
		}
	}
}

func (m *offsetsModel) repeat(t *rapid.T, h *modelHolder) {
	if h.o.last < max(h.o.start, 0) {
		return
	}
	off := rapid.Int64Range(max(h.o.start, 0), h.o.last).Draw(t, "old")
	if _, what, _ := h.o.deliver(off, 3, 1); len(h.numbers) > 0 && what != deliveryRepeated {
		t.Fatalf("offset %d delivered again is %d", off, what)
	}
}

func (m *offsetsModel) start(t *rapid.T, h *modelHolder) {
	off, ok := pick(t, h.startable)
	if !ok {
		return
	}
	delete(h.startable, off)
	h.started[off] = true
	h.o.started(h.numbers[off])
}

func (m *offsetsModel) finish(t *rapid.T, h *modelHolder) {
	off, ok := pick(t, h.started)
	if !ok {
		return
	}
	delete(h.started, off)
	m.finished[off], h.knows[off] = true, true
	h.o.finish(h.numbers[off])
	h.o.finish(h.numbers[off]) // again is harmless
}

// commit writes what offsets says and reads it back as the next holder would.
func (m *offsetsModel) commit(t *rapid.T, h *modelHolder, clean bool) {
	if h.o.watermark() < 0 {
		return
	}
	// All delivered records are about to be started, so their starts are announced.
	var next []int64
	for off, no := range h.numbers {
		if e := h.o.at(no); !clean && e != nil && !e.done && !h.started[off] && !h.startable[off] {
			next = append(next, off)
			h.o.started(no)
		}
	}
	h.announced = max(h.announced, h.o.last+1+rapid.Int64Range(0, 5).Draw(t, "ahead"))
	m.watermark = h.o.watermark()
	var size int
	m.metadata, size = encodeProgress(m.watermark, h.o.progress(h.announced, clean))
	if len(m.metadata) > metadataBytesMax || size > metadataRawMax {
		t.Fatalf("metadata of %d records has %d bytes", len(m.log), len(m.metadata))
	}
	for _, off := range next {
		h.startable[off] = true
	}
	m.carried = maps.Clone(h.knows)
}

func (m *offsetsModel) check(t *rapid.T, h *modelHolder) {
	w := h.o.watermark()
	open := 0
	for i, off := range m.log {
		if off < w && !m.finished[off] {
			t.Fatalf("watermark %d passes the unfinished record %d", w, off)
		}
		if off >= h.o.start && i < h.next && !h.knows[off] {
			open++
		}
	}
	if open != h.o.open || int64(open) != h.o.bytes {
		t.Fatalf("%d records of a byte are open, offsets counts %d of %d bytes", open, h.o.open, h.o.bytes)
	}
	if len(h.o.entries) > 0 && h.o.entries[0].done {
		t.Fatal("the first entry is finished")
	}
}

// pick draws one of the keys; false if there is none.
func pick(t *rapid.T, set map[int64]bool) (int64, bool) {
	if len(set) == 0 {
		return 0, false
	}
	keys := make([]int64, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return rapid.SampledFrom(keys).Draw(t, "offset"), true
}

// TestRecordsAfterALostLogEndAreNotRepetitions shows P6: a lower offset counts as
// new only if its leader epoch went forward.
func TestRecordsAfterALostLogEndAreNotRepetitions(t *testing.T) {
	t.Parallel()
	o := newOffsets(10, progress{Announced: 10})
	a, _, _ := o.deliver(10, 1, 0)
	b, _, _ := o.deliver(11, 1, 0)
	if _, what, _ := o.deliver(10, 1, 0); what != deliveryRepeated {
		t.Fatalf("same epoch: %d, want a repetition", what)
	}
	no, what, rewound := o.deliver(10, 2, 0)
	if what != deliveryFresh || !rewound {
		t.Fatalf("later epoch: %d rewound=%v, want a fresh record", what, rewound)
	}
	o.finish(a)
	o.finish(b)
	if w := o.watermark(); w != 10 {
		t.Fatalf("numbers from before the rewind moved the watermark to %d", w)
	}
	o.finish(no)
	if w := o.watermark(); w != 11 {
		t.Fatalf("watermark %d, want 11", w)
	}
}

// TestMetadataThatDoesNotFitKeepsTheNearest: a commit never fails for its size;
// what is cut is run again.
func TestMetadataThatDoesNotFitKeepsTheNearest(t *testing.T) {
	t.Parallel()
	var p progress
	for i := range int64(5000) {
		p.Finished = append(p.Finished, span{1_000_001 + 2*i, 1_000_002 + 2*i})
	}
	p.Announced = 1_020_000
	s, size := encodeProgress(1_000_000, p)
	if len(s) > metadataBytesMax {
		t.Fatalf("%d bytes", len(s))
	}
	if size <= metadataRawMax {
		t.Fatalf("size %d does not tell that it did not fit in %d", size, metadataRawMax)
	}
	got, err := decodeProgress(1_000_000, s)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got.Finished); n < 1000 || !slices.Equal(got.Finished, p.Finished[:n]) {
		t.Fatalf("%d spans are not the nearest ones", n)
	}
}

// FuzzDecodeProgress: metadata is untrusted; decoding never panics, never makes
// more than the input holds, and what it accepts survives a round trip.
func FuzzDecodeProgress(f *testing.F) {
	s, _ := encodeProgress(7, progress{Finished: []span{{9, 12}, {20, 21}}, Announced: 40, Starts: []startCount{{7, 2}, {30, 3}}})
	f.Add(int64(7), s)
	f.Add(int64(0), "od1.")
	f.Add(int64(-1), "od1.AAAA")
	f.Add(int64(3), "kgo-member-id")
	f.Fuzz(func(t *testing.T, watermark int64, metadata string) {
		watermark = max(watermark, 0)
		p, err := decodeProgress(watermark, metadata)
		if err != nil {
			if len(p.Finished)+len(p.Starts) > 0 {
				t.Fatal("damaged metadata gave progress")
			}
			return
		}
		last := watermark
		for i, s := range p.Finished {
			if s.From < last || s.To <= s.From || i > 0 && s.From == last {
				t.Fatalf("span %v after offset %d", s, last)
			}
			last = s.To
		}
		again, _ := encodeProgress(watermark, p)
		q, err := decodeProgress(watermark, again)
		if err != nil || !slices.Equal(p.Finished, q.Finished) || !slices.Equal(p.Starts, q.Starts) || p.Announced != q.Announced {
			t.Fatalf("round trip: %v %v %v", p, q, err)
		}
	})
}

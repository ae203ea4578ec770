package replay

import (
	"slices"

	"github.com/odradek/odradek/record"
)

// signal is a buffered signal.
type signal struct {
	no      uint64 // of its SignalReceived
	payload []byte
}

// mailbox buffers the signals of one name in the order in which they came.
type mailbox struct {
	name    string
	signals []signal
	head    int // of the oldest; those before it are taken
}

func (b *mailbox) put(s signal) { b.signals = append(b.signals, s) }

// take gives the oldest signal. Its place is freed when at least half are taken, so
// that a long buffer costs no copy each time.
func (b *mailbox) take() signal {
	s := b.signals[b.head]
	b.signals[b.head] = signal{}
	if b.head++; 2*b.head >= len(b.signals) {
		b.signals = append(b.signals[:0], b.signals[b.head:]...)
		b.head = 0
	}
	return s
}

// takeWhere gives the oldest signal that fits.
func (b *mailbox) takeWhere(fits func(payload []byte) bool) (signal, bool) {
	for i := b.head; i < len(b.signals); i++ {
		if s := b.signals[i]; fits(s.payload) {
			b.signals = slices.Delete(b.signals, i, i+1)
			return s, true
		}
	}
	return signal{}, false
}

// last is the number of the newest; 0: there is none.
func (b *mailbox) last() uint64 {
	if b.empty() {
		return 0
	}
	return b.signals[len(b.signals)-1].no
}

func (b *mailbox) empty() bool { return b.head == len(b.signals) }

// box gives the mailbox of a name, made when first asked for. A type has few names.
func (h *host) box(name string) *mailbox {
	for i := range h.boxes {
		if h.boxes[i].name == name {
			return &h.boxes[i]
		}
	}
	h.boxes = append(h.boxes, mailbox{name: name})
	return &h.boxes[len(h.boxes)-1]
}

// HasSignal reports whether a signal of that name is buffered.
func (h *host) HasSignal(name string) bool { return !h.box(name).empty() }

// TakeSignal consumes the oldest signal of that name.
func (h *host) TakeSignal(name string) ([]byte, bool) {
	b := h.box(name)
	if b.empty() {
		return nil, false
	}
	s := b.take()
	h.decide(&record.SignalConsumed{Signal: s.no})
	return s.payload, true
}

// TakeSignalWhere consumes the oldest signal of that name that fits.
func (h *host) TakeSignalWhere(name string, fits func(payload []byte) bool) ([]byte, bool) {
	s, ok := h.box(name).takeWhere(fits)
	if !ok {
		return nil, false
	}
	h.decide(&record.SignalConsumed{Signal: s.no})
	return s.payload, true
}

// LastSignal is the number of the newest buffered signal of that name.
func (h *host) LastSignal(name string) uint64 { return h.box(name).last() }

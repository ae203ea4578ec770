package processor

import (
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/internal/fault"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

// A step that counts: the n-th input with a key writes n to the key's row and sends
// n as a task. Whatever a lane loses, doubles or reorders shows in the outputs.

// disk is what a machine keeps over a crash: a state, and what was written since
// without being synced, of which a crash keeps a prefix.
type disk struct {
	mu       sync.Mutex
	rng      *rand.Rand
	rows     map[string]string
	cp       record.Checkpoint
	found    bool
	unsynced []diskWrite
	opened   int
	damaged  bool // an open store says so once, and the next Open refuses it
	applyErr error
}

type diskWrite struct {
	rows []record.Row
	cp   record.Checkpoint
}

func newDisk(seed uint64) *disk {
	return &disk{rng: rand.New(rand.NewPCG(seed, 7)), rows: map[string]string{}}
}

func (d *disk) apply(w diskWrite) {
	for _, r := range w.rows {
		if r.Value == nil {
			delete(d.rows, string(r.Key))
		} else {
			d.rows[string(r.Key)] = string(r.Value)
		}
	}
	d.cp, d.found = w.cp, true
}

// crash loses a random part of what was not synced.
func (d *disk) crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.unsynced[:d.rng.IntN(len(d.unsynced)+1)] {
		d.apply(w)
	}
	d.unsynced, d.opened = nil, 0
}

func (d *disk) wipe() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows, d.unsynced, d.found, d.cp, d.damaged = map[string]string{}, nil, false, record.Checkpoint{}, false
}

func (d *disk) open() (Store, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.damaged {
		return nil, errRebuild{errors.New("damaged")}
	}
	d.opened++
	s := &memStore{disk: d, rows: maps.Clone(d.rows), cp: d.cp, found: d.found}
	for _, w := range d.unsynced {
		s.put(w)
	}
	return s, nil
}

// memStore is an open disk: it reads what it wrote.
type memStore struct {
	machine.View
	disk  *disk
	mu    sync.Mutex
	rows  map[string]string
	cp    record.Checkpoint
	found bool
	fault *fault.Injector
}

func (s *memStore) put(w diskWrite) {
	for _, r := range w.rows {
		if r.Value == nil {
			delete(s.rows, string(r.Key))
		} else {
			s.rows[string(r.Key)] = string(r.Value)
		}
	}
	s.cp, s.found = w.cp, true
}

func (s *memStore) get(key string) (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.rows[key]
	if !ok {
		return 0, false
	}
	return binary.BigEndian.Uint64([]byte(v)), true
}

func (s *memStore) Checkpoint() (record.Checkpoint, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cp, s.found, nil
}

func (s *memStore) Apply(rows []record.Row, cp record.Checkpoint) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if s.disk.applyErr != nil {
		return s.disk.applyErr
	}
	s.put(diskWrite{rows, cp})
	if s.fault.Off(fault.Checkpoint) { // the Checkpoint gets a write of its own, and another fate
		s.disk.unsynced = append(s.disk.unsynced, diskWrite{nil, cp})
	}
	s.disk.unsynced = append(s.disk.unsynced, diskWrite{rows, cp})
	if s.disk.rng.IntN(20) == 0 {
		for _, w := range s.disk.unsynced {
			s.disk.apply(w)
		}
		s.disk.unsynced = nil
	}
	return nil
}

func (s *memStore) Folder() Folder { return &memFolder{s: s, pos: s.cp.Inputs} }
func (s *memStore) Close() error {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	s.disk.opened--
	return nil
}

func (s *memStore) Load(string) (*machine.State, error) { return nil, nil }
func (s *memStore) Command(string, record.RunID, string) (record.CommandRow, bool, error) {
	return record.CommandRow{}, false, nil
}

type memFolder struct {
	s    *memStore
	rows []record.Row
	pos  record.Positions
}

func (f *memFolder) Fold(key, value []byte) error {
	if k, err := codec.DecodeKey(key); err == nil && k.Kind == codec.RowPositions {
		f.pos, err = codec.DecodePositions(value)
		return err
	}
	f.rows = append(f.rows, record.Row{Key: slices.Clone(key), Value: slices.Clone(value), Travels: true})
	return nil
}

func (f *memFolder) Position() record.Positions { return f.pos }

func (f *memFolder) Commit(cp record.Checkpoint) error {
	rows := f.rows
	f.rows = nil
	return f.s.Apply(rows, cp)
}

// counter is the Stepper.
type counter struct {
	store  *memStore
	open   *partition.Batch
	writes map[string]uint64
	flight []counted
	bytes  int

	poisonKey string // inputs with this key give an output that no broker takes
	badKey    string // inputs with this key give an output to a topic that is not there
	refused   map[string]bool
	dead      map[string]int
	crashKey  string // inputs with this key end the process
	hangKey   string
	hang      func(c *counter)
	turn      func() (uint64, record.RunID)
	abandon   func()
	condemned map[record.RunID]string
}

type counted struct {
	batch  *partition.Batch
	writes map[string]uint64
}

const counterService = "s"

func rowKey(key string) string { return "\x00\x01counter/" + key }

func (c *counter) Begin(now record.Millis) {
	c.open, c.writes, c.bytes = &partition.Batch{Now: now}, map[string]uint64{}, 0
}
func (c *counter) Claim() bool { return false }

func (c *counter) value(key string) uint64 {
	if v, ok := c.writes[key]; ok {
		return v
	}
	for i := len(c.flight) - 1; i >= 0; i-- { // the overlay (P8)
		if v, ok := c.flight[i].writes[key]; ok {
			return v
		}
	}
	v, _ := c.store.get(rowKey(key))
	return v
}

func (c *counter) Step(r *record.Record) error {
	key := string(r.Raw.Key)
	c.open.Counts.Inputs++
	run := runOf(key)
	if bad, ok := r.Body.(*record.Undecodable); ok && (bad.Code == "input_refused" || bad.Code == codeCrashed) {
		c.open.Counts.DeadLetters++
		if c.dead != nil {
			c.dead[key]++
		}
		return nil
	}
	if _, ok := c.condemned[run]; ok {
		c.open.Counts.Stuck++
		return nil
	}
	if key != "" && key == c.crashKey {
		return errCrashed{errTest}
	}
	if key == c.hangKey && c.hang != nil {
		c.hang(c)
	}
	v := c.value(key) + 1
	c.writes[key] = v
	value := binary.BigEndian.AppendUint64(nil, v)
	out := record.Output{Topic: record.TopicTasks, Service: counterService, Partition: int32(v % 3), Key: []byte(key), Value: value, Run: run, WorkflowID: key}
	switch {
	case key == c.poisonKey:
		out.Value = make([]byte, messageBytesMax+1)
	case key == c.badKey:
		if c.refused["missing"] {
			c.open.Counts.Stuck++
			delete(c.writes, key)
			return nil
		}
		out.Service, out.Partition = "missing", 0
	}
	c.open.Outputs = append(c.open.Outputs, out)
	c.bytes += len(out.Value) + len(key)
	if r.Body != nil {
		if b, ok := r.Body.(*record.Signal); ok && b.Reply {
			c.open.Replies = append(c.open.Replies, record.Reply{CommandID: b.CommandID, WorkflowID: key, Outcome: record.OutcomeApplied})
		}
	}
	return nil
}

func (c *counter) StepDue(int) (int, error) { return 0, nil }
func (c *counter) Query(string, string, []byte) (record.Answer, error) {
	return record.Answer{Outcome: record.OutcomeUnanswered}, nil
}
func (c *counter) NextDue() (record.Millis, bool, error) { return 0, false, nil }
func (c *counter) Size() (int, int)                      { return c.open.Counts.Inputs, c.bytes }

func (c *counter) Finish() *partition.Batch {
	b := c.open
	c.open = nil
	if b.Counts.Inputs == 0 {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(c.writes)) {
		b.Rows = append(b.Rows, record.Row{Key: []byte(rowKey(key)), Value: binary.BigEndian.AppendUint64(nil, c.writes[key]), Travels: true})
	}
	c.flight = append(c.flight, counted{b, c.writes})
	return b
}

func (c *counter) Settled(b *partition.Batch) {
	if len(c.flight) == 0 || c.flight[0].batch != b {
		panic("batches settle in order")
	}
	c.flight = c.flight[1:]
}

func (c *counter) Undeliverable(_ record.Topic, service, _, _ string) {
	if c.refused == nil {
		c.refused = map[string]bool{}
	}
	c.refused[service] = true
}

func (c *counter) SetActive(map[string]topology.Active) {}

func (c *counter) Condemn(run record.RunID, code, _ string) {
	if c.condemned == nil {
		c.condemned = map[record.RunID]string{}
	}
	c.condemned[run] = code
}

func (c *counter) Progress() (uint64, record.RunID) {
	if c.turn == nil {
		return 0, record.RunID{}
	}
	return c.turn()
}

func (c *counter) Abandon() {
	if c.abandon != nil {
		c.abandon()
	}
}
func (c *counter) Close()             {}
func (c *counter) Rest(record.Millis) {}

func runOf(key string) record.RunID {
	var id record.RunID
	copy(id[:], key)
	return id
}

// stepperWith changes each counter that is made.
func stepperWith(make func(int32, machine.View) (Stepper, error), change func(*counter)) func(int32, machine.View) (Stepper, error) {
	return func(p int32, view machine.View) (Stepper, error) {
		s, err := make(p, view)
		if err == nil {
			change(s.(*counter))
		}
		return s, err
	}
}

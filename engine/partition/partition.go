package partition

import (
	"fmt"
	"log/slog"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflow"
)

// Config of a Partition. The zero value of a field is its default.
type Config struct {
	Partition int32
	Namespace string
	// Table says where slots are that are not ours: a hint (S1).
	Table *topology.Table
	// Services are the task topics: partitions M of each service (W2).
	Services map[string]int32
	// Publish are the topics of the user's that workflows may publish to, with their
	// partitions.
	Publish map[string]int32
	// Definitions are the workflow types that the binary has.
	Definitions []workflow.Definition
	// RefuseUnknownTypes makes a start of an unknown type a rejection; by default its
	// run waits without code (S3).
	RefuseUnknownTypes bool
	// CacheRuns is how many runs stay in memory between batches: about 1.7 KB each, and
	// 5 KB more for the code of those that have not waited for long. Default 20000;
	// negative: none, each input replays its run.
	CacheRuns int
	// Build names the binary: a stuck run is tried again by another one (S3).
	Build string
	// RetentionCompleted is how long the chunks of a completed run are kept (F4).
	// Default 7 days. Those of other runs are kept as long as the summary.
	RetentionCompleted time.Duration
	// RetentionSummary is how long a closed workflow stays known (F4). Default 30 days.
	RetentionSummary time.Duration
	// Logger gets what author code logs. Default: nothing.
	Logger *slog.Logger
}

// WithDefaults fills what is zero.
func (c Config) WithDefaults() Config {
	if c.CacheRuns == 0 {
		c.CacheRuns = 20_000
	}
	if c.RetentionCompleted == 0 {
		c.RetentionCompleted = 7 * 24 * time.Hour
	}
	if c.RetentionSummary == 0 {
		c.RetentionSummary = 30 * 24 * time.Hour
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Partition is the step of one partition. All methods but Progress and Abandon
// are for one goroutine.
type Partition struct {
	active    map[string]topology.Active // task partitions by service (SetActive)
	cfg       Config
	view      machine.View
	types     map[string][]workflow.Definition // ascending by version
	cache     cache
	past      []*entry // runs that are not current, until settled
	due       dueQueue
	owned     [topology.Slots / 8]byte
	ownership record.OwnershipRow
	dlRows    int64 // dead-letter rows and their bytes (F7)
	dlBytes   int64
	dlNoted   map[deadLetterAt]noted    // by batches in flight
	typeRows  map[string]record.TypeRow // types that were ever paused

	undeliverable map[target]refusedUntil
	condemned     map[record.RunID]machine.Refusal

	now     record.Millis
	seq     uint64 // of the open batch
	settled uint64 // of the last settled batch
	flight  []*Batch
	batch   *Batch
	touched []*entry
	rows    rowWriter

	turns     uint64
	turn      atomic.Uint64 // number of the turn under way; 0: none
	turnRun   atomic.Pointer[record.RunID]
	abandoned atomic.Bool
}

type target struct {
	topic   record.Topic
	service string
}

type refusedUntil struct {
	machine.Refusal
	until record.Millis
}

// Batch is what the steps of one transaction want.
type Batch struct {
	// Rows in the order in which they are written. Those that travel go to the
	// changelog, followed by the lane's positions row; all go into the store.
	Rows    []record.Row
	Outputs []record.Output
	Replies []record.Reply
	// Locals are the local tasks that are carried out once the batch has settled;
	// LocalEnds those that nobody waits for any more.
	Locals    []Local
	LocalEnds []record.TaskID
	// Answered are the updates that this batch answered, as UpdateKey names them.
	Answered []string
	// Closed are the runs that this batch closed.
	Closed []ClosedRun
	Counts Counts
	Now    record.Millis

	seq   uint64
	bytes int
	// Until settled (S-1):
	written  map[chunkKey][]record.HistoryEvent // chunks
	commands map[record.RunID][]string          // command IDs that became history
	closing  []*entry
}

// ClosedRun names a run that a batch closed.
type ClosedRun struct {
	WorkflowID string
	Type       string
	Run        record.RunID
	Status     record.Status
}

// Counts of a batch, for metrics.
type Counts struct {
	Inputs, Turns, Events           int
	Started, Closed, Stuck          int
	Tasks, Retries, Timers          int
	Forwarded, DeadLetters, Replays int
	HashMismatches                  int
	Ignored                         map[string]int // by reason
	Lost                            map[string]int // attempts, by service (W4)
	RunsCached                      int
}

type chunkKey struct {
	run record.RunID
	no  uint32
}

// New makes the step of a partition whose settled rows are in view.
func New(cfg Config, view machine.View) (*Partition, error) {
	cfg = cfg.WithDefaults()
	p := &Partition{
		cfg: cfg, view: view,
		types:         map[string][]workflow.Definition{},
		undeliverable: map[target]refusedUntil{},
		condemned:     map[record.RunID]machine.Refusal{},
	}
	for _, d := range cfg.Definitions {
		p.types[d.Type()] = append(p.types[d.Type()], d)
	}
	for _, typ := range slices.Sorted(maps.Keys(p.types)) {
		ds := p.types[typ]
		slices.SortFunc(ds, func(a, b workflow.Definition) int { return int(a.Version()) - int(b.Version()) })
		for i := 1; i < len(ds); i++ {
			if ds[i].Version() == ds[i-1].Version() {
				return nil, fmt.Errorf("workflow type %q has version %d twice: give each definition a version of its own", typ, ds[i].Version())
			}
		}
	}
	p.rows.p = p
	if err := p.recall(); err != nil {
		return nil, err
	}
	return p, nil
}

// recall reads what is kept in memory from the store.
func (p *Partition) recall() error {
	p.cache.reset()
	p.past, p.dlNoted = nil, nil
	row, _, err := p.view.Ownership()
	if err != nil {
		return fmt.Errorf("read the slots of partition %d: %w", p.cfg.Partition, err)
	}
	p.setOwnership(row)
	if p.dlRows, p.dlBytes, err = p.view.DeadLetters(); err != nil {
		return fmt.Errorf("count the dead letters of partition %d: %w", p.cfg.Partition, err)
	}
	if err := p.recallTypes(); err != nil {
		return err
	}
	// What stands at the end of the due index waits for another build, which this one may
	// be (S3), for a type that was resumed meanwhile, or for a takeover.
	p.due.wakeAll(record.Due{At: record.Never - 1}, math.MaxUint8)
	return nil
}

func (p *Partition) setOwnership(row record.OwnershipRow) {
	p.ownership = row
	clear(p.owned[:])
	for _, r := range row.Owned {
		for s := int(r.First); s <= int(r.Last); s++ {
			p.owned[s>>3] |= 1 << (s & 7)
		}
	}
}

// Claim writes the partition's slots as the table has them: once, at its first
// start (S1). The open batch carries the row. It reports whether it was needed.
func (p *Partition) Claim() bool {
	if len(p.ownership.Owned) > 0 || len(p.ownership.Moved) > 0 {
		return false
	}
	row := p.cfg.Table.Ownership(p.cfg.Partition)
	p.setOwnership(row)
	p.rows.PutOwnership(&row)
	return true
}

// Begin opens a batch at the given time; it never goes back (T2).
func (p *Partition) Begin(now record.Millis) {
	p.now = max(p.now, now)
	p.seq++
	p.batch = &Batch{seq: p.seq, Now: p.now}
	p.rows.Reset()
}

// Size of the open batch: inputs, and an estimate of the bytes that it writes.
func (p *Partition) Size() (inputs, bytes int) { return p.batch.Counts.Inputs, p.batch.bytes }

// Finish closes the batch. Nil: there is nothing to write.
func (p *Partition) Finish() *Batch {
	b := p.batch
	p.batch = nil
	for _, e := range p.touched {
		p.finishRun(b, e)
	}
	p.touched = p.touched[:0]
	b.Rows = append(b.Rows, p.rows.Rows...)
	if len(b.Rows) == 0 && len(b.Outputs) == 0 && b.Counts.Inputs == 0 {
		p.seq--
		return nil
	}
	b.Counts.RunsCached = p.cache.len()
	p.flight = append(p.flight, b)
	return b
}

// finishRun encodes what the batch did to one run.
func (p *Partition) finishRun(b *Batch, e *entry) {
	for _, c := range e.chunks {
		p.rows.PutChunk(&e.state.Run, c.no, c.events)
		if b.written == nil {
			b.written = map[chunkKey][]record.HistoryEvent{}
		}
		b.written[chunkKey{e.state.Run.Run, c.no}] = c.events
	}
	e.chunks = e.chunks[:0]
	e.state.Flush(&p.rows)
	e.touched = false
	p.cache.settle(e, p.seq)
}

// Rest leaves the code of runs that have waited for long, between batches: their next
// input replays it.
func (p *Partition) Rest(now record.Millis) { p.cache.rest(max(p.now, now)) }

// Settled says that the store has the batch. Batches settle in order.
func (p *Partition) Settled(b *Batch) {
	if len(p.flight) == 0 || p.flight[0] != b {
		panic("partition: batches settle in order")
	}
	p.flight = slices.Delete(p.flight, 0, 1)
	p.settled = b.seq
	p.deadLettersSettled()
	for _, e := range b.closing {
		if e.pinned <= p.settled && !e.touched {
			p.cache.remove(e)
		}
	}
	p.past = slices.DeleteFunc(p.past, func(e *entry) bool {
		done := e.pinned <= p.settled && !e.touched
		if done {
			e.drop()
		}
		return done
	})
	b.written, b.commands, b.closing = nil, nil, nil
	p.due.settled(p.settled)
	p.cache.evict(p.cfg.CacheRuns, p.settled)
}

// Close leaves author code. The Partition is not used afterwards.
func (p *Partition) Close() {
	p.cache.reset()
	p.touched = nil
}

// undeliverableFor is how long a target counts as undeliverable: then a stuck
// run's next try finds out anew.
const undeliverableFor = 30 * time.Second

// Undeliverable says that records cannot be written to a topic: from now on an
// output there makes its run stuck (P5). The batch that had it was discarded.
func (p *Partition) Undeliverable(topic record.Topic, service, code, detail string) {
	p.undeliverable[target{topic, service}] = refusedUntil{machine.Refusal{Code: code, Detail: detail}, p.now.Add(undeliverableFor)}
}

// SetActive says how many task partitions of each service get new tasks, where not all do
// (W2), from the next batch on. The map is not changed afterwards.
func (p *Partition) SetActive(active map[string]topology.Active) { p.active = active }

// Condemn says that a run's code hung: it becomes stuck at its next input (C2).
func (p *Partition) Condemn(run record.RunID, code, detail string) {
	p.condemned[run] = machine.Refusal{Code: code, Detail: detail}
}

// Progress names the turn under way, for the watchdog: its number, which is never
// used twice, and its run. Zero: no author code runs. Any goroutine may call it.
func (p *Partition) Progress() (turn uint64, run record.RunID) {
	turn = p.turn.Load()
	if r := p.turnRun.Load(); r != nil {
		run = *r
	}
	return turn, run
}

// Abandon gives up the goroutine that hangs in author code: when it comes back it
// exits through runtime.Goexit and touches nothing (C3). The Partition is not
// used afterwards, and not closed. Any goroutine may call it.
func (p *Partition) Abandon() { p.abandoned.Store(true) }

// afterSwitch runs each time author code has given control back.
func (p *Partition) afterSwitch() {
	if p.abandoned.Load() {
		runtime.Goexit()
	}
}

// definition finds the code of a run: its version, or the highest for version 0.
func (p *Partition) definition(typ string, version uint32) (workflow.Definition, bool) {
	ds := p.types[typ]
	if len(ds) == 0 {
		return workflow.Definition{}, false
	}
	if version == 0 {
		return ds[len(ds)-1], true
	}
	for _, d := range ds {
		if d.Version() == version {
			return d, true
		}
	}
	return workflow.Definition{}, false
}

// rowWriter encodes rows and lets the due queue see what becomes due.
type rowWriter struct {
	codec.RowEncoder
	p *Partition
}

// PutDue also tells the due queue.
func (w *rowWriter) PutDue(d record.Due) {
	w.RowEncoder.PutDue(d)
	w.p.due.add(d, w.p.seq)
}

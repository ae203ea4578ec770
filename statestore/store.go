package statestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/internal/fault"
	"github.com/odradek/odradek/record"
)

// Config of a Store. Zero values are defaults.
type Config struct {
	// Dir is the store's own directory. It is made if it is not there, 0700.
	Dir string
	// Cluster names the cluster and changelog that the rows come from, as the caller
	// likes to write it. A store that was made with another value is ErrForeign.
	Cluster string
	// Partition that the rows are of.
	Partition int32
	// CacheBytes is the block cache of this store alone, without the memtables that
	// Pebble reserves from it. Default 16 MB. Not used with Cache.
	CacheBytes int64
	// MemTableBytes is the size at which a memtable is flushed; up to four exist.
	// Default 4 MB: with a store per partition, N of them must fit into memory.
	MemTableBytes uint64
	// Cache is shared with other stores. Default: one of its own.
	Cache *Cache
	// DisableWAL leaves Pebble's log out: a killed process then loses what was not
	// flushed, of at most ten seconds, and reads it from Kafka again.
	DisableWAL bool
	// Logger gets what Pebble reports. Default: nothing.
	Logger *slog.Logger
	// FS is where the store lives. Default: the disk.
	FS vfs.FS
	// Exit ends the process after Pebble found that it cannot go on: a log or manifest
	// could not be written. It must not return. Default: os.Exit(1).
	Exit func(code int)
}

const memTableBytes = 4 << 20

func (c Config) withDefaults() Config {
	if c.CacheBytes == 0 {
		c.CacheBytes = 16 << 20
	}
	if c.MemTableBytes == 0 {
		c.MemTableBytes = memTableBytes
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.FS == nil {
		c.FS = privateFS{vfs.Default}
	}
	if c.Exit == nil {
		c.Exit = os.Exit
	}
	return c
}

// Store is the store of one partition. It implements machine.View.
type Store struct {
	dir  string
	fs   vfs.FS
	log  *slog.Logger
	db   *pebble.DB
	lock *pebble.Lock
	hold *holder
	own  *Cache // closed with the store; nil: shared

	shared *Cache // nil: own
	wal    bool

	events events

	// open is held by every call, so that Close waits for readers: Pebble does not
	// bear an iterator that outlives it.
	open    sync.RWMutex
	closed  bool // under open
	damaged atomic.Bool

	behind writeBehind

	// Of the goroutine that writes to Pebble:
	batches uint64 // number of the last batch of Pebble's, from 1
	scratch []byte

	settled atomic.Uint64 // batches since Open
}

var _ machine.View = (*Store)(nil)

// acquire is enter for readers: what was settled before is there.
func (s *Store) acquire() error {
	if err := s.enter(); err != nil {
		return err
	}
	if err := s.catchUp(); err != nil {
		s.release()
		return err
	}
	return nil
}

// acquireOf is acquire for what reads one workflow alone. Of a workflow that is not
// recent everything is in tables: nothing has to be written first, and no memtable to be
// asked. So the look of a start for a workflow that is not there costs what the filters
// of the tables cost.
func (s *Store) acquireOf(workflowID string) (reader, error) {
	if err := s.enter(); err != nil {
		return reader{}, err
	}
	r := reader{Reader: s.db, tables: !s.behind.isRecent(workflowID)}
	if r.tables {
		return r, nil
	}
	if err := s.catchUp(); err != nil {
		s.release()
		return reader{}, err
	}
	return r, nil
}

// enter keeps the store open until release; it fails on a closed one.
func (s *Store) enter() error {
	s.open.RLock()
	if s.closed {
		s.open.RUnlock()
		return fmt.Errorf("%w: %s", ErrClosed, s.dir)
	}
	return nil
}

func (s *Store) release() { s.open.RUnlock() }

// Close waits for readers and closes the store. It is idempotent.
func (s *Store) Close() error {
	s.open.Lock()
	defer s.open.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.behind.stop()
	var errs []error
	if err := s.write(); !s.damaged.Load() {
		errs = append(errs, err)
	}
	if !s.wal && !s.damaged.Load() {
		errs = append(errs, s.db.Flush())
	}
	errs = append(errs, s.closePebble())
	if !s.damaged.Load() {
		s.hold.remove()
	}
	errs = append(errs, s.lock.Close())
	if s.own != nil {
		s.own.Close()
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the store in %s: %w", s.dir, err)
	}
	return nil
}

func (s *Store) closePebble() error {
	err := s.db.Close()
	if s.shared != nil {
		s.shared.closed()
	}
	return err
}

// Checkpoint gives what the rows cover; false for a store that has never settled
// a batch.
func (s *Store) Checkpoint() (record.Checkpoint, bool, error) {
	if err := s.acquire(); err != nil {
		return record.Checkpoint{}, false, err
	}
	defer s.release()
	value, closer, err := s.db.Get(codec.AppendPartitionKey(nil, codec.RowCheckpoint))
	if errors.Is(err, pebble.ErrNotFound) {
		return record.Checkpoint{}, false, nil
	}
	if err != nil {
		return record.Checkpoint{}, false, s.wrap(err, "read the checkpoint")
	}
	defer closer.Close()
	cp, err := codec.DecodeCheckpoint(value)
	if err != nil {
		return record.Checkpoint{}, false, s.wrap(err, "read the checkpoint")
	}
	return cp, true, nil
}

func put(b *pebble.Batch, key, value []byte) error {
	if value == nil {
		return b.Delete(key, nil)
	}
	return b.Set(key, value, nil)
}

// commit adds what makes a batch of rows a batch of this store, and writes it.
func (s *Store) commit(b *pebble.Batch, cp record.Checkpoint) error {
	s.batches++
	mark := b
	if fault.Off(fault.Checkpoint) {
		mark = s.db.NewBatch()
		defer mark.Close()
	}
	if err := s.mark(mark, cp); err != nil {
		return s.wrap(err, "write the checkpoint")
	}
	if mark != b { // synced, so that a killed process shows what a lost power does
		if err := s.db.Apply(mark, pebble.Sync); err != nil {
			return s.wrap(err, "write the checkpoint")
		}
		fault.At(fault.BeforeSettle)
	}
	if err := s.db.Apply(b, pebble.NoSync); err != nil {
		return s.wrap(err, "write a batch of %d rows", b.Count())
	}
	return nil
}

// mark writes the Checkpoint, and the witness with the batch's number.
func (s *Store) mark(b *pebble.Batch, cp record.Checkpoint) error {
	key := codec.AppendPartitionKey(s.scratch[:0], codec.RowCheckpoint)
	n := len(key)
	s.scratch = codec.AppendCheckpoint(key, cp)
	if err := b.Set(s.scratch[:n], s.scratch[n:], nil); err != nil {
		return err
	}
	key = codec.AppendWitnessKey(s.scratch[:0], uint32(s.batches%witnesses))
	n = len(key)
	s.scratch = binary.BigEndian.AppendUint64(key, s.batches)
	return b.Set(s.scratch[:n], s.scratch[n:], nil)
}

// get reads one row into memory of the caller's; nil if it is not there.
func (s *Store) get(r pebble.Reader, key []byte) ([]byte, error) {
	value, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append(make([]byte, 0, len(value)), value...), nil
}

// visitFunc sees one row and says whether to go on. Key and value are valid during
// the call only.
type visitFunc func(key, value []byte) (bool, error)

// reader is the store, or a snapshot of it.
type reader struct {
	pebble.Reader
	tables bool // what is in memtables alone is not looked at by scans
}

func (r reader) iter(lower, upper []byte) (*pebble.Iterator, error) {
	// Most groups are in one table: a filter says in which also at the lowest level.
	return r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper, OnlyReadGuaranteedDurable: r.tables, UseL6Filters: true})
}

// scan calls visit for each row from lower to upper, upper not included, until it
// returns false.
func scan(r pebble.Reader, lower, upper []byte, visit visitFunc) error {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	return each(it, it.First(), visit)
}

// scanGroup is scan within the group of keys (codec.GroupLen) that lower is of: it
// reads no table whose filter does not know the group.
func scanGroup(r reader, lower, upper []byte, visit visitFunc) error {
	it, err := r.iter(lower, upper)
	if err != nil {
		return err
	}
	return each(it, it.SeekPrefixGE(lower), visit)
}

// each visits from where the iterator stands, and closes it.
func each(it *pebble.Iterator, ok bool, visit visitFunc) error {
	for ; ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err == nil {
			ok, err = visit(it.Key(), value)
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if !ok {
			return it.Close()
		}
	}
	return errors.Join(it.Error(), it.Close())
}

// after is the first key behind all that begin with prefix; nil: there is none.
func after(prefix []byte) []byte {
	end := append(make([]byte, 0, len(prefix)), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// Dump writes every row as hex, key and value, in the order of keys, one a line:
// two stores with equal rows have equal dumps (D3). Rows that only this store has
// are left out: its name, its Checkpoint, its witnesses.
func (s *Store) Dump(w io.Writer) error {
	if err := s.acquire(); err != nil {
		return err
	}
	defer s.release()
	return s.dump(w)
}

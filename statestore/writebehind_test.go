package statestore

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// life gives the rows of a run that begins and ends, in as many batches.
func life(id string, batches int) (rows [][]record.Row) {
	run := record.RunRow{WorkflowID: id, Run: record.DeriveRunID(id, record.Origin{}, 1), Type: "t", Chunks: 1, Events: 1, Status: record.StatusRunning}
	for i := range batches {
		var enc codec.RowEncoder
		enc.PutChunk(&run, uint32(i+1), []record.HistoryEvent{{No: uint64(i + 1), Body: &record.TaskScheduled{Service: "s"}}})
		enc.PutRun(&run)
		enc.PutTask(&run, &record.TaskRow{No: uint64(i + 1), Service: "s"})
		if i > 0 {
			enc.DeleteTask(&run, uint64(i))
		}
		if i == 0 {
			enc.PutListing(&run)
		}
		if i == batches-1 {
			enc.DeleteTask(&run, uint64(i+1))
			enc.DeleteListing(&run)
		}
		rows = append(rows, enc.Rows)
	}
	return rows
}

// TestWhatLivesShortlyIsNotWritten: of a run that began and ended between two writes its
// rows reach Pebble once, and no deletion does.
func TestWhatLivesShortlyIsNotWritten(t *testing.T) {
	t.Parallel()
	s := open(t, memConfig())
	defer s.Close()
	batches := life("w", 4)
	for i := range batches {
		if err := s.Apply(batches[i], record.Checkpoint{At: record.Millis(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.write(), s.db.Flush()); err != nil {
		t.Fatal(err)
	}
	levels, err := s.db.SSTables(pebble.WithProperties())
	if err != nil {
		t.Fatal(err)
	}
	var entries, deletions uint64
	for _, table := range slices.Concat(levels...) {
		entries += table.Properties.NumEntries
		deletions += table.Properties.NumDeletions
	}
	const want = 4 + 1 + 3 // chunks; the run row; name, Checkpoint and witness of the store
	if entries != want || deletions != 0 {
		t.Errorf("%d rows and %d deletions were written, want %d and none", entries, deletions, want)
	}
	if cp, ok, err := s.Checkpoint(); err != nil || !ok || cp.At != 3 {
		t.Errorf("the Checkpoint is %+v, %v, %v", cp, ok, err)
	}
}

// TestATickWritesAndFlushes: what waits is written; without a log it also comes to the
// disk when it has stood in memory for flushAfter, so that a killed process leaves a
// Checkpoint of no greater age.
func TestATickWritesAndFlushes(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	cfg := memConfig()
	cfg.FS, cfg.DisableWAL = fs, true
	s := open(t, cfg)
	defer s.Close()
	if err := s.Apply(life("w", 1)[0], record.Checkpoint{At: 7}); err != nil {
		t.Fatal(err)
	}
	s.tick()
	if _, closer, err := s.db.Get(codec.AppendPartitionKey(nil, codec.RowCheckpoint)); err != nil {
		t.Fatal("nothing was written: ", err)
	} else if err := closer.Close(); err != nil {
		t.Fatal(err)
	}
	left := func() record.Checkpoint {
		c := cfg
		c.FS = fs.CrashClone(vfs.CrashCloneCfg{})
		killed := open(t, c)
		defer killed.Close()
		cp, _, err := killed.Checkpoint()
		if err != nil {
			t.Fatal(err)
		}
		return cp
	}
	if cp := left(); cp.At != 0 {
		t.Fatalf("flushed early: %+v", cp)
	}
	s.behind.mu.Lock()
	s.behind.dirty = s.behind.dirty.Add(-flushAfter)
	s.behind.mu.Unlock()
	s.tick()
	if cp := left(); cp.At != 7 {
		t.Errorf("a killed process leaves the Checkpoint %+v", cp)
	}
}

// TestRowsDoNotWaitForAFlush: a tick that is due for a flush, in seconds, is called sooner
// for rows that have come since.
func TestRowsDoNotWaitForAFlush(t *testing.T) {
	t.Parallel()
	cfg := memConfig()
	cfg.DisableWAL = true
	s := open(t, cfg)
	defer s.Close()
	due := func() time.Duration {
		s.behind.mu.Lock()
		defer s.behind.mu.Unlock()
		return time.Until(s.behind.due)
	}
	for _, id := range []string{"a", "b"} {
		if err := s.Apply(life(id, 1)[0], record.Checkpoint{}); err != nil {
			t.Fatal(err)
		}
		if d := due(); d > writeAfter {
			t.Fatalf("rows of %s wait for %v, at most %v are meant", id, d, writeAfter)
		}
		s.tick()
		if d := due(); d <= writeAfter || d > flushAfter {
			t.Fatalf("what %s has in memory is flushed in %v, %v is meant", id, d, flushAfter)
		}
	}
}

// TestClosingWritesWhatWaits: with a log and without.
func TestClosingWritesWhatWaits(t *testing.T) {
	t.Parallel()
	for _, noWAL := range []bool{false, true} {
		cfg := memConfig()
		cfg.DisableWAL = noWAL
		s := open(t, cfg)
		if err := s.Apply(life("w", 1)[0], record.Checkpoint{At: 7}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, cfg)
		if cp, _, err := s.Checkpoint(); err != nil || cp.At != 7 {
			t.Errorf("log %v: the Checkpoint is %+v, %v", !noWAL, cp, err)
		}
		if state, err := s.Load("w"); err != nil || state == nil {
			t.Errorf("log %v: %v, %v", !noWAL, state, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMuchIsWrittenAtOnce: what waits is bounded by bytes.
func TestMuchIsWrittenAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t, memConfig())
	defer s.Close()
	s.behind.stop() // no timer
	value := make([]byte, 1<<20)
	for i := range waitBytes >> 20 {
		row := record.Row{Key: codec.AppendChunkKey(nil, "w", record.RunID{1}, uint32(i+1)), Value: value}
		if err := s.Apply([]record.Row{row}, record.Checkpoint{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.behind.bytes; n != 0 {
		t.Errorf("%d bytes wait", n)
	}
}

// slowFS lets no table be made once it is slow, until open is closed.
type slowFS struct {
	vfs.FS
	slow  atomic.Bool
	asked chan struct{}
	open  chan struct{}
}

func (f *slowFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if f.slow.Load() && strings.HasSuffix(name, ".sst") {
		select {
		case f.asked <- struct{}{}:
		default:
		}
		<-f.open
	}
	return f.FS.Create(name, c)
}

// TestAWriteDuringAFlushIsSeen: a flush that began before a write does not have it, so its
// end must not make the workflow one of tables alone.
func TestAWriteDuringAFlushIsSeen(t *testing.T) {
	t.Parallel()
	cfg := memConfig()
	fs := &slowFS{FS: cfg.FS, asked: make(chan struct{}, 1), open: make(chan struct{})}
	cfg.FS = fs
	s := open(t, cfg)
	defer s.Close()
	fs.slow.Store(true)
	settle := func(id string) {
		t.Helper()
		if err := errors.Join(s.Apply(life(id, 1)[0], record.Checkpoint{}), s.write()); err != nil {
			t.Fatal(err)
		}
	}
	settle("before")
	done, err := s.db.AsyncFlush()
	if err != nil {
		t.Fatal(err)
	}
	<-fs.asked
	settle("during")
	close(fs.open)
	<-done
	for _, id := range []string{"before", "during"} {
		if state, err := s.Load(id); err != nil || state == nil {
			t.Errorf("%s: %v, %v", id, state, err)
		}
	}
}

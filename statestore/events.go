package statestore

import (
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// events counts what Pebble reports.
type events struct {
	backgroundErrors atomic.Int64
	stalls           atomic.Int64
	slow             atomic.Int64
}

func (s *Store) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			s.events.backgroundErrors.Add(1)
			s.log.Error("store: flush or compaction failed, it is tried again", "error", err)
			if pebble.IsCorruptionError(err) {
				s.suspect(err.Error())
			}
		},
		DataCorruption: func(i pebble.DataCorruptionInfo) { s.suspect(i.String()) },
		FlushEnd: func(i pebble.FlushInfo) {
			if i.Err == nil {
				s.behind.flushed()
			}
		},
		DiskSlow: func(i pebble.DiskSlowInfo) {
			s.events.slow.Add(1)
			s.log.Warn("store: the disk is slow", "detail", i.String())
		},
		WriteStallBegin: func(i pebble.WriteStallBeginInfo) {
			s.events.stalls.Add(1)
			s.log.Warn("store: writes wait for the disk", "detail", i.String())
		},
		LowDiskSpace: func(i pebble.LowDiskSpaceInfo) {
			s.log.Warn("store: the disk is nearly full", "detail", i.String())
		},
	}
}

// suspect notes damage in the directory, once: the next Open refuses the store.
func (s *Store) suspect(why string) {
	if !s.damaged.CompareAndSwap(false, true) {
		return
	}
	s.log.Error("store: damaged, it is rebuilt from Kafka when it is opened next", "dir", s.dir, "detail", why)
	if err := writeFile(s.fs, s.fs.PathJoin(s.dir, suspectFile), []byte(why)); err != nil {
		s.log.Error("store: the damage could not be noted", "dir", s.dir, "error", err)
	}
}

// logger is Pebble's. Its Infof is silent: the listener says what matters.
type logger struct {
	s    *Store
	exit func(code int)
}

// Infof drops the message.
func (logger) Infof(string, ...any) {}

// Errorf logs the message.
func (l logger) Errorf(format string, args ...any) {
	l.s.log.Error("store: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// Fatalf ends the process: Pebble could not write its log or manifest and must not
// go on. The store is suspect, unless the disk is merely full: what is there then
// is a prefix like after any crash.
func (l logger) Fatalf(format string, args ...any) {
	why := fmt.Sprintf(format, args...)
	l.s.log.Error("store: fatal, the process exits", "dir", l.s.dir, "detail", why)
	if !strings.Contains(why, syscall.ENOSPC.Error()) {
		l.s.suspect(why)
	}
	l.exit(1)
	panic("statestore: Config.Exit returned after: " + why)
}

// Metrics of a store at one moment. Counters count from Open.
type Metrics struct {
	DiskBytes            uint64 // files, log included
	MemTableBytes        uint64
	LogBytesWritten      uint64 // counter
	FlushedBytes         uint64 // counter
	CompactedBytes       uint64 // counter
	CompactionDebtBytes  uint64
	Compactions          int64 // counter
	Flushes              int64 // counter
	L0Files, L0Sublevels int64
	ReadAmplification    int
	CacheBytes           int64
	CacheHits            int64 // counter
	CacheMisses          int64 // counter
	Tables               int64
	BackgroundErrors     int64  // counter
	WriteStalls          int64  // counter
	SlowDisk             int64  // counter
	Batches              uint64 // counter; settled
	Damaged              bool
	Uptime               time.Duration
}

// Metrics reads the store's metrics; zero for a closed store.
func (s *Store) Metrics() Metrics {
	if s.enter() != nil {
		return Metrics{}
	}
	defer s.release()
	m := s.db.Metrics()
	total := m.Total()
	return Metrics{
		DiskBytes: m.DiskSpaceUsage(), MemTableBytes: m.MemTable.Size,
		LogBytesWritten: m.WAL.BytesWritten, FlushedBytes: total.TableBytesFlushed, CompactedBytes: total.TableBytesCompacted,
		CompactionDebtBytes: m.Compact.EstimatedDebt, Compactions: m.Compact.Count, Flushes: m.Flush.Count,
		L0Files: m.Levels[0].TablesCount, L0Sublevels: int64(m.Levels[0].Sublevels), ReadAmplification: m.ReadAmp(),
		CacheBytes: m.BlockCache.Size, CacheHits: m.BlockCache.Hits, CacheMisses: m.BlockCache.Misses, Tables: total.TablesCount,
		BackgroundErrors: s.events.backgroundErrors.Load(), WriteStalls: s.events.stalls.Load(), SlowDisk: s.events.slow.Load(),
		Batches: s.settled.Load(), Damaged: s.damaged.Load(), Uptime: m.Uptime,
	}
}

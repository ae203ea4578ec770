package statestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/odradek/odradek/codec"
)

const (
	// storeFormat is the version of what only the store has: name, Checkpoint, witnesses.
	storeFormat = 1
	// foldVersion is the version of the fold that made the derived rows (F3). A store
	// of an older fold is ErrTooOld: it is rebuilt.
	foldVersion = 1
	// pebbleFormat is the version of Pebble's files that we write: pinned, so that a
	// new Pebble does not change it unasked.
	pebbleFormat = pebble.FormatValueSeparation
	// witnesses is the size of their ring: more batches than the logs of four
	// memtables of 16 MiB hold, at the thousand bytes and more that a batch has.
	witnesses = 65536
)

// Open opens the store, or makes an empty one, and checks whose it is and whether
// it is whole. It fails with ErrLocked, ErrForeign, ErrCorrupt, ErrTooOld or
// ErrFormatNewer; any other error is the machine's: permissions, space, descriptors.
func Open(cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.FS.MkdirAll(cfg.Dir, dirPerm); err != nil {
		return nil, fmt.Errorf("make the directory of the store: %w", err)
	}
	lock, err := pebble.LockDirectory(cfg.Dir, cfg.FS)
	if err != nil {
		return nil, lockError(cfg, err)
	}
	s := &Store{dir: cfg.Dir, fs: cfg.FS, log: cfg.Logger.With("partition", cfg.Partition), lock: lock, wal: !cfg.DisableWAL, behind: newWriteBehind()}
	if err := s.start(cfg); err != nil {
		if s.db != nil {
			err = errors.Join(err, s.closePebble())
		}
		if s.own != nil {
			s.own.Close()
		}
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// lockError tells a store that is in use from one that cannot be reached.
func lockError(cfg Config, err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return fmt.Errorf("lock the store in %s: %w", cfg.Dir, err)
	}
	return fmt.Errorf("%w: %s is held by %s (%w): stop that process, or give this one another data directory",
		ErrLocked, cfg.Dir, readHolder(cfg.FS, cfg.Dir), err)
}

func (s *Store) start(cfg Config) error {
	if why, err := readFile(s.fs, s.fs.PathJoin(s.dir, suspectFile)); err == nil {
		return fmt.Errorf("%w: %s: found earlier: %s", ErrCorrupt, s.dir, why)
	}
	last := readHolder(s.fs, s.dir)
	if last.Opens >= opensMax {
		return fmt.Errorf("%w: %s was opened %d times, and each time its process died before it had settled %d batches; last by %s",
			ErrCorrupt, s.dir, last.Opens, settledEnough, last)
	}
	var err error
	if s.hold, err = takeHolder(s.fs, s.dir, last.Opens+1); err != nil {
		return fmt.Errorf("name the holder of the store in %s: %w", s.dir, err)
	}
	if err := s.openPebble(cfg); err != nil {
		return openError(s.dir, err)
	}
	if err := s.checkMeta(cfg); err != nil {
		return err
	}
	if err := s.checkWitnesses(); err != nil {
		return err
	}
	return nil
}

// openPebble takes a panic for damage: what Pebble reads there was checked by
// nobody.
func (s *Store) openPebble(cfg Config) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v", ErrCorrupt, p)
		}
	}()
	db, err := pebble.Open(cfg.Dir, s.options(cfg))
	if err != nil {
		return err
	}
	s.db = db
	if s.shared = cfg.Cache; s.shared != nil {
		s.shared.opened()
	}
	return nil
}

func (s *Store) options(cfg Config) *pebble.Options {
	o := &pebble.Options{
		FS:                          cfg.FS,
		Comparer:                    comparer(),
		Lock:                        s.lock,
		Logger:                      logger{s, cfg.Exit},
		EventListener:               s.listener(),
		FormatMajorVersion:          pebbleFormat,
		DisableWAL:                  cfg.DisableWAL,
		MemTableSize:                cfg.MemTableBytes,
		MemTableStopWritesThreshold: 4,
		// Random keys: the larger what is compacted into a level at once, the less of the
		// level is written again for each byte. With 4 and Pebble's 64 MB compactions took a
		// quarter of the engine's CPU under load (measured).
		L0CompactionThreshold:      8,
		LBaseMaxBytes:              256 << 20,
		L0StopWritesThreshold:      20,
		BytesPerSync:               512 << 10,
		WALBytesPerSync:            512 << 10,
		MaxOpenFiles:               200, // with its own file cache: many stores share a process
		CompactionConcurrencyRange: func() (lower, upper int) { return 1, 1 },
	}
	// What follows a group is no version of it: none is worth less than another. To look
	// whether it is costs half of what a flush allocates (measured).
	o.Experimental.SpanPolicyFunc = func([]byte) (pebble.SpanPolicy, []byte, error) {
		return pebble.SpanPolicy{DisableValueSeparationBySuffix: true}, nil, nil
	}
	for i := range o.Levels {
		// Pebble hands each block to the system by itself: with blocks of 4 KB that is a tenth
		// of the engine's CPU under load (measured).
		o.Levels[i].BlockSize = 32 << 10
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].FilterType = pebble.TableFilter
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.FastestCompression }
	}
	// Tables of level 0 live for seconds.
	o.Levels[0].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	cache := cfg.Cache
	if cache == nil {
		// Pebble takes the memtables out of the cache.
		s.own = &Cache{blocks: pebble.NewCache(cfg.CacheBytes + int64(memTables(cfg.MemTableBytes)))}
		cache = s.own
	}
	o.Cache, o.FileCache = cache.blocks, cache.files
	return o
}

// comparer orders keys by their bytes. Its filters are of workflows, not of keys, so
// that a start's look for a workflow that is not there reads no block.
func comparer() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Name = "odradek.groups"
	c.Split = codec.GroupLen
	return &c
}

// openError: what is not the machine's fault is the files'.
func openError(dir string, err error) error {
	switch {
	case strings.Contains(err.Error(), "unknown format major version"):
		return fmt.Errorf("%s: %w (or delete the directory: it is rebuilt from Kafka): %w", dir, ErrFormatNewer, err)
	case strings.Contains(err.Error(), "comparer name"):
		return fmt.Errorf("%w: %s: %w", ErrTooOld, dir, err)
	case ofMachine(err):
		return fmt.Errorf("open the store in %s: %w", dir, err)
	}
	return fmt.Errorf("%w: open %s: %w", ErrCorrupt, dir, err)
}

func ofMachine(err error) bool {
	for _, e := range []error{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EACCES, syscall.EPERM,
		syscall.EROFS, syscall.EIO,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// The meta row: format u8 | fold u8 | partition u32 | cluster.

// checkMeta compares the store's name with what the caller wants, and names a
// store that is new.
func (s *Store) checkMeta(cfg Config) error {
	key := codec.AppendPartitionKey(nil, codec.RowMeta)
	value, err := s.get(s.db, key)
	if err != nil {
		return s.wrap(err, "read whose store it is")
	}
	if value == nil {
		return s.name(cfg, key)
	}
	if value[0] > storeFormat {
		return fmt.Errorf("%s: format %d, this binary reads %d: %w (or delete the directory: it is rebuilt from Kafka)", s.dir, value[0], storeFormat, ErrFormatNewer)
	}
	if len(value) < 6 {
		return s.wrap(ErrCorrupt, "read whose store it is: %d bytes", len(value))
	}
	partition, cluster := int32(binary.BigEndian.Uint32(value[2:])), string(value[6:])
	switch fold := value[1]; {
	case cluster != cfg.Cluster || partition != cfg.Partition:
		return fmt.Errorf("%w: %s has partition %d of %q, wanted is partition %d of %q: give each deployment a data directory of its own",
			ErrForeign, s.dir, partition, cluster, cfg.Partition, cfg.Cluster)
	case fold > foldVersion:
		return fmt.Errorf("%s: fold %d, this binary has %d: %w (or delete the directory: it is rebuilt from Kafka)", s.dir, fold, foldVersion, ErrFormatNewer)
	case value[0] < storeFormat || fold < foldVersion:
		return fmt.Errorf("%w: %s has format %d and fold %d, this binary %d and %d", ErrTooOld, s.dir, value[0], fold, storeFormat, foldVersion)
	}
	return nil
}

// name gives a new store its name. It is not synced: whatever a crash keeps of the
// store begins with it.
func (s *Store) name(cfg Config, key []byte) error {
	err := scan(s.db, nil, nil, func(key, _ []byte) (bool, error) {
		return false, fmt.Errorf("%w: it has rows, %x first, but does not say whose", ErrCorrupt, key)
	})
	if err != nil {
		return s.wrap(err, "look into a store without name")
	}
	value := binary.BigEndian.AppendUint32([]byte{storeFormat, foldVersion}, uint32(cfg.Partition))
	if err := s.db.Set(key, append(value, cfg.Cluster...), pebble.NoSync); err != nil {
		return s.wrap(err, "name the store")
	}
	return nil
}

// checkWitnesses wants the last batches without a gap (D4), and finds the number
// of the last.
func (s *Store) checkWitnesses() error {
	ring := map[uint64]uint64{}
	prefix := codec.AppendPartitionKey(nil, codec.RowWitness)
	err := scan(s.db, prefix, after(prefix), func(key, value []byte) (bool, error) {
		k, err := codec.DecodeKey(key)
		if err != nil {
			return false, err
		}
		if len(value) != 8 || k.No >= witnesses {
			return false, fmt.Errorf("%w: witness %d is %x", ErrCorrupt, k.No, value)
		}
		n := binary.BigEndian.Uint64(value)
		ring[k.No] = n
		s.batches = max(s.batches, n)
		return true, nil
	})
	if err != nil {
		return s.wrap(err, "read the witnesses")
	}
	for n := s.batches; n > 0 && n+witnesses > s.batches; n-- {
		if ring[n%witnesses] != n {
			return s.wrap(fmt.Errorf("%w: batch %d is there, but batch %d is not", ErrCorrupt, s.batches, n), "read the witnesses")
		}
	}
	cp, err := s.get(s.db, codec.AppendPartitionKey(nil, codec.RowCheckpoint))
	if err != nil {
		return s.wrap(err, "read the checkpoint")
	}
	if (cp == nil) != (s.batches == 0) {
		return s.wrap(fmt.Errorf("%w: %d batches, and a checkpoint of %d bytes", ErrCorrupt, s.batches, len(cp)), "read the checkpoint")
	}
	return nil
}

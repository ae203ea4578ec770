package statestore

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"

	"github.com/odradek/odradek/codec"
)

// CopyTo makes a copy of the store as it is now in dir, which must not be there: of links,
// where the disk has them, so that it costs little. The owner goes on. ReadCopy reads it.
func (s *Store) CopyTo(dir string) error {
	if err := s.acquire(); err != nil {
		return err
	}
	defer s.release()
	if !s.wal { // the copy has what is in tables and logs
		if err := s.db.Flush(); err != nil {
			return s.wrap(err, "copy the store to %s", dir)
		}
	}
	if err := s.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return s.wrap(err, "copy the store to %s", dir)
	}
	return nil
}

// ReadCopy gives all rows of a copy in the order of their keys, or what fn returns. Nothing
// is written. key and value are valid until fn returns.
func ReadCopy(cfg Config, fn func(k codec.Key, value []byte) error) (err error) {
	cfg = cfg.withDefaults()
	s := &Store{dir: cfg.Dir, fs: cfg.FS, log: slog.New(slog.DiscardHandler), behind: newWriteBehind()}
	defer func() {
		if p := recover(); p != nil { // what Pebble reads there was checked by nobody
			err = fmt.Errorf("read the copy of a store in %s: %w: panic: %v", cfg.Dir, ErrCorrupt, p)
		}
	}()
	o := s.options(cfg)
	o.ReadOnly, o.ErrorIfNotExists = true, true
	defer s.own.Close()
	db, err := pebble.Open(cfg.Dir, o)
	if err != nil {
		return fmt.Errorf("open the copy of a store in %s: %w", cfg.Dir, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	it, err := db.NewIter(nil)
	if err != nil {
		return fmt.Errorf("read the copy of a store in %s: %w", cfg.Dir, err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		k, err := codec.DecodeKey(it.Key())
		if err != nil {
			return err
		}
		if err := fn(k, it.Value()); err != nil {
			return err
		}
	}
	return it.Error()
}

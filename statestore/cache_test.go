package statestore

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/odradek/odradek/record"
)

// TestCacheIsShared: stores that are open together hold the blocks of one cache, and
// its room for memtables is there again when they close.
func TestCacheIsShared(t *testing.T) {
	t.Parallel()
	const stores, bytes, memTable = 4, 1 << 20, 256 << 10
	c := NewCache(CacheConfig{Bytes: bytes, Stores: stores, MemTableBytes: memTable})
	if got, want := c.blocks.MaxSize(), int64(bytes+stores*2*memTable); got != want {
		t.Errorf("cache of %d bytes, want %d", got, want)
	}
	var open []*Store
	for n := range stores {
		s, err := Open(Config{Dir: fmt.Sprint(n), FS: vfs.NewMem(), Cluster: "c", Partition: int32(n), Cache: c, MemTableBytes: memTable})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(nil, record.Checkpoint{}); err != nil {
			t.Fatal(err)
		}
		if s.own != nil || s.db.Metrics() == nil {
			t.Error("it has a cache of its own")
		}
		open = append(open, s)
	}
	if n := len(c.rooms); n != 0 {
		t.Errorf("%d rooms are kept from the blocks while all stores are open", n)
	}
	for _, s := range open {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := len(c.rooms); n != stores {
		t.Errorf("%d rooms are kept for stores that are closed, want %d", n, stores)
	}
	c.Close()
}

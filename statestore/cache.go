package statestore

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// Cache is memory that the stores of one process share: blocks and open tables.
// Any goroutine may use it.
type Cache struct {
	blocks *pebble.Cache
	files  *pebble.FileCache // nil: each store has its own

	mu    sync.Mutex
	rooms []func() // each gives back what is kept for the memtables of one store
	room  int      // bytes of one
}

// CacheConfig says what a Cache holds.
type CacheConfig struct {
	Bytes         int64  // blocks of all stores together. Default 64 MiB
	Stores        int    // that use it at the same time, at most. Default 1
	MemTableBytes uint64 // as in Config. Default 4 MiB
	Files         int    // open tables of all stores together. Default 1000
}

// NewCache makes a cache. Close it after the stores that use it.
//
// Pebble takes memtables out of the cache. It is made larger by them, and what is
// for stores that are not open is kept from the blocks.
func NewCache(cfg CacheConfig) *Cache {
	if cfg.Bytes == 0 {
		cfg.Bytes = 64 << 20
	}
	if cfg.Files == 0 {
		cfg.Files = 1000
	}
	c := &Cache{room: memTables(cfg.MemTableBytes)}
	stores := max(cfg.Stores, 1)
	c.blocks = pebble.NewCache(cfg.Bytes + int64(stores)*int64(c.room))
	c.files = pebble.NewFileCache(4, cfg.Files)
	for range stores {
		c.rooms = append(c.rooms, c.blocks.Reserve(c.room))
	}
	return c
}

// memTables is what the memtables of one store usually take: one is filled while
// another is flushed.
func memTables(size uint64) int {
	if size == 0 {
		size = memTableBytes
	}
	return int(2 * size)
}

// Shares reports whether the store uses that cache.
func (s *Store) Shares(c *Cache) bool { return c != nil && s.shared == c }

// opened lets a store have the room for its memtables.
func (c *Cache) opened() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.rooms) - 1; n >= 0 {
		c.rooms[n]()
		c.rooms = c.rooms[:n]
	}
}

// closed keeps the room of a store that has closed from the blocks.
func (c *Cache) closed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rooms = append(c.rooms, c.blocks.Reserve(c.room))
}

// Close gives the cache back once the last store that uses it is closed.
func (c *Cache) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, release := range c.rooms {
		release()
	}
	c.rooms = nil
	if c.files != nil {
		c.files.Unref()
	}
	c.blocks.Unref()
}

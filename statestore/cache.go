package statestore

import "github.com/cockroachdb/pebble/v2"

// Cache is memory that the stores of one process share: blocks and open tables.
// Pebble reserves the memtables of all stores from it.
type Cache struct {
	blocks *pebble.Cache
	files  *pebble.FileCache // nil: each store has its own
}

// NewCache makes a cache for so many bytes of blocks and memtables and so many
// open files. Close it after the stores that use it.
func NewCache(bytes int64, files int) *Cache {
	return &Cache{blocks: pebble.NewCache(bytes), files: pebble.NewFileCache(4, files)}
}

// Close gives the cache back once the last store that uses it is closed.
func (c *Cache) Close() {
	if c.files != nil {
		c.files.Unref()
	}
	c.blocks.Unref()
}

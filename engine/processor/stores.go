package processor

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// readStores looks at the stores on the disk before the group is joined: the
// balancer gives a partition to whoever has most of it. It is a preference, so a
// store that cannot be opened counts as none.
func (i *Instance) readStores() {
	entries, err := os.ReadDir(filepath.Join(i.cfg.DataDir, i.cfg.Names.Namespace))
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	turn := make(chan struct{}, i.cfg.Limits.TakeoversMax)
	for _, e := range entries {
		n, err := strconv.ParseInt(e.Name(), 10, 32)
		if err != nil || !e.IsDir() {
			continue
		}
		wg.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			s, err := i.cfg.ports.openStore(int32(n))
			if err != nil {
				return
			}
			defer func() { _ = s.Close() }() // opened to look at
			if cp, ok, err := s.Checkpoint(); err == nil && ok {
				i.mu.Lock()
				i.stores[int32(n)] = cp.Changelog.Offset
				i.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

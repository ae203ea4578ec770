package processor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// copiesMax bounds the copies of a partition's store: each holds the files that it links.
const copiesMax = 3

// ErrTooManyCopies is returned by CopyStore when copies of before have to go first.
var ErrTooManyCopies = errors.New("there are too many copies of the store")

// CopyStore makes a copy of the store of a partition that this instance owns, beside the
// stores, for engine replay --store; what is settled is in it. It gives its directory.
// ErrNotOwner, ErrTooManyCopies.
func (i *Instance) CopyStore(p int32) (string, error) {
	s, ok := i.Store(p)
	if !ok {
		return "", fmt.Errorf("partition %d: %w", p, ErrNotOwner)
	}
	dir := filepath.Join(i.cfg.DataDir, i.cfg.Names.Namespace, "copies")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make room for copies: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("look for copies: %w", err)
	}
	there := 0
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), fmt.Sprintf("%d-", p)) {
			there++
		}
	}
	if there >= copiesMax {
		return "", fmt.Errorf("partition %d has %d copies in %s, at most %d are kept: %w; remove those that you have read", p, there, dir, copiesMax, ErrTooManyCopies)
	}
	to := filepath.Join(dir, fmt.Sprintf("%d-%s", p, time.Now().UTC().Format("20060102T150405.000Z")))
	return to, s.CopyTo(to)
}

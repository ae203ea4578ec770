package statestore

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// privateFS is a file system on which new files are the owner's alone.
type privateFS struct{ vfs.FS }

const (
	filePerm = 0o600
	dirPerm  = 0o700
)

// Create makes a file with mode 0600.
func (p privateFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return private(name)(p.FS.Create(name, c))
}

// OpenReadWrite opens a file and gives it mode 0600.
func (p privateFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return private(name)(p.FS.OpenReadWrite(name, c, opts...))
}

// ReuseForWrite renames a file, opens it and gives it mode 0600.
func (p privateFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return private(name)(p.FS.ReuseForWrite(old, name, c))
}

// Unwrap gives the file system underneath.
func (p privateFS) Unwrap() vfs.FS { return p.FS }

func private(name string) func(vfs.File, error) (vfs.File, error) {
	return func(f vfs.File, err error) (vfs.File, error) {
		if err != nil {
			return nil, err
		}
		if err := os.Chmod(name, filePerm); err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	}
}

// Quarantine renames the directory of a store that cannot be used to <dir>.bad,
// so that a new one can be opened in its place, and gives the new name. One is
// kept: an older one is deleted. A directory that is not there gives "".
//
// The store must not be open.
func Quarantine(dir string) (string, error) {
	bad := filepath.Clean(dir) + ".bad"
	if _, err := os.Lstat(dir); os.IsNotExist(err) {
		return "", nil
	}
	if err := os.RemoveAll(bad); err != nil {
		return "", fmt.Errorf("quarantine %s: delete the older %s: %w", dir, bad, err)
	}
	if err := os.Rename(dir, bad); err != nil {
		return "", fmt.Errorf("quarantine %s: %w", dir, err)
	}
	return bad, nil
}

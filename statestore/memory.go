package statestore

import "github.com/cockroachdb/pebble/v2/vfs"

// Memory is a Config's FS that is gone with the process: for tests.
func Memory() vfs.FS { return vfs.NewMem() }

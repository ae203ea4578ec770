package statestore

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Files of ours beside Pebble's.
const (
	holderFile  = "HOLDER"  // who has the store open
	suspectFile = "SUSPECT" // why it must not be opened again (D4)
)

// A store that was opened so often, and whose process died each time before it
// had settled so many batches, makes a crash loop: it counts as damaged (D4).
const (
	opensMax      = 5
	settledEnough = 100
)

// holder is the file that names who has the store open. It stays behind when the
// process dies.
type holder struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
	Opens   int       `json:"opens"` // in a row that did not get far

	fs   vfs.FS
	path string
	once sync.Once
}

func (h *holder) String() string {
	if h.PID == 0 {
		return "a process that left no name"
	}
	return fmt.Sprintf("process %d (%s) on host %s, since %s", h.PID, h.Command, h.Host, h.Since.Format(time.RFC3339))
}

// readHolder never fails: the file is for people, and a count.
func readHolder(fs vfs.FS, dir string) *holder {
	h := &holder{}
	if b, err := readFile(fs, fs.PathJoin(dir, holderFile)); err == nil {
		_ = json.Unmarshal(b, h)
	}
	return h
}

// takeHolder writes our name over that of the last one.
func takeHolder(fs vfs.FS, dir string, opens int) (*holder, error) {
	host, _ := os.Hostname()
	h := &holder{
		PID: os.Getpid(), Host: host, Command: os.Args[0], Since: time.Now().UTC().Truncate(time.Second), Opens: opens,
		fs: fs, path: fs.PathJoin(dir, holderFile),
	}
	return h, h.write()
}

func (h *holder) write() error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return writeFile(h.fs, h.path, b)
}

// settled notes once that the store got far enough.
func (h *holder) settled(batches uint64) {
	if batches < settledEnough {
		return
	}
	h.once.Do(func() {
		h.Opens = 0
		_ = h.write() // at worst the store is rebuilt once too often
	})
}

func (h *holder) remove() { _ = h.fs.Remove(h.path) }

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// writeFile does not sync: the files say what a process did, and who outlives a
// power cut begins anew.
func writeFile(fs vfs.FS, path string, b []byte) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

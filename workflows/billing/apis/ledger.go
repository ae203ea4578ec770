package apis

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Outcome says what became of a request.
type Outcome string

// Outcomes.
const (
	Effect   Outcome = "effect"   // done: the first request with its key
	Repeat   Outcome = "repeat"   // answered as the first time
	Refused  Outcome = "refused"  // by an injected fault, before the effect
	Conflict Outcome = "conflict" // the key was used for another request
	Invalid  Outcome = "invalid"  // no key, or not a request of this API
)

// Entry is a line of a ledger: one request.
type Entry struct {
	At       time.Time       `json:"at"`
	Service  string          `json:"service"`
	Outcome  Outcome         `json:"outcome"`
	Status   int             `json:"status"`         // that was answered
	Lost     bool            `json:"lost,omitempty"` // the answer was not sent
	Key      string          `json:"key,omitempty"`  // Idempotency-Key
	Customer string          `json:"customer,omitempty"`
	Month    string          `json:"month,omitempty"` // the instant at which it ended, RFC 3339
	Method   string          `json:"method"`
	Target   string          `json:"target"` // path and query
	Body     json.RawMessage `json:"body,omitempty"`
	Answer   json.RawMessage `json:"answer,omitempty"` // of an effect
}

// Ledger is an API's memory: what it did for which key.
type Ledger struct {
	path string

	mu      sync.Mutex
	file    *os.File
	effects map[string]Entry // by key
	size    int64            // of the file

	syncing sync.Mutex // held during fsync; taken without mu
	synced  int64      // size that is on disk
}

// OpenLedger opens or creates the ledger at path, and reads it.
func OpenLedger(path string) (*Ledger, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l := &Ledger{path: path, file: f, effects: map[string]Entry{}}
	if err := l.load(); err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

// load reads the file and cuts what a crash left of a line (L3).
func (l *Ledger) load() error {
	entries, n, err := readEntries(l.file, l.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Outcome == Effect {
			l.effects[e.Key] = e
		}
	}
	if err := l.file.Truncate(n); err != nil {
		return fmt.Errorf("cut the last line of %s: %w", l.path, err)
	}
	if _, err := l.file.Seek(n, io.SeekStart); err != nil {
		return err
	}
	l.size = n
	return l.sync(n)
}

// readEntries reads whole lines, and how many bytes they take.
func readEntries(r io.Reader, name string) (entries []Entry, n int64, err error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, 0, fmt.Errorf("read ledger %s: %w", name, err)
	}
	for line := 1; ; line++ {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return entries, n, nil
		}
		var e Entry
		if err := json.Unmarshal(b[:end], &e); err != nil {
			return nil, 0, fmt.Errorf("ledger %s: line %d is no entry: %w; it was edited, or the disk has lost what it said it had: keep a copy and remove the line", name, line, err)
		}
		entries = append(entries, e)
		n += int64(end + 1)
		b = b[end+1:]
	}
}

// ReadLedger reads the ledger at path, from outside and while its API is running:
// entries, in order, after the first `from` bytes, and how far they reach. A ledger
// that is not there yet is empty.
func ReadLedger(path string, from int64) (entries []Entry, next int64, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, from, nil
	}
	if err != nil {
		return nil, from, err
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return nil, from, err
	}
	entries, n, err := readEntries(f, path)
	return entries, from + n, err
}

// record appends the request's line and waits until it is on disk. If its key has an
// effect already, e becomes a repeat of it, or a conflict; the entry that comes back
// is the line. do makes the answer of an effect, given its number from 1.
func (l *Ledger) record(e Entry, do func(n int) json.RawMessage) (Entry, error) {
	e, end, err := l.append(e, do)
	if err != nil {
		return e, err
	}
	return e, l.sync(end)
}

func (l *Ledger) append(e Entry, do func(n int) json.RawMessage) (Entry, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, known := l.effects[e.Key]
	if e.Outcome == Effect {
		switch {
		case !known:
			e.Answer = do(len(l.effects) + 1)
		case first.Method == e.Method && first.Target == e.Target && bytes.Equal(first.Body, e.Body):
			e.Outcome, e.Status = Repeat, first.Status
		default:
			e.Outcome, e.Status, e.Lost = Conflict, 422, false
		}
	}
	line, err := json.Marshal(e)
	if err != nil {
		return e, 0, err
	}
	line = append(line, '\n')
	if _, err := l.file.Write(line); err != nil {
		// A part of the line may be there: the next one must not follow it.
		err = errors.Join(err, l.file.Truncate(l.size))
		_, seekErr := l.file.Seek(l.size, io.SeekStart)
		return e, 0, errors.Join(fmt.Errorf("write ledger %s: %w", l.path, err), seekErr)
	}
	l.size += int64(len(line))
	switch e.Outcome {
	case Effect:
		l.effects[e.Key] = e
	case Repeat:
		e.Answer = first.Answer // not in the line: it stands in the effect's
	}
	return e, l.size, nil
}

// sync returns when the first end bytes are on disk. Requests that wait while one
// fsync runs share the next.
func (l *Ledger) sync(end int64) error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	if l.synced >= end {
		return nil
	}
	l.mu.Lock()
	size := l.size
	l.mu.Unlock()
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("sync ledger %s: %w", l.path, err)
	}
	l.synced = size
	return nil
}

// Effects is how many keys had an effect.
func (l *Ledger) Effects() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.effects)
}

// Close closes the file.
func (l *Ledger) Close() error { return l.file.Close() }

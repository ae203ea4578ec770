package statestore

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"pgregory.net/rapid"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// TestComparerIsSound: what Pebble wants of a comparer with prefixes, for any two
// keys, also for such as it makes itself between two of ours.
func TestComparerIsSound(t *testing.T) {
	t.Parallel()
	c := comparer().EnsureDefaults()
	key := rapid.Custom(func(t *rapid.T) []byte {
		slot := rapid.SampledFrom([]string{"\x00\x00", "\x00\x01", "\x3f\xff", "\xff\xff"}).Draw(t, "slot")
		rest := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 'c', 'r', 0xff}), 0, 6).Draw(t, "rest")
		return append([]byte(slot), rest...)
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := key.Draw(t, "a"), key.Draw(t, "b")
		an, bn := c.Split(a), c.Split(b)
		order, groups := c.Compare(a, b), c.Compare(a[:an], b[:bn])
		switch {
		case c.Split(a[:an]) != an:
			t.Fatalf("the group of %x is no group", a)
		case groups != 0 && order != groups:
			t.Fatalf("%x and %x compare %d, their groups %d", a, b, order, groups)
		case groups == 0 && order != c.ComparePointSuffixes(a[an:], b[bn:]):
			t.Fatalf("%x and %x compare %d, what follows their group does not", a, b, order)
		}
	})
}

// TestStoreOfAnotherOrderIsTooOld: so that its owner makes it anew.
func TestStoreOfAnotherOrderIsTooOld(t *testing.T) {
	t.Parallel()
	cfg := memConfig()
	if err := cfg.FS.MkdirAll(cfg.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open(cfg.Dir, &pebble.Options{FS: cfg.FS, FormatMajorVersion: pebbleFormat})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, ErrTooOld) {
		t.Errorf("opened with %v", err)
	}
}

// TestUnknownWorkflowReadsNoBlock: most starts are of workflows that are not there.
func TestUnknownWorkflowReadsNoBlock(t *testing.T) {
	t.Parallel()
	s := open(t, memConfig())
	defer s.Close()
	var enc codec.RowEncoder
	for i := range 1000 {
		id := string(rune('a'+i%26)) + string(rune('a'+i/26))
		enc.PutRun(&record.RunRow{WorkflowID: id, Run: record.DeriveRunID(id, record.Origin{Offset: int64(i)}, 1), Type: "t", Events: 1, Chunks: 1})
	}
	if err := s.Apply(enc.Rows, record.Checkpoint{}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.write(), s.db.Flush()); err != nil {
		t.Fatal(err)
	}
	before := s.db.Metrics().Filter
	const unknown = 100
	for i := range unknown {
		if state, err := s.Load("unknown" + string(rune('a'+i))); err != nil || state != nil {
			t.Fatal(state, err)
		}
	}
	after := s.db.Metrics().Filter
	// A filter of ten bits a key lets about one in a hundred pass.
	if hits := after.Hits - before.Hits; hits < unknown*9/10 {
		t.Errorf("the filters answered %d of %d looks", hits, unknown)
	}
	if state, err := s.Load("aa"); err != nil || state == nil {
		t.Errorf("a workflow that is there: %v, %v", state, err)
	}
}

package httpapi

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/odradek/odradek/record"
)

// FuzzCursors: whatever a client sends as a cursor is read or refused, and what is
// read is what its cursor says.
func FuzzCursors(f *testing.F) {
	f.Add("")
	f.Add("!")
	f.Add(encodeListCursor(ListPosition{StartedAt: 1, Run: record.RunID{1}}))
	f.Add(encodeHistoryCursor(record.RunID{1}, 7))
	f.Fuzz(func(t *testing.T, cursor string) {
		if p, err := decodeListCursor(cursor); err == nil && cursor != "" {
			if again, err := decodeListCursor(encodeListCursor(p)); err != nil || again != p {
				t.Errorf("the list cursor %q is %+v, then %+v: %v", cursor, p, again, err)
			}
		}
		if run, from, err := decodeHistoryCursor(cursor); err == nil && cursor != "" {
			if from == 0 {
				t.Errorf("the history cursor %q begins at 0", cursor)
			}
			run2, from2, err := decodeHistoryCursor(encodeHistoryCursor(run, from))
			if err != nil || run2 != run || from2 != from {
				t.Errorf("the history cursor %q is %v %d, then %v %d: %v", cursor, run, from, run2, from2, err)
			}
		}
	})
}

func TestCursorsOfOtherListsAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := decodeListCursor(encodeHistoryCursor(record.RunID{1}, 7)); err == nil {
		t.Error("a list takes the cursor of a history")
	}
	if _, _, err := decodeHistoryCursor(encodeListCursor(ListPosition{StartedAt: 7})); err == nil {
		t.Error("a history takes the cursor of a list")
	}
}

// TestListOrderIsTotal: pages of any partitions can be merged by it.
func TestListOrderIsTotal(t *testing.T) {
	t.Parallel()
	position := rapid.Custom(func(t *rapid.T) ListPosition {
		return ListPosition{StartedAt: record.Millis(rapid.IntRange(1, 3).Draw(t, "at")), Run: record.RunID{15: rapid.ByteRange(0, 2).Draw(t, "run")}}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := position.Draw(t, "a"), position.Draw(t, "b"), position.Draw(t, "c")
		switch {
		case a == b && (a.Before(b) || b.Before(a)), a != b && a.Before(b) == b.Before(a), a.Before(b) && b.Before(c) && !a.Before(c):
			t.Fatalf("the order of %+v, %+v, %+v is not total", a, b, c)
		case a.StartedAt > b.StartedAt && !a.Before(b):
			t.Fatalf("%+v is newer than %+v and not before it", a, b)
		}
	})
}

func TestParseWait(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "30": 30 * time.Second, "0": 0, "0s": 0, "1.5s": 1500 * time.Millisecond, "250ms": 250 * time.Millisecond,
		"1m": time.Minute, "2m": time.Minute, "9999": time.Minute, "1h": time.Minute,
	} {
		if got, err := parseWait(text); err != nil || got != want {
			t.Errorf("parseWait(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"soon", "-1", "-1s", "s", "1 s", "99999999999999999999"} {
		if got, err := parseWait(text); err == nil {
			t.Errorf("parseWait(%q) = %v, want an error", text, got)
		}
	}
}

package codec

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/odradek/odradek/record"
)

// TestTaskTokens: a token is what it was made of, and nobody makes one without the key.
func TestTaskTokens(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef")
	rapid.Check(t, func(t *rapid.T) {
		want := TaskToken{
			WorkflowID: rapid.StringMatching(`[a-zA-Z0-9äß/ .-]{1,60}`).Draw(t, "id"),
			Task:       record.TaskID{Run: runs.Draw(t, "run"), No: rapid.Uint64().Draw(t, "no")},
			Attempt:    rapid.Uint32().Draw(t, "attempt"),
		}
		for _, k := range [][]byte{nil, key} {
			got, err := ParseTaskToken(want.Text(k), k)
			if err != nil || got != want {
				t.Fatalf("%+v comes back as %+v, %v", want, got, err)
			}
		}
		for what, text := range map[string]string{"unsigned": want.Text(nil), "of another key": want.Text([]byte("fedcba9876543210"))} {
			if _, err := ParseTaskToken(text, key); !errors.Is(err, ErrToken) {
				t.Fatalf("a token that is %s is taken: %v", what, err)
			}
		}
		b, err := base64.RawURLEncoding.DecodeString(want.Text(key))
		if err != nil {
			t.Fatal(err)
		}
		b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if got, err := ParseTaskToken(base64.RawURLEncoding.EncodeToString(b), key); err == nil {
			t.Fatalf("a changed token is taken as %+v", got)
		}
	})
	for _, bad := range []string{"", "x", "!!", strings.Repeat("A", 40), strings.Repeat("_", 500)} {
		if got, err := ParseTaskToken(bad, nil); err == nil {
			t.Errorf("%q is taken as %+v", bad, got)
		}
	}
}

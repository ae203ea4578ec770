package codec

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/odradek/odradek/record"
)

// TaskToken names an attempt of a task for whoever completes it from outside. As text it
// is unpadded base64url of
//
//	version 1 | run 16 | number, as varint | attempt, as varint | workflow ID | MAC 16
//
// where the MAC, the first half of HMAC-SHA256 over what is before it, is there only if
// the deployment has a key: then nobody can make a token but engine and workers.
type TaskToken struct {
	WorkflowID string
	Task       record.TaskID
	Attempt    uint32 // 0: whatever attempt is open
}

const (
	tokenVersion = 1
	macLen       = 16
)

// ErrToken is wrapped by ParseTaskToken.
var ErrToken = errors.New("the task token is not valid")

// Text is the token. key may be empty.
func (t TaskToken) Text(key []byte) string {
	b := append([]byte{tokenVersion}, t.Task.Run[:]...)
	b = binary.AppendUvarint(b, t.Task.No)
	b = binary.AppendUvarint(b, uint64(t.Attempt))
	b = append(b, t.WorkflowID...)
	if len(key) > 0 {
		b = append(b, tokenMAC(key, b)...)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseTaskToken reads a token. With a key, one that was made without it is refused.
func ParseTaskToken(text string, key []byte) (TaskToken, error) {
	wrong := func(why string) (TaskToken, error) {
		return TaskToken{}, fmt.Errorf("%w: %s: copy it as it was given", ErrToken, why)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	switch {
	case err != nil:
		return wrong("it is not base64url")
	case len(b) < 1+16+2 || b[0] != tokenVersion:
		return wrong("it is too short, or of another version")
	}
	if len(key) > 0 {
		if len(b) <= macLen || !hmac.Equal(b[len(b)-macLen:], tokenMAC(key, b[:len(b)-macLen])) {
			return wrong("it was not made by this deployment")
		}
		b = b[:len(b)-macLen]
	}
	r := newReader(append([]byte{rowFormat}, b[1:]...))
	t := TaskToken{Task: record.TaskID{Run: r.runID(), No: r.uvarint()}, Attempt: r.uint32()}
	if r.err != nil {
		return wrong("it is cut")
	}
	t.WorkflowID = string(r.rest())
	if record.CheckWorkflowID(t.WorkflowID) != nil {
		return wrong("it names no workflow")
	}
	return t, nil
}

func tokenMAC(key, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return h.Sum(nil)[:macLen]
}

package workflow

import (
	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// Topic is a Kafka topic of your own to which workflows publish: in the transaction of
// their step, so that a record is there exactly if the step is. It is a constant value;
// name it in Define, and the topic in engine.Config.Publish.
type Topic[T any] struct{ name string }

// NewTopic names a topic: its name in Kafka.
func NewTopic[T any](name string) Topic[T] { return Topic[T]{name: name} }

// Name is the topic's name.
func (t Topic[T]) Name() string { return t.name }

// topicKeyBytesMax bounds a record's key.
const topicKeyBytesMax = 1 << 10

// Publish produces a record. Its partition is that of the Java client's default for the
// key; an empty key is the workflow ID. The error is of the arguments, or a
// *CancelledError.
func (t Topic[T]) Publish(ctx Context, key string, v T) error {
	h := ctx.enter()
	if !ctx.def.publishes(t.name) {
		h.Stick("topic " + t.name + " is not among what Define was given for workflow type " + ctx.def.typ + ": add it there, and to engine.Config.Publish")
	}
	if err := ctx.cancelled(); err != nil {
		return err
	}
	if key == "" {
		key = h.Info().WorkflowID
	}
	payload, err := encode(v)
	switch {
	case err != nil:
		return &Failure{Kind: FailureEngine, Code: CodeInputInvalid, Message: "the record for topic " + t.name + " cannot be encoded: " + err.Error()}
	case len(payload) > PayloadBytesMax:
		f := tooLarge("the record for topic "+t.name, len(payload))
		return &f
	case len(key) > topicKeyBytesMax:
		return &Failure{Kind: FailureEngine, Code: CodeInputInvalid, Message: "the key of a record for topic " + t.name + " is longer than 1 KB"}
	}
	h.Decide(&record.Published{Topic: t.name, Key: []byte(key), Payload: payload, PayloadHash: codec.Hash(append([]byte(key), payload...))})
	return nil
}

// use declares the topic (see Use).
func (t Topic[T]) use(d *definition) { d.topics = append(d.topics, t.name) }

func (d *definition) publishes(name string) bool {
	for _, t := range d.topics {
		if t == name {
			return true
		}
	}
	return false
}

// Topics gives the topics that the type publishes to.
func (d Definition) Topics() []string { return append([]string{}, d.d.topics...) }

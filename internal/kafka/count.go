package kafka

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Request is one request that a client has sent to a broker, and what came back.
type Request struct {
	Name    string // Kafka's, in snake case: produce, end_txn
	Written int    // bytes, of the request
	Read    int    // bytes, of the response
	Failed  bool   // there was no whole response
}

// Count is an option by which clients tell of their requests. tell is called by their
// goroutines, and must not wait.
func Count(tell func(Request)) Opt { return kgo.WithHooks(counter(tell)) }

type counter func(Request)

var _ kgo.HookBrokerE2E = counter(nil)

// OnBrokerE2E is franz-go's.
func (c counter) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	name := "unknown"
	if int(key) < len(requestNames) {
		name = requestNames[key]
	}
	c(Request{Name: name, Written: e.BytesWritten, Read: e.BytesRead, Failed: e.Err() != nil})
}

// requestNames by key, made once: requests are many.
var requestNames = func() (names [kmsg.MaxKey + 1]string) {
	for key := range names {
		names[key] = snake(kmsg.Key(key).Name())
	}
	return names
}()

// snake writes InitProducerID as init_producer_id.
func snake(name string) string {
	var b strings.Builder
	for i := range len(name) {
		upper := name[i] >= 'A' && name[i] <= 'Z'
		if i > 0 && upper && (name[i-1] >= 'a' && name[i-1] <= 'z' || i+1 < len(name) && name[i+1] >= 'a' && name[i+1] <= 'z') {
			b.WriteByte('_')
		}
		b.WriteString(strings.ToLower(name[i : i+1]))
	}
	return b.String()
}

package processor

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// opLog records what lanes do with their batches, in the order in which it
// happens.
type opLog struct {
	mu     sync.Mutex
	lines  []string
	number map[*batch]int
}

func (l *opLog) observe(_ int32, op string, b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.number == nil {
		l.number = map[*batch]int{}
	}
	n, ok := l.number[b]
	if !ok {
		n = len(l.number) + 1
		l.number[b] = n
	}
	l.lines = append(l.lines, fmt.Sprintf("%s %d", op, n))
}

func (l *opLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// broken finds the first pair of operations in the wrong order.
func (l *opLog) broken() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := map[string]int{}
	for i, line := range l.lines {
		at[line] = i
	}
	before := func(a, b string) string {
		i, aDone := at[a]
		j, bDone := at[b]
		if bDone && (!aDone || i > j) {
			return fmt.Sprintf("%q came before %q", b, a)
		}
		return ""
	}
	ops := []string{opProduce, opAcked, opEnd, opEnded, opSettle, opSettled, opReply}
	for n := 1; n <= len(l.number); n++ {
		for k := 1; k < len(ops); k++ {
			if s := before(fmt.Sprint(ops[k-1], " ", n), fmt.Sprint(ops[k], " ", n)); s != "" {
				return s
			}
		}
		next := n + 1
		for _, pair := range [][2]string{{opAcked, opProduce}, {opEnded, opEnd}, {opSettled, opSettle}} {
			if s := before(fmt.Sprint(pair[0], " ", n), fmt.Sprint(pair[1], " ", next)); s != "" {
				return s
			}
		}
	}
	return ""
}

// command writes a signal whose sender waits.
func (e *env) command(t *testing.T, key string) {
	t.Helper()
	out := codec.EncodeSignal(key, &record.Signal{CommandID: "c", Name: "n", Reply: true})
	r := &kgo.Record{Topic: e.topic(record.TopicCommands), Key: out.Key, Value: out.Value}
	for _, h := range out.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader(h))
	}
	if err := e.cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// TestGoldenOrder: the life of three batches that do not meet.
func TestGoldenOrder(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	log, c := &opLog{}, &counts{}
	cfg := e.ownerConfig(newDisk(1), nil)
	cfg.Listener, cfg.ports.observe = c.listener(), log.observe
	e.start(cfg, newLone())
	for n := 1; n <= 3; n++ {
		e.command(t, "k0")
		await(t, "commit", func() bool { return c.get(func() int { return c.commits }) == n })
	}
	want := `produce 1
acked 1
end 1
ended 1
settle 1
settled 1
reply 1
produce 2
acked 2
end 2
ended 2
settle 2
settled 2
reply 2
produce 3
acked 3
end 3
ended 3
settle 3
settled 3
reply 3`
	if got := log.String(); got != want {
		t.Errorf("got\n%s", got)
	}
}

// TestOrderOfBatchesThatOverlap: the pipelining rules hold, and batches do overlap.
func TestOrderOfBatchesThatOverlap(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	log, c := &opLog{}, &counts{}
	cfg := e.ownerConfig(newDisk(1), nil)
	cfg.Limits.BatchInputsMax = 3
	cfg.Listener, cfg.ports.observe = c.listener(), log.observe
	e.feedReplies(t, 300)
	l := e.start(cfg, newLone())
	await(t, "settled positions", func() bool { return l.progress.positions().Commands.Offset == 300 })
	if s := log.broken(); s != "" {
		t.Error(s)
	}
	overlaps := 0
	l.halt()
	<-l.done
	for i := 1; i < len(log.lines); i++ {
		var a, b int
		var x, y string
		_, _ = fmt.Sscanf(log.lines[i-1], "%s %d", &x, &a)
		_, _ = fmt.Sscanf(log.lines[i], "%s %d", &y, &b)
		if a > b {
			overlaps++
		}
	}
	if overlaps < 20 {
		t.Errorf("%d overlaps: nothing was pipelined", overlaps)
	}
}

func (e *env) feedReplies(t *testing.T, n int) {
	t.Helper()
	for range n {
		out := codec.EncodeSignal("k0", &record.Signal{CommandID: "c", Name: "n", Reply: true})
		r := &kgo.Record{Topic: e.topic(record.TopicCommands), Key: out.Key, Value: out.Value}
		for _, h := range out.Headers {
			r.Headers = append(r.Headers, kgo.RecordHeader(h))
		}
		e.cl.Produce(t.Context(), r, nil)
	}
	if err := e.cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// idLog records which transactional IDs are initialised and committed with.
func (e *env) idLog() func() []string {
	var mu sync.Mutex
	var lines []string
	prefix := e.names.Namespace + ".0."
	add := func(what, id string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, what+" "+strings.TrimPrefix(id, prefix))
	}
	e.fake.ControlKey(int16(kmsg.InitProducerID), func(kr kmsg.Request) (kmsg.Response, error, bool) {
		e.fake.KeepControl()
		if id := kr.(*kmsg.InitProducerIDRequest).TransactionalID; id != nil {
			add("init", *id)
		}
		return nil, nil, false
	})
	e.fake.ControlKey(int16(kmsg.EndTxn), func(kr kmsg.Request) (kmsg.Response, error, bool) {
		e.fake.KeepControl()
		add("end", kr.(*kmsg.EndTxnRequest).TransactionalID)
		return nil, nil, false
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), lines...)
	}
}

// TestOrderOfIDs: a, b, c are initialised in that order, the first transaction goes
// to a, then they rotate; after a takeover from the beginning (P1).
func TestOrderOfIDs(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	needFake(t, e)
	ids := e.idLog()
	c := &counts{}
	d := newDisk(1)
	for range 2 {
		cfg := e.ownerConfig(d, nil)
		cfg.Listener = c.listener()
		l := e.start(cfg, newLone())
		for range 4 {
			n := c.get(func() int { return c.commits })
			e.produce(t, "k0")
			await(t, "commit", func() bool { return c.get(func() int { return c.commits }) == n+1 })
		}
		l.halt()
		<-l.done
	}
	one := "init a,init b,init c,end a,end b,end c,end a"
	if got := strings.Join(ids(), ","); got != one+","+one {
		t.Errorf("got %s", got)
	}
}

// TestRulesAreSeenInTheOrder: the checker of the order finds each rule that is
// broken.
func TestRulesAreSeenInTheOrder(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string]string{
		"produce before the acks": "produce 1,produce 2,acked 1",
		"end before the end":      "produce 1,acked 1,end 1,produce 2,acked 2,end 2,ended 1",
		"store before the end":    "produce 1,acked 1,end 1,settle 1,ended 1",
		"store out of order":      "produce 1,acked 1,end 1,ended 1,produce 2,acked 2,end 2,ended 2,settle 2,settle 1",
		"reply before the store":  "produce 1,acked 1,end 1,ended 1,settle 1,reply 1,settled 1",
	} {
		l := &opLog{lines: strings.Split(lines, ","), number: map[*batch]int{{}: 1, {}: 2}}
		if l.broken() == "" {
			t.Errorf("%s is not found", name)
		}
	}
}

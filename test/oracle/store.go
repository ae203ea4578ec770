package oracle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
)

// Record is a record of a changelog.
type Record struct {
	Partition  int32
	Offset     int64
	Key, Value []byte
}

// ReadChangelog reads all of a changelog, by partition.
func ReadChangelog(ctx context.Context, opts []kgo.Opt, topic string, partitions int32) ([][]Record, error) {
	log := make([][]Record, partitions)
	err := Read(ctx, opts, topic, func(r *kgo.Record) error {
		if r.Partition >= partitions {
			return fmt.Errorf("%s has partition %d, expected are %d", topic, r.Partition, partitions)
		}
		log[r.Partition] = append(log[r.Partition], Record{r.Partition, r.Offset, r.Key, r.Value})
		return nil
	})
	return log, err
}

// Stores are the folders in which engines, which have stopped, kept the stores of a
// namespace.
type Stores struct {
	Dirs    []string // <data dir>/<namespace> of each engine
	Cluster string   // <cluster ID>/<ID of the changelog>
	Scratch string   // folder for stores that are rebuilt
}

// Judge compares each store of a partition with the fold of its changelog, and
// gives how many it compared (O4).
func (s Stores) Judge(v *Verdict, p int32, log []Record) (compared int, err error) {
	newest, found := int64(0), false
	for _, dir := range s.Dirs {
		dir = filepath.Join(dir, fmt.Sprint(p))
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			continue
		}
		end, ok, err := s.compare(v, dir, p, log)
		if err != nil {
			return compared, fmt.Errorf("compare the store in %s with the changelog: %w", dir, err)
		}
		if ok {
			compared++
			newest, found = max(newest, end), true
		}
	}
	switch last := len(log) - 1; {
	case !found && last >= 0:
		v.broken("partition %d has a changelog and no store", p)
	case found && last >= 0 && log[last].Offset >= newest:
		v.broken("the newest store of partition %d ends at %d, its changelog has records up to %d", p, newest, log[last].Offset)
	}
	return compared, nil
}

// compare checks one store; false if it has never settled anything.
func (s Stores) compare(v *Verdict, dir string, p int32, log []Record) (end int64, ok bool, err error) {
	live, err := statestore.Open(statestore.Config{Dir: dir, Cluster: s.Cluster, Partition: p})
	if err != nil {
		return 0, false, err
	}
	defer func() { err = errors.Join(err, live.Close()) }()
	cp, ok, err := live.Checkpoint()
	if err != nil || !ok {
		return 0, false, err
	}
	var have, want bytes.Buffer
	if err := live.Dump(&have); err != nil {
		return 0, false, err
	}
	inputs, err := s.rebuild(&want, p, log, cp)
	if errors.Is(err, errFold) {
		v.broken("partition %d: the changelog before offset %d: %v", p, cp.Changelog.Offset, err)
		return cp.Changelog.Offset, true, nil
	}
	if err != nil {
		return 0, false, err
	}
	if inputs != cp.Inputs {
		v.broken("the store in %s has input positions %v, the changelog before offset %d has %v", dir, cp.Inputs, cp.Changelog.Offset, inputs)
	}
	if !bytes.Equal(have.Bytes(), want.Bytes()) {
		v.broken("the store in %s is not the fold of the changelog before offset %d: %s", dir, cp.Changelog.Offset, difference(have.Bytes(), want.Bytes()))
	}
	return cp.Changelog.Offset, true, nil
}

// errFold means that a changelog contradicts itself.
var errFold = errors.New("it cannot be folded")

// rebuild folds the changelog up to a Checkpoint into an empty store and dumps it.
func (s Stores) rebuild(out *bytes.Buffer, p int32, log []Record, cp record.Checkpoint) (_ record.Positions, err error) {
	dir, err := os.MkdirTemp(s.Scratch, "rebuilt-")
	if err != nil {
		return record.Positions{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	st, err := statestore.Open(statestore.Config{Dir: dir, Cluster: s.Cluster, Partition: p, DisableWAL: true})
	if err != nil {
		return record.Positions{}, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	f := st.Folder()
	for _, r := range log {
		if r.Offset >= cp.Changelog.Offset {
			break
		}
		if err := f.Fold(r.Key, r.Value); err != nil {
			return record.Positions{}, fmt.Errorf("%w: offset %d: %w", errFold, r.Offset, err)
		}
		const pendingMax = 4 << 20
		if f.Pending() > pendingMax {
			if err := f.Commit(record.Checkpoint{Inputs: f.Position(), Changelog: record.Position{Offset: r.Offset + 1, LeaderEpoch: -1}}); err != nil {
				return record.Positions{}, err
			}
		}
	}
	if err := f.Commit(cp); err != nil {
		return record.Positions{}, err
	}
	return f.Position(), st.Dump(out)
}

// difference names the first line in which two dumps differ.
func difference(have, want []byte) string {
	a, b := bytes.Split(have, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range max(len(a), len(b)) {
		var x, y []byte
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if !bytes.Equal(x, y) {
			return fmt.Sprintf("it has %d rows, the fold %d; row %d is %q, in the fold %q", len(a)-1, len(b)-1, i+1, shorten(x), shorten(y))
		}
	}
	return "no difference"
}

func shorten(b []byte) []byte { return b[:min(len(b), 400)] }

package processor

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
	"github.com/odradek/odradek/topology"
)

// Stepper is the step of a partition as a lane drives it: partition.Partition,
// which says what each method does. Progress and Abandon may be called from any
// goroutine, the rest from one at a time.
type Stepper interface {
	Begin(now record.Millis)
	Claim() bool
	Step(r *record.Record) error
	StepDue(limit int) (n int, err error)
	Query(workflowID, name string, input []byte) (record.Answer, error)
	NextDue() (record.Millis, bool, error)
	Size() (inputs, bytes int)
	Finish() *partition.Batch
	Rest(now record.Millis)
	Settled(b *partition.Batch)
	Undeliverable(topic record.Topic, service, code, detail string)
	Condemn(run record.RunID, code, detail string)
	SetActive(active map[string]topology.Active)
	Progress() (turn uint64, run record.RunID)
	Abandon()
	Close()
}

// Store is the store of a partition as a lane uses it. Apply is called by one
// goroutine while another reads through the View.
type Store interface {
	machine.View
	Checkpoint() (record.Checkpoint, bool, error)
	Apply(rows []record.Row, cp record.Checkpoint) error
	Folder() Folder
	Close() error
}

// Folder folds the changelog into a store, record by record, in order.
type Folder interface {
	Fold(key, value []byte) error
	// Position is the last input positions row that was folded.
	Position() record.Positions
	Commit(cp record.Checkpoint) error
}

// errRebuild is returned by openStore for a store that cannot be used: it was
// renamed, and an empty one can be opened in its place.
type errRebuild struct{ error }

// ports are what tests replace: the store and the step.
type ports struct {
	openStore  func(p int32) (Store, error)
	quarantine func(p int32) (string, error)
	stepper    func(p int32, view machine.View) (Stepper, error)
	crashNote  func(p int32) string               // the file of the note on crashes; empty: none
	observe    func(p int32, op string, b *batch) // nil: nobody looks
	cache      *statestore.Cache                  // of all stores; nil: each has its own
	places     *localPlaces                       // of local tasks, of all lanes together
	pauseMin   time.Duration                      // takeoverPauseMin, or less where owners are to fight
}

// diskStore gives statestore's Folder the lane's type.
type diskStore struct{ *statestore.Store }

func (d diskStore) Folder() Folder { return d.Store.Folder() }

func (po ports) withDefaults(c *Config) ports {
	dir := func(p int32) string {
		return filepath.Join(c.DataDir, c.Names.Namespace, fmt.Sprint(p))
	}
	if po.openStore == nil {
		po.openStore = func(p int32) (Store, error) {
			s, err := statestore.Open(statestore.Config{
				Dir: dir(p), Cluster: c.Cluster + "/" + c.TopicIDs[c.Names.Topic(record.TopicChangelog)], Partition: p,
				Cache: po.cache, MemTableBytes: c.Limits.memTableBytes(c.Partition.Table.Partitions),
				DisableWAL: c.Limits.StoreDisableWAL, Logger: c.Logger,
			})
			switch {
			case err == nil:
				return diskStore{s}, nil
			case errors.Is(err, statestore.ErrForeign), errors.Is(err, statestore.ErrCorrupt), errors.Is(err, statestore.ErrTooOld):
				return nil, errRebuild{err}
			}
			return nil, err
		}
	}
	if po.quarantine == nil {
		po.quarantine = func(p int32) (string, error) { return statestore.Quarantine(dir(p)) }
	}
	if po.crashNote == nil {
		po.crashNote = func(p int32) string { return dir(p) + ".crash" }
	}
	if po.places == nil {
		po.places = newLocalPlaces()
	}
	if po.stepper == nil {
		po.stepper = func(p int32, view machine.View) (Stepper, error) {
			pc := c.Partition
			pc.Partition = p
			return partition.New(pc, view)
		}
	}
	def(&po.pauseMin, takeoverPauseMin)
	return po
}

package processor

import (
	"fmt"
	"time"

	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/record"
)

// Listener hears what lanes do; it feeds the log and the metrics. Every function
// may be nil. They are called from several goroutines and must not block. An Info
// prints itself.
type Listener struct {
	Rebalanced    func(RebalanceInfo)   // the group gave or took partitions
	TakenOver     func(TakeoverInfo)    // a lane is at the end of its changelog and works
	Committed     func(*CommitInfo)     // a batch has settled; the info is the callee's until it returns
	Fenced        func(LaneError)       // another owner has the IDs (P3)
	Unknown       func(LaneError)       // a transaction's outcome is unknown: takeover
	Failed        func(LaneError)       // anything else made the lane take over again
	Undeliverable func(UndeliveredInfo) // an output cannot be written (P5)
	Refused       func(RefusedInfo)     // an input whose records are refused becomes a dead letter, or a run stuck (P5)
	Hung          func(HungInfo)        // workflow code does not come back (C2)
	Incident      func(LaneError)       // the partition stands until an operator decides
	Rebuilt       func(StoreInfo)       // a store was renamed and is rebuilt from Kafka
	GaveBack      func(LaneError)       // a partition that fails here is offered to others (P3)
	Released      func(ReleaseInfo)     // a lane has ended
	Purged        func(PurgeInfo)       // consumed input was deleted
	Warning       func(WarningInfo)     // something beside the lanes does not work
	Beat          func(loop string)     // a loop ticks, at least every 15 s, whatever Kafka does
	End           func(loop string)     // a loop has ended as it should
}

// RebalanceInfo says which partitions came and went.
type RebalanceInfo struct {
	Generation int32
	Assigned   []int32
	Revoked    []int32
	Lost       bool // the session was lost: nobody waits for the lanes
}

func (i RebalanceInfo) String() string {
	return fmt.Sprintf("generation %d: assigned %v, revoked %v, lost %v", i.Generation, i.Assigned, i.Revoked, i.Lost)
}

// TakeoverInfo says what a takeover took.
type TakeoverInfo struct {
	Partition int32
	Takeover  int   // how manieth of this lane, from 1
	Records   int64 // changelog records folded
	End       int64 // of the changelog
	Positions record.Positions
	Open      time.Duration // opening the store
	Init      time.Duration // InitProducerID, all IDs
	List      time.Duration // ListOffsets
	Restore   time.Duration // reading the tail
	Took      time.Duration // all of it
}

func (i TakeoverInfo) String() string {
	return fmt.Sprintf("partition %d taken over in %v (init %v, list %v, restore %v): %d records to offset %d", i.Partition, i.Took, i.Init, i.List, i.Restore, i.Records, i.End)
}

// CommitInfo describes one batch that has settled.
type CommitInfo struct {
	Partition  int32
	Counts     partition.Counts
	Now        record.Millis
	Records    int
	Bytes      int // of keys and values produced
	AddRetries int
	Step       time.Duration // stepping the inputs
	Add        time.Duration // Begin and AddPartitionsToTxn
	Produce    time.Duration // Produce to the last ack
	End        time.Duration // EndTransaction
	Settle     time.Duration // the store
	Took       time.Duration // from the first step to here

	begun      time.Time
	producerID int64
	epoch      int16
}

func (i *CommitInfo) String() string {
	return fmt.Sprintf("partition %d committed %d inputs, %d records, %d bytes in %v (step %v, add %v, produce %v, end %v, settle %v)",
		i.Partition, i.Counts.Inputs, i.Records, i.Bytes, i.Took, i.Step, i.Add, i.Produce, i.End, i.Settle)
}

// LaneError says why a lane does not go on as it was.
type LaneError struct {
	Partition int32
	Err       error
	Pause     time.Duration // before it is tried again
}

func (i LaneError) String() string {
	return fmt.Sprintf("partition %d: %v; again in %v", i.Partition, i.Err, i.Pause)
}

// UndeliveredInfo names a topic that takes no records.
type UndeliveredInfo struct {
	Partition int32
	Topic     record.Topic
	Service   string
	Code      string
	Detail    string
}

func (i UndeliveredInfo) String() string {
	return fmt.Sprintf("partition %d: %s: %s", i.Partition, i.Code, i.Detail)
}

// RefusedInfo names an input, or a run, that cannot be committed.
type RefusedInfo struct {
	Partition int32
	Origin    record.Origin // zero: a due entry of Run
	Run       record.RunID
	Err       error
}

func (i RefusedInfo) String() string {
	return fmt.Sprintf("partition %d: input %s/%d refused: %v", i.Partition, i.Origin.Topic, i.Origin.Offset, i.Err)
}

// HungInfo names a run whose code hangs.
type HungInfo struct {
	Partition int32
	Run       record.RunID
	Condemned bool // the second time, alone: it becomes stuck
	Abandoned int  // goroutines of this instance that hang
}

func (i HungInfo) String() string {
	return fmt.Sprintf("partition %d: code of run %s hangs, condemned %v, %d goroutines abandoned", i.Partition, i.Run, i.Condemned, i.Abandoned)
}

// StoreInfo says why a store was renamed.
type StoreInfo struct {
	Partition int32
	To        string
	Err       error
}

func (i StoreInfo) String() string {
	return fmt.Sprintf("partition %d: store renamed to %s and rebuilt from Kafka: %v", i.Partition, i.To, i.Err)
}

// ReleaseInfo says how a lane ended.
type ReleaseInfo struct {
	Partition int32
	Clean     bool // every batch had settled
	Err       error
}

func (i ReleaseInfo) String() string {
	return fmt.Sprintf("partition %d released, clean %v: %v", i.Partition, i.Clean, i.Err)
}

// PurgeInfo says up to where a topic's partition was deleted.
type PurgeInfo struct {
	Topic     string
	Partition int32
	Before    int64
	Err       error // the right to delete is missing, or the broker is away
}

func (i PurgeInfo) String() string {
	return fmt.Sprintf("%s/%d deleted before %d: %v", i.Topic, i.Partition, i.Before, i.Err)
}

// WarningInfo is about what is not a lane's: the status topic, the group.
type WarningInfo struct {
	What string
	Err  error
}

func (i WarningInfo) String() string { return fmt.Sprintf("%s: %v", i.What, i.Err) }

func tell[T any](f func(T), info T) {
	if f != nil {
		f(info)
	}
}

func (l *Listener) committed(info *CommitInfo) {
	if l.Committed != nil {
		l.Committed(info)
	}
}

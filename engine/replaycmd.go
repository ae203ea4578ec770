package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/replay"
	"github.com/odradek/odradek/internal/config"
	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflow"
)

// replayLine is the last line of `engine replay -o json`.
type replayLine struct {
	Runs     int          `json:"runs"` // that were replayed
	Diverged int          `json:"diverged"`
	Unknown  int          `json:"unknown"` // whose type or version the binary lacks
	Waiting  int          `json:"waiting"` // whose first turn has not been run
	First    *replayFirst `json:"first"`
	OK       bool         `json:"ok"`
}

// replayFirst is the first run whose code does not match its history.
type replayFirst struct {
	From       string `json:"from"` // the file, or the changelog's partition
	WorkflowID string `json:"workflow_id"`
	RunID      string `json:"run_id"`
	Type       string `json:"type"`
	Version    uint32 `json:"version"`
	Code       string `json:"code"`
	Detail     string `json:"detail"`
	*replay.Divergence
}

// replayer replays histories against the compiled-in code.
type replayer struct {
	cfg  Config
	out  io.Writer
	text bool
	line replayLine
}

func replayCommand(cfg Config) *cobra.Command {
	var dir, store, output, since, until string
	var from, to int64
	var partition int32
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Replay recorded histories against this binary's code",
		Long: `Replay recorded histories against the workflow code of this binary, and report the first
divergence: the event, what the history has, what the code asks for, and the line. Nothing is
written.

With --dir the histories are files (*.history, as workflowtest.Golden makes them); with
--store those of a copy of a partition's store, which odradek store copy makes. With
neither, they are those of a live deployment: every run whose chunks are still in the changelog, or
only those that have a chunk in a range of times or offsets. Do it before each deploy.

Exit code 1: some code does not match.`,
		Example: `  engine replay --dir workflows
  engine replay --since 2026-01-01T00:00:00Z -o json
  engine replay --partition 3 --from-offset 120000
  engine replay --store /var/lib/odradek/odradek/copies/3-20260102T030405.000Z`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	config.Flags(f)
	f.StringVar(&dir, "dir", "", "directory with *.history files, searched through")
	f.StringVar(&store, "store", "", "directory of a copy of a partition's store")
	f.StringVarP(&output, "output", "o", "text", "text or json")
	f.StringVar(&since, "since", "", "only runs with a chunk written at or after that time, RFC 3339")
	f.StringVar(&until, "until", "", "only runs with a chunk written before that time, RFC 3339")
	f.Int32Var(&partition, "partition", -1, "only this partition of the changelog")
	f.Int64Var(&from, "from-offset", 0, "only runs with a chunk at or behind that offset")
	f.Int64Var(&to, "to-offset", 1<<62, "only runs with a chunk before that offset")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if output != "text" && output != "json" {
			return usage(fmt.Errorf("--output is %q: use text or json", output))
		}
		r := &replayer{cfg: cfg, out: cmd.OutOrStdout(), text: output == "text"}
		wanted := chunkRange{from: from, to: to}
		for _, x := range []struct {
			flag, text string
			at         *time.Time
		}{{"--since", since, &wanted.since}, {"--until", until, &wanted.until}} {
			if x.text == "" {
				continue
			}
			var err error
			if *x.at, err = time.Parse(time.RFC3339, x.text); err != nil {
				return usage(fmt.Errorf("%s is %q: write a time such as 2026-01-02T00:00:00Z", x.flag, x.text))
			}
		}
		var err error
		switch {
		case dir != "" && store != "":
			return usage(errors.New("--dir and --store are both given: histories come from one of them"))
		case dir != "":
			err = r.files(dir)
		case store != "":
			err = r.store(store)
		default:
			err = r.changelog(cmd, partition, wanted)
		}
		if err != nil {
			return err
		}
		r.line.OK = r.line.Diverged == 0 && r.line.Runs > 0
		if err := r.finish(); err != nil {
			return err
		}
		if !r.line.OK {
			return &exitError{exitInternal, errors.New("not ok")}
		}
		return nil
	}
	return cmd
}

func (r *replayer) finish() error {
	if !r.text {
		return json.NewEncoder(r.out).Encode(r.line)
	}
	fmt.Fprintf(r.out, "%d runs replayed, %d diverged, %d of types or versions that this binary lacks, %d not begun\n", r.line.Runs, r.line.Diverged, r.line.Unknown, r.line.Waiting)
	if r.line.Runs == 0 {
		fmt.Fprintln(r.out, "nothing was replayed: that shows nothing")
	}
	return nil
}

// files replays what a directory has.
func (r *replayer) files(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".history") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := codec.DecodeHistoryFile(b)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		r.check(path, f)
		return nil
	})
	if err != nil {
		return usage(fmt.Errorf("--dir: %w", err))
	}
	return nil
}

// check replays one history.
func (r *replayer) check(from string, f codec.HistoryFile) {
	i := slices.IndexFunc(r.cfg.Workflows, func(d workflow.Definition) bool { return d.Type() == f.Type && d.Version() == f.Version })
	if i < 0 {
		r.line.Unknown++
		return
	}
	r.line.Runs++
	err := replay.Check(r.cfg.Workflows[i], f)
	if err == nil {
		return
	}
	r.line.Diverged++
	first := &replayFirst{From: from, WorkflowID: f.WorkflowID, RunID: f.Run.String(), Type: f.Type, Version: f.Version, Code: replay.CodeDivergence, Detail: err.Error()}
	if s, ok := errors.AsType[*replay.StuckError](err); ok {
		first.Code, first.Detail, first.Divergence = s.Code, s.Detail, s.Divergence
	}
	if r.line.First == nil {
		r.line.First = first
	}
	if r.text {
		fmt.Fprintf(r.out, "%s: run %s of workflow %q, type %s version %d: %s: %s\n", from, first.RunID, first.WorkflowID, first.Type, first.Version, first.Code, first.Detail)
	}
}

// chunkRange chooses runs by where their chunks stand.
type chunkRange struct {
	since, until time.Time
	from, to     int64
}

func (c *chunkRange) has(rec *kafka.Record) bool {
	return rec.Offset >= c.from && rec.Offset < c.to && !rec.Timestamp.Before(c.since) && (c.until.IsZero() || rec.Timestamp.Before(c.until))
}

// logged is a run as the changelog has it.
type logged struct {
	chunks map[uint64][]record.HistoryEvent
	wanted bool
	open   bool // its first turn has not been run
}

// changelog replays the runs of a live deployment, partition by partition.
func (r *replayer) changelog(cmd *cobra.Command, partition int32, wanted chunkRange) error {
	ctx := cmd.Context()
	s, err := load(cmd)
	if err != nil {
		return err
	}
	opts, _, err := kafka.Connect(s.Kafka, "odradek-replay")
	if err != nil {
		return usage(err)
	}
	cl, err := kafka.NewClient(append(opts, kafka.ReadOptions()...)...)
	if err != nil {
		return usage(err)
	}
	defer cl.Close()
	names := topology.Names{Namespace: s.Namespace}
	control, err := kafka.ReadControl(ctx, cl, names)
	if err != nil {
		return unavailable(err)
	}
	for p := range control.Table.Partitions {
		if partition >= 0 && p != partition {
			continue
		}
		if err := r.partition(ctx, cl, names.Topic(record.TopicChangelog), p, wanted); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

type runOf struct {
	workflowID string
	run        record.RunID
}

// runs are those that are read, with their chunks.
type runs map[runOf]*logged

// take reads a row; a nil value is its tombstone. Rows that say nothing of a history are
// left out.
func (rs runs) take(k codec.Key, value []byte, wanted bool) error {
	if k.Kind != codec.RowChunk && k.Kind != codec.RowStuck {
		return nil
	}
	at := runOf{k.WorkflowID, k.Run}
	l := rs[at]
	if l == nil {
		l = &logged{chunks: map[uint64][]record.HistoryEvent{}}
		rs[at] = l
	}
	switch {
	case k.Kind == codec.RowStuck:
		l.open = false
		if value != nil {
			row, err := codec.DecodeStuckRow(k, value)
			l.open = row.TurnOpen
			return err
		}
	case value == nil:
		delete(l.chunks, k.No)
	default:
		events, err := codec.DecodeChunk(value)
		if err != nil {
			return err
		}
		l.chunks[k.No] = events
		l.wanted = l.wanted || wanted
	}
	return nil
}

func (r *replayer) partition(ctx context.Context, cl *kafka.Client, topic string, p int32, wanted chunkRange) error {
	rs := runs{}
	err := kafka.ReadPartition(ctx, cl, topic, p, func(rec *kafka.Record) error {
		k, err := codec.DecodeKey(rec.Key)
		if err != nil {
			return err
		}
		return rs.take(k, rec.Value, wanted.has(rec))
	})
	if err != nil {
		return err
	}
	r.all(fmt.Sprintf("%s/%d", topic, p), rs)
	return nil
}

// store replays what a copy of a store has.
func (r *replayer) store(dir string) error {
	rs := runs{}
	err := statestore.ReadCopy(statestore.Config{Dir: dir}, func(k codec.Key, value []byte) error {
		return rs.take(k, bytes.Clone(value), true)
	})
	if err != nil {
		return usage(fmt.Errorf("--store: %w", err))
	}
	r.all(dir, rs)
	return nil
}

// all replays runs in the order in which they were started.
func (r *replayer) all(from string, rs runs) {
	order := make([]runOf, 0, len(rs))
	for at := range rs {
		order = append(order, at)
	}
	slices.SortFunc(order, func(a, b runOf) int {
		return cmp.Or(slices.Compare(a.run[:], b.run[:]), strings.Compare(a.workflowID, b.workflowID))
	})
	for _, at := range order {
		if l := rs[at]; l.wanted && len(l.chunks[1]) > 0 {
			r.logged(from, at, l)
		}
	}
}

func (r *replayer) logged(from string, at runOf, l *logged) {
	if l.open {
		r.line.Waiting++
		return
	}
	f := codec.HistoryFile{WorkflowID: at.workflowID, Run: at.run}
	for no := uint64(1); len(l.chunks[no]) > 0; no++ {
		f.Events = append(f.Events, l.chunks[no]...)
	}
	started, ok := f.Events[0].Body.(*record.RunStarted)
	if !ok {
		return
	}
	f.Type, f.Version = started.Type, started.Version
	for _, e := range f.Events {
		if v, ok := e.Body.(*record.VersionPinned); ok {
			f.Version = v.Version
		}
	}
	r.check(from, f)
}

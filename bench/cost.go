package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const rowCost = "cost"

// costRow counts what a workflow costs its engine, by the engine's own metrics, and the
// broker.
func costRow() row {
	return row{name: rowCost, about: "what a workflow costs: records, bytes, requests, allocations, CPU", run: func(ctx context.Context, c config) (*result, error) {
		if c.quick {
			c.reps = 1
		}
		return c.withBed(ctx, 1, func(b *bed) (*result, error) {
			res := newResult(c)
			for _, w := range []workload{chainLoad, localLoad, emptyLoad} {
				if err := b.cost(ctx, w, res); err != nil {
					return nil, err
				}
			}
			return res, nil
		})
	}}
}

// costLevels are the workflows in flight: alone each step is a transaction of its own, with
// many they share them.
var costLevels = []int{1, 1000}

// metric is a cost that the engine's metrics tell.
type metric struct {
	name, about string
	of          []string // counters, summed
	scale       float64  // to the unit that is shown
}

// costs in the order of docs/cost.md. All are per workflow.
var costs = []metric{
	{"inputs", "inputs stepped: commands, events, answers of local tasks", []string{"odradek_lane_inputs_total"}, 1},
	{"transactions", "Kafka transactions", []string{"odradek_lane_commits_total"}, 1},
	{"records", "records in them", []string{"odradek_lane_produced_records_total"}, 1},
	{"record_bytes", "bytes of their keys and values", []string{"odradek_lane_produced_bytes_total"}, 1},
	{"requests", "requests to Kafka", []string{"odradek_kafka_requests_total"}, 1},
	{"sent_bytes", "bytes sent to Kafka", []string{"odradek_kafka_request_bytes_total"}, 1},
	{"received_bytes", "bytes received from Kafka", []string{"odradek_kafka_response_bytes_total"}, 1},
	{"store_bytes", "bytes that Pebble wrote: log, flushes, compactions", []string{"odradek_store_log_written_bytes_total", "odradek_store_flushed_bytes_total", "odradek_store_compacted_bytes_total"}, 1},
	{"allocations", "allocations of the engine", []string{"go_memstats_mallocs_total"}, 1},
	{"allocated_bytes", "bytes allocated by the engine", []string{"go_memstats_alloc_bytes_total"}, 1},
	{"engine_cpu_us", "CPU of the engine, microseconds", []string{"process_cpu_seconds_total"}, 1e6},
}

func costName(w workload, level int, name string) string {
	return fmt.Sprintf("%s_at_%d_%s", w.name, level, name)
}

func (b *bed) cost(ctx context.Context, w workload, res *result) error {
	r, err := b.open(ctx, sideSpec{name: "cost-" + w.name, load: w, partitions: b.cfg.partitions, engine: roleEngine, worker: w.worker(roleWorker), client: roleClient})
	if err != nil {
		return err
	}
	defer func() { r.close() }()
	if err := r.ready(); err != nil {
		return err
	}
	t := b.cfg.times()
	if _, err := b.measure(ctx, r, load{InFlight: 1000, Measure: t.side}); err != nil {
		return err
	}
	for _, level := range costLevels {
		before, err := scrape(ctx, r.metrics)
		if err != nil {
			return err
		}
		// One long load: what Pebble and the collector do comes in lumps.
		p, err := b.measure(ctx, r, load{InFlight: level, Measure: time.Duration(b.cfg.reps) * t.measure})
		if err != nil {
			return err
		}
		after, err := scrape(ctx, r.metrics)
		if err != nil {
			return err
		}
		for _, m := range costs {
			sum := 0.0
			for _, name := range m.of {
				if _, ok := after[name]; !ok {
					return fmt.Errorf("the engine has no metric %s", name)
				}
				sum += after[name] - before[name]
			}
			res.set(costName(w, level, m.name), sum*m.scale/float64(p.Accepted))
		}
		commits := after["odradek_lane_commit_seconds_count"] - before["odradek_lane_commit_seconds_count"]
		res.set(costName(w, level, "commit_ms"), (after["odradek_lane_commit_seconds_sum"]-before["odradek_lane_commit_seconds_sum"])/commits*1e3)
		res.set(costName(w, level, "broker_cpu_us"), p.CPU["broker"]*1000)
		res.set(costName(w, level, "broker_bytes"), p.Volume.sum().Bytes)
		res.set(costName(w, level, "broker_records"), p.Volume.sum().Records)
		say("%s, %d in flight: %.1f requests, %.0f bytes, %.0f allocations, %.0f us", w.name, level,
			res.Figures[costName(w, level, "requests")], res.Figures[costName(w, level, "sent_bytes")],
			res.Figures[costName(w, level, "allocations")], res.Figures[costName(w, level, "engine_cpu_us")])
	}
	b.judged(ctx, r, res)
	return nil
}

// scrape reads a process's metrics; the series of one name are summed.
func scrape(ctx context.Context, addr string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read the engine's metrics: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the engine's metrics: %s", resp.Status)
	}
	return parseMetrics(resp.Body)
}

func parseMetrics(r io.Reader) (map[string]float64, error) {
	sums := map[string]float64{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no line of metrics", line)
		}
		name, _, _ := strings.Cut(line[:at], "{")
		sums[name] += v
	}
	return sums, lines.Err()
}

// Marks of the table in docs/cost.md.
const (
	costBegin = "<!-- begin: make cost -->\n"
	costEnd   = "<!-- end -->\n"
)

// costPage puts a result's table into the page.
func costPage(page string, figures map[string]float64, day time.Time, cores int) (string, error) {
	head, rest, ok := strings.Cut(page, costBegin)
	_, tail, ok2 := strings.Cut(rest, costEnd)
	if !ok || !ok2 {
		return "", errors.New("the page lacks the marks of the table")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s, %d cores.\n\n| per workflow |", day.Format("2006-01-02"), cores)
	loads := []workload{chainLoad, localLoad, emptyLoad}
	for _, w := range loads {
		for _, level := range costLevels {
			fmt.Fprintf(&b, " %s, %d |", w.name, level)
		}
	}
	fmt.Fprintf(&b, "\n|---|%s\n", strings.Repeat("---|", len(loads)*len(costLevels)))
	rows := append(slices.Clone(costs),
		metric{name: "broker_records", about: "offsets on the broker, with markers of transactions"},
		metric{name: "broker_bytes", about: "bytes on the broker's disk"},
		metric{name: "broker_cpu_us", about: "CPU of the broker, microseconds"},
		metric{name: "commit_ms", about: "milliseconds from a transaction's first step until it has settled"})
	for _, m := range rows {
		fmt.Fprintf(&b, "| %s |", m.about)
		for _, w := range loads {
			for _, level := range costLevels {
				v, ok := figures[costName(w, level, m.name)]
				if !ok {
					return "", fmt.Errorf("the result lacks %s", costName(w, level, m.name))
				}
				fmt.Fprintf(&b, " %s |", short(v))
			}
		}
		b.WriteByte('\n')
	}
	return head + costBegin + b.String() + costEnd + tail, nil
}

// short writes three digits.
func short(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// writeCosts renews the table of docs/cost.md, beside the results' folder.
func (r *result) writeCosts() error {
	file := filepath.Join(filepath.Dir(filepath.Dir(r.cfg.results)), "docs", "cost.md")
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := costPage(string(page), r.Figures, r.began.UTC(), cores())
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Goals of the row, at 1000 in flight.
const (
	// perSecondMin is what ok asks for. Restate 1.7 did 618 workflows/s with external
	// calls on a machine of this size (measured): below this the design is wrong.
	perSecondMin = 1000
	ratioGoal    = 0.5
	wpsGoal      = 10_000
	p50Goal      = 1.5 // times the raw loop's, one in flight
	cpuGoal      = 0.15
	// volumeTolerance is how far the two sides' records and bytes per workflow may be
	// apart (B1). Markers and position rows depend on how many transactions there were.
	volumeTolerance = 0.05
)

// result is a whole run. The exported fields of its line are the last on standard
// output.
type result struct {
	cfg     config
	began   time.Time
	pairs   map[int][]pair
	reasons []string // why it is invalid

	Row   string            `json:"row"`
	Reps  int               `json:"reps"`
	Valid bool              `json:"valid"`
	At    map[string]figure `json:"at"`
	CPU   float64           `json:"cpu_s_per_1000"` // all processes of the engine's side, at 1000 in flight
	OK    bool              `json:"ok"`
}

type pair struct{ engine, raw point }

// figure is a level of in-flight workflows; medians.
type figure struct {
	PerSecond    float64 `json:"wps"`
	RawPerSecond float64 `json:"raw_wps"`
	Ratio        float64 `json:"ratio"` // median of the pairs' ratios
	RatioMin     float64 `json:"ratio_min"`
	RatioMax     float64 `json:"ratio_max"`
	P50          float64 `json:"p50_ms"`
	RawP50       float64 `json:"raw_p50_ms"`
	P99          float64 `json:"p99_ms"`
	RawP99       float64 `json:"raw_p99_ms"`
	CPU          float64 `json:"cpu_s_per_1000"`
	RawCPU       float64 `json:"raw_cpu_s_per_1000"`
	Noise        float64 `json:"noise"` // median share of the CPU that others took
}

func newResult(c config) *result {
	return &result{cfg: c, began: time.Now(), pairs: map[int][]pair{}, Row: c.row, Reps: c.reps, Valid: true}
}

func (r *result) add(level int, engine, raw point) {
	r.pairs[level] = append(r.pairs[level], pair{engine, raw})
}

func (r *result) invalid(why string) {
	r.Valid = false
	r.reasons = append(r.reasons, why)
	say("invalid: %s", why)
}

// median of the pairs' values.
func median(pairs []pair, f func(p pair) float64) float64 {
	var v []float64
	for _, p := range pairs {
		v = append(v, f(p))
	}
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

func extremes(pairs []pair, f func(p pair) float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, p := range pairs {
		low, high = min(low, f(p)), max(high, f(p))
	}
	return low, high
}

func ratioOf(p pair) float64 { return p.engine.PerSecond / p.raw.PerSecond }

func total(m map[string]float64) (sum float64) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		sum += m[k]
	}
	return sum
}

// finish makes the figures and judges them.
func (r *result) finish() {
	r.At = map[string]figure{}
	for level, pairs := range r.pairs {
		f := figure{
			PerSecond:    round(median(pairs, func(p pair) float64 { return p.engine.PerSecond }), 0),
			RawPerSecond: round(median(pairs, func(p pair) float64 { return p.raw.PerSecond }), 0),
			Ratio:        round(median(pairs, ratioOf), 3),
			P50:          round(median(pairs, func(p pair) float64 { return ms(p.engine.P50) }), 2),
			RawP50:       round(median(pairs, func(p pair) float64 { return ms(p.raw.P50) }), 2),
			P99:          round(median(pairs, func(p pair) float64 { return ms(p.engine.P99) }), 2),
			RawP99:       round(median(pairs, func(p pair) float64 { return ms(p.raw.P99) }), 2),
			CPU:          round(median(pairs, func(p pair) float64 { return total(p.engine.CPU) }), 3),
			RawCPU:       round(median(pairs, func(p pair) float64 { return total(p.raw.CPU) }), 3),
			Noise:        round(median(pairs, func(p pair) float64 { return max(p.engine.Noise, p.raw.Noise) }), 3),
		}
		low, high := extremes(pairs, ratioOf)
		f.RatioMin, f.RatioMax = round(low, 3), round(high, 3)
		r.At[fmt.Sprint(level)] = f
	}
	r.CPU = r.At["1000"].CPU
	r.compareVolumes()
	r.OK = r.Valid && r.At["1000"].PerSecond > perSecondMin
}

// compareVolumes checks B1 where batches are large, so that markers do not count.
func (r *result) compareVolumes() {
	pairs := r.pairs[1000]
	for _, what := range []struct {
		name string
		of   func(a amount) float64
	}{
		{"records", func(a amount) float64 { return a.Records }},
		{"bytes", func(a amount) float64 { return a.Bytes }},
	} {
		e := median(pairs, func(p pair) float64 { return what.of(p.engine.Volume.sum()) })
		w := median(pairs, func(p pair) float64 { return what.of(p.raw.Volume.sum()) })
		if math.Abs(e-w) > volumeTolerance*w {
			r.invalid(fmt.Sprintf("the engine writes %.1f %s per workflow, the raw loop %.1f: they are not the same work", e, what.name, w))
		}
	}
}

func round(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}

// write puts the result into the folder, unless it is a quick look, and prints the
// report and, last on standard output, the line.
func (r *result) write() error {
	report := r.markdown()
	fmt.Fprint(os.Stderr, "\n", report, "\n")
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if !r.cfg.quick {
		if err := os.MkdirAll(r.cfg.results, 0o755); err != nil {
			return err
		}
		full, err := json.MarshalIndent(r.full(), "", "  ")
		if err != nil {
			return err
		}
		base := filepath.Join(r.cfg.results, r.Row)
		if err := os.WriteFile(base+".json", append(full, '\n'), 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(base+".md", []byte(report), 0o644); err != nil {
			return err
		}
	}
	fmt.Println(string(line))
	return nil
}

// full is the line with every measurement.
func (r *result) full() any {
	type rep struct {
		Level  int   `json:"in_flight"`
		Engine point `json:"engine"`
		Raw    point `json:"raw"`
	}
	var reps []rep
	for _, level := range levels {
		for _, p := range r.pairs[level] {
			reps = append(reps, rep{level, p.engine, p.raw})
		}
	}
	return struct {
		*result
		Began      time.Time `json:"began"`
		Partitions int       `json:"partitions"`
		Cores      int       `json:"cores"`
		Invalid    []string  `json:"invalid,omitempty"`
		Pairs      []rep     `json:"pairs"`
	}{r, r.began.UTC().Truncate(time.Second), r.cfg.partitions, cores(), r.reasons, reps}
}

func (r *result) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s, %d cores, one broker, %d partition(s), %d pairs; medians, and of the ratio its spread.\n\n",
		r.Row, r.began.UTC().Format("2006-01-02"), cores(), r.cfg.partitions, r.Reps)
	fmt.Fprintf(&b, "| in flight | engine/s | raw/s | ratio | p50 ms | raw p50 | p99 ms | raw p99 | CPU s per 1000 | raw CPU | noise |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, level := range levels {
		f := r.At[fmt.Sprint(level)]
		fmt.Fprintf(&b, "| %d | %.0f | %.0f | %.2f (%.2f-%.2f) | %.1f | %.1f | %.1f | %.1f | %.3f | %.3f | %.0f %% |\n",
			level, f.PerSecond, f.RawPerSecond, f.Ratio, f.RatioMin, f.RatioMax, f.P50, f.RawP50, f.P99, f.RawP99, f.CPU, f.RawCPU, 100*f.Noise)
	}
	fmt.Fprintf(&b, "\nCPU s per 1000 workflows at 1000 in flight, by process:\n\n| | broker | engine | worker | client |\n|---|---|---|---|---|\n")
	for _, s := range sidesOf {
		fmt.Fprintf(&b, "| %s |", s.name)
		for _, role := range []string{"broker", roleEngine, roleWorker, roleClient} {
			fmt.Fprintf(&b, " %.3f |", median(r.pairs[1000], func(p pair) float64 { return s.of(p).CPU[role] }))
		}
		fmt.Fprintln(&b)
	}
	fmt.Fprintf(&b, "\nRecords (offsets, with transactions' markers) and bytes on the broker's disk per workflow at 1000 in flight:\n\n| topic | engine records | raw records | engine bytes | raw bytes |\n|---|---|---|---|---|\n")
	topics := map[string]bool{}
	for _, p := range r.pairs[1000] {
		for name := range p.engine.Volume {
			topics[name] = true
		}
		for name := range p.raw.Volume {
			topics[name] = true
		}
	}
	row := func(name string, of func(v volume) amount) {
		fmt.Fprintf(&b, "| %s |", name)
		for _, f := range []func(a amount) float64{func(a amount) float64 { return a.Records }, func(a amount) float64 { return a.Bytes }} {
			for _, s := range sidesOf {
				fmt.Fprintf(&b, " %.2f |", median(r.pairs[1000], func(p pair) float64 { return f(of(s.of(p).Volume)) }))
			}
		}
		fmt.Fprintln(&b)
	}
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		row(name, func(v volume) amount { return v[name] })
	}
	row("all", volume.sum)
	b.WriteString("\n")
	for _, g := range r.goals() {
		fmt.Fprintf(&b, "- %s\n", g)
	}
	for _, why := range r.reasons {
		fmt.Fprintf(&b, "- INVALID: %s\n", why)
	}
	return b.String()
}

// sidesOf are both sides of a pair, for tables.
var sidesOf = [2]struct {
	name string
	of   func(p pair) point
}{{"engine", func(p pair) point { return p.engine }}, {"raw", func(p pair) point { return p.raw }}}

// goals says which are met.
func (r *result) goals() []string {
	f1, f1000, f4000 := r.At["1"], r.At["1000"], r.At["4000"]
	var out []string
	say := func(met bool, format string, args ...any) {
		word := "MISSED"
		if met {
			word = "met"
		}
		out = append(out, word+": "+fmt.Sprintf(format, args...))
	}
	say(f1000.PerSecond > perSecondMin, "above %d workflows/s at 1000 in flight: %.0f (ok asks for this one)", perSecondMin, f1000.PerSecond)
	say(f1000.Ratio >= ratioGoal, "at least %.1f of the raw loop at 1000 in flight: %.2f (%.2f-%.2f)", ratioGoal, f1000.Ratio, f1000.RatioMin, f1000.RatioMax)
	say(f4000.Ratio >= ratioGoal, "at least %.1f of the raw loop at 4000 in flight: %.2f (%.2f-%.2f)", ratioGoal, f4000.Ratio, f4000.RatioMin, f4000.RatioMax)
	say(max(f1000.PerSecond, f4000.PerSecond) > wpsGoal, "above %d workflows/s: %.0f", wpsGoal, max(f1000.PerSecond, f4000.PerSecond))
	say(f1.P50 <= p50Goal*f1.RawP50, "p50 alone at most %.1f times the raw loop's: %.2f ms against %.2f ms", p50Goal, f1.P50, f1.RawP50)
	say(f1000.CPU < cpuGoal, "CPU of all processes under %.2f s per 1000 workflows at 1000 in flight: %.3f", cpuGoal, f1000.CPU)
	return out
}

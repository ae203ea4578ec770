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

// volumeTolerance is how far the two sides' records and bytes per workflow may be
// apart (B1). Markers and position rows depend on how many transactions there were.
const volumeTolerance = 0.05

// result is a whole run. The exported fields of its line are the last on standard
// output.
type result struct {
	cfg     config
	began   time.Time
	keys    []string // of pairs, in the order in which they came
	pairs   map[string][]pair
	spread  map[string][]float64 // measured values of a figure, where it is a median
	reasons []string             // why it is invalid
	notes   []string             // for the report
	goals   []outcome

	Row     string             `json:"row"`
	Reps    int                `json:"reps"`
	Valid   bool               `json:"valid"`
	At      map[string]figure  `json:"at,omitempty"`
	CPU     float64            `json:"cpu_s_per_1000,omitempty"` // all processes of the engine's side, at 1000 in flight
	Figures map[string]float64 `json:"figures,omitempty"`
	Met     bool               `json:"met"` // all goals
	OK      bool               `json:"ok"`
}

// outcome is a goal and what came of it.
type outcome struct {
	goal
	Got  float64
	Word string // met, MISSED, unresolved
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
	P50Ratio     float64 `json:"p50_ratio"` // median of the pairs' ratios
	P99          float64 `json:"p99_ms"`
	RawP99       float64 `json:"raw_p99_ms"`
	CPU          float64 `json:"cpu_s_per_1000"`
	RawCPU       float64 `json:"raw_cpu_s_per_1000"`
	Noise        float64 `json:"noise"` // median share of the CPU that others took
}

func newResult(c config) *result {
	return &result{cfg: c, began: time.Now(), pairs: map[string][]pair{}, spread: map[string][]float64{}, Row: c.row, Reps: c.reps, Valid: true, Figures: map[string]float64{}}
}

func (r *result) add(key string, engine, raw point) {
	if len(r.pairs[key]) == 0 {
		r.keys = append(r.keys, key)
	}
	r.pairs[key] = append(r.pairs[key], pair{engine, raw})
}

// set notes a figure, the median of its values.
func (r *result) set(name string, values ...float64) {
	slices.Sort(values)
	r.spread["figures."+name] = values
	r.Figures[name] = round(middle(values), 3)
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
	return middle(v)
}

// middle is the median of sorted values.
func middle(v []float64) float64 {
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

// finish makes the figures of the pairs.
func (r *result) finish() {
	r.At = map[string]figure{}
	for key, pairs := range r.pairs {
		f := figure{
			PerSecond:    round(median(pairs, func(p pair) float64 { return p.engine.PerSecond }), 0),
			RawPerSecond: round(median(pairs, func(p pair) float64 { return p.raw.PerSecond }), 0),
			Ratio:        round(median(pairs, ratioOf), 3),
			P50:          round(median(pairs, func(p pair) float64 { return ms(p.engine.P50) }), 2),
			RawP50:       round(median(pairs, func(p pair) float64 { return ms(p.raw.P50) }), 2),
			P50Ratio:     round(median(pairs, p50RatioOf), 3),
			P99:          round(median(pairs, func(p pair) float64 { return ms(p.engine.P99) }), 2),
			RawP99:       round(median(pairs, func(p pair) float64 { return ms(p.raw.P99) }), 2),
			CPU:          round(median(pairs, func(p pair) float64 { return total(p.engine.CPU) }), 3),
			RawCPU:       round(median(pairs, func(p pair) float64 { return total(p.raw.CPU) }), 3),
			Noise:        round(median(pairs, func(p pair) float64 { return max(p.engine.Noise, p.raw.Noise) }), 3),
		}
		low, high := extremes(pairs, ratioOf)
		f.RatioMin, f.RatioMax = round(low, 3), round(high, 3)
		r.At[key] = f
		for _, p := range pairs {
			for name, v := range map[string]float64{"ratio": ratioOf(p), "p50_ratio": p50RatioOf(p), "wps": p.engine.PerSecond, "cpu_s_per_1000": total(p.engine.CPU)} {
				path := "at." + key + "." + name
				r.spread[path] = append(r.spread[path], v)
			}
		}
	}
	for _, v := range r.spread {
		slices.Sort(v)
	}
	r.CPU = r.At[r.large()].CPU
	r.compareVolumes()
}

// large is the key at which batches are large, so that markers do not count.
func (r *result) large() string {
	if _, ok := r.pairs["1000"]; ok {
		return "1000"
	}
	if len(r.keys) == 0 {
		return ""
	}
	return r.keys[0]
}

func p50RatioOf(p pair) float64 { return float64(p.engine.P50) / float64(p.raw.P50) }

// judge compares the figures with the goals. What lies between the quartiles of the
// measured values is not resolved: it counts as missed, and is said to be so.
func (r *result) judge(goals []goal) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var tree any
	if err := json.Unmarshal(line, &tree); err != nil {
		return err
	}
	r.Met = true
	for _, g := range goals {
		at := tree
		for name := range strings.SplitSeq(g.Figure, ".") {
			m, ok := at.(map[string]any)
			if !ok || m[name] == nil {
				return fmt.Errorf("the goal %q names a figure that the result lacks", g.Figure)
			}
			at = m[name]
		}
		got, ok := at.(float64)
		if !ok || g.Min == nil && g.Max == nil {
			return fmt.Errorf("the goal %q is no number with a bound", g.Figure)
		}
		o := outcome{goal: g, Got: got, Word: "met"}
		if g.Min != nil && got < *g.Min || g.Max != nil && got > *g.Max {
			o.Word = "MISSED"
		}
		for _, bound := range []*float64{g.Min, g.Max} {
			if v := r.spread[g.Figure]; bound != nil && len(v) >= 4 && v[len(v)/4] < *bound && *bound < v[len(v)-1-len(v)/4] {
				o.Word = "unresolved"
			}
		}
		r.goals = append(r.goals, o)
		r.Met = r.Met && o.Word == "met"
	}
	r.OK = r.Valid && r.sound()
	return nil
}

// perSecondMin is what ok asks of the chain. Restate 1.7 did 618 workflows/s with
// external calls on a machine of this size (measured): below this the design is wrong.
const perSecondMin = 1000

// sound is what ok asks beside validity; missed goals are told by Met.
func (r *result) sound() bool {
	f, ok := r.At["1000"]
	return !ok || f.PerSecond > perSecondMin
}

// missed are the figures that did not meet their goals.
func (r *result) missed() []string {
	var out []string
	for _, o := range r.goals {
		if o.Word != "met" {
			out = append(out, fmt.Sprintf("%s %g", o.Figure, o.Got))
		}
	}
	return out
}

// compareVolumes checks B1 where batches are large, so that markers do not count.
func (r *result) compareVolumes() {
	pairs := r.pairs[r.large()]
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
// report.
func (r *result) write() error {
	report := r.markdown()
	fmt.Fprint(os.Stderr, "\n", report, "\n")
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
		if r.Row == rowCost && r.Valid {
			return r.writeCosts()
		}
	}
	return nil
}

// full is the line with every measurement.
func (r *result) full() any {
	type rep struct {
		Key    string `json:"at"`
		Engine point  `json:"engine"`
		Raw    point  `json:"raw"`
	}
	var reps []rep
	for _, key := range r.keys {
		for _, p := range r.pairs[key] {
			reps = append(reps, rep{key, p.engine, p.raw})
		}
	}
	return struct {
		*result
		Began      time.Time `json:"began"`
		Partitions int       `json:"partitions"`
		Cores      int       `json:"cores"`
		Invalid    []string  `json:"invalid,omitempty"`
		Pairs      []rep     `json:"pairs,omitempty"`
	}{r, r.began.UTC().Truncate(time.Second), r.cfg.partitions, cores(), r.reasons, reps}
}

func (r *result) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s, %d cores, %d repetitions; medians, and of ratios the spread.\n\n", r.Row, r.began.UTC().Format("2006-01-02"), cores(), r.Reps)
	if len(r.pairs) > 0 {
		r.pairTables(&b)
	}
	if len(r.Figures) > 0 {
		fmt.Fprintf(&b, "| figure | median | measured |\n|---|---|---|\n")
		for _, name := range slices.Sorted(maps.Keys(r.Figures)) {
			var all []string
			for _, v := range r.spread["figures."+name] {
				all = append(all, fmt.Sprintf("%.4g", v))
			}
			fmt.Fprintf(&b, "| %s | %g | %s |\n", name, r.Figures[name], strings.Join(all, " "))
		}
		fmt.Fprintln(&b)
	}
	for _, n := range r.notes {
		fmt.Fprintf(&b, "%s\n\n", n)
	}
	for _, o := range r.goals {
		bound := ""
		if o.Min != nil {
			bound = fmt.Sprintf("at least %g", *o.Min)
		} else {
			bound = fmt.Sprintf("at most %g", *o.Max)
		}
		fmt.Fprintf(&b, "- %s: %s, %s: %g\n", o.Word, o.About, bound, o.Got)
	}
	for _, why := range r.reasons {
		fmt.Fprintf(&b, "- INVALID: %s\n", why)
	}
	return b.String()
}

func (r *result) pairTables(b *strings.Builder) {
	fmt.Fprintf(b, "| | engine/s | raw/s | ratio | p50 ms | raw p50 | ratio | p99 ms | raw p99 | CPU s per 1000 | raw CPU | noise |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, key := range r.keys {
		f := r.At[key]
		fmt.Fprintf(b, "| %s | %.0f | %.0f | %.2f (%.2f-%.2f) | %.1f | %.1f | %.2f | %.1f | %.1f | %.3f | %.3f | %.0f %% |\n",
			key, f.PerSecond, f.RawPerSecond, f.Ratio, f.RatioMin, f.RatioMax, f.P50, f.RawP50, f.P50Ratio, f.P99, f.RawP99, f.CPU, f.RawCPU, 100*f.Noise)
	}
	large := r.pairs[r.large()]
	fmt.Fprintf(b, "\nCPU s per 1000 workflows at %s, by process:\n\n| | broker | engine | worker | client |\n|---|---|---|---|---|\n", r.large())
	for _, s := range sidesOf {
		fmt.Fprintf(b, "| %s |", s.name)
		for _, role := range []string{"broker", roleEngine, roleWorker, roleClient} {
			fmt.Fprintf(b, " %.3f |", median(large, func(p pair) float64 { return s.of(p).CPU[role] }))
		}
		fmt.Fprintln(b)
	}
	fmt.Fprintf(b, "\nRecords (offsets, with transactions' markers) and bytes on the brokers' disks per workflow at %s:\n\n| topic | engine records | raw records | engine bytes | raw bytes |\n|---|---|---|---|---|\n", r.large())
	topics := map[string]bool{}
	for _, p := range large {
		for name := range p.engine.Volume {
			topics[name] = true
		}
		for name := range p.raw.Volume {
			topics[name] = true
		}
	}
	row := func(name string, of func(v volume) amount) {
		fmt.Fprintf(b, "| %s |", name)
		for _, f := range []func(a amount) float64{func(a amount) float64 { return a.Records }, func(a amount) float64 { return a.Bytes }} {
			for _, s := range sidesOf {
				fmt.Fprintf(b, " %.2f |", median(large, func(p pair) float64 { return f(of(s.of(p).Volume)) }))
			}
		}
		fmt.Fprintln(b)
	}
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		row(name, func(v volume) amount { return v[name] })
	}
	row("all", volume.sum)
	fmt.Fprintln(b)
}

// sidesOf are both sides of a pair, for tables.
var sidesOf = [2]struct {
	name string
	of   func(p pair) point
}{{"engine", func(p pair) point { return p.engine }}, {"raw", func(p pair) point { return p.raw }}}

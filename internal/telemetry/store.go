package telemetry

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/odradek/odradek/statestore"
)

// storeMetric is one number of a store.
type storeMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*statestore.Metrics) float64
}

// stores reads the metrics of the open stores at scrape time. Counters count from the
// opening of a store.
type stores struct {
	instance *atomic.Pointer[Instance]
	metrics  []storeMetric
	paused   *prometheus.Desc
}

func newStores(reg registry, instance *atomic.Pointer[Instance]) *stores {
	r, s := reg.of("store"), &stores{instance: instance}
	s.paused = reg.of("lane").desc("paused_types", "1 for each workflow type whose runs in the partition an operator lets wait.", "partition", "type")
	gauge := func(name, help string, read func(*statestore.Metrics) float64) {
		s.metrics = append(s.metrics, storeMetric{r.desc(name, help, "partition"), prometheus.GaugeValue, read})
	}
	counter := func(name, help string, read func(*statestore.Metrics) float64) {
		s.metrics = append(s.metrics, storeMetric{r.desc(name, help, "partition"), prometheus.CounterValue, read})
	}
	gauge("disk_bytes", "Files of the store, its log included.", func(m *statestore.Metrics) float64 { return float64(m.DiskBytes) })
	gauge("memtable_bytes", "Rows not yet flushed.", func(m *statestore.Metrics) float64 { return float64(m.MemTableBytes) })
	gauge("cache_bytes", "Block cache.", func(m *statestore.Metrics) float64 { return float64(m.CacheBytes) })
	gauge("compaction_debt_bytes", "What compactions still have to move.", func(m *statestore.Metrics) float64 { return float64(m.CompactionDebtBytes) })
	gauge("level0_sublevels", "Sublevels of level 0; many of them slow reads and then stall writes.", func(m *statestore.Metrics) float64 { return float64(m.L0Sublevels) })
	gauge("read_amplification", "Places that a read looks into.", func(m *statestore.Metrics) float64 { return float64(m.ReadAmplification) })
	gauge("damaged", "1 when the store was found damaged.", func(m *statestore.Metrics) float64 {
		if m.Damaged {
			return 1
		}
		return 0
	})
	counter("log_written_bytes_total", "Written to the store's log.", func(m *statestore.Metrics) float64 { return float64(m.LogBytesWritten) })
	counter("flushed_bytes_total", "Flushed from memory to files.", func(m *statestore.Metrics) float64 { return float64(m.FlushedBytes) })
	counter("compacted_bytes_total", "Rewritten by compactions.", func(m *statestore.Metrics) float64 { return float64(m.CompactedBytes) })
	counter("compactions_total", "Compactions.", func(m *statestore.Metrics) float64 { return float64(m.Compactions) })
	counter("cache_hits_total", "Blocks found in the cache.", func(m *statestore.Metrics) float64 { return float64(m.CacheHits) })
	counter("cache_misses_total", "Blocks not found in the cache.", func(m *statestore.Metrics) float64 { return float64(m.CacheMisses) })
	counter("background_errors_total", "Errors of flushes and compactions.", func(m *statestore.Metrics) float64 { return float64(m.BackgroundErrors) })
	counter("write_stalls_total", "Times that writes waited for flushes or compactions.", func(m *statestore.Metrics) float64 { return float64(m.WriteStalls) })
	counter("slow_disk_total", "Disk operations that took too long.", func(m *statestore.Metrics) float64 { return float64(m.SlowDisk) })
	return s
}

// Describe implements prometheus.Collector.
func (s *stores) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range s.metrics {
		ch <- m.desc
	}
	ch <- s.paused
}

// Collect implements prometheus.Collector.
func (s *stores) Collect(ch chan<- prometheus.Metric) {
	i := s.instance.Load()
	if i == nil {
		return
	}
	for _, l := range (*i).Status().Lanes {
		st, ok := (*i).Store(l.Partition)
		if !ok {
			continue
		}
		v := st.Metrics()
		if v == (statestore.Metrics{}) { // closed meanwhile
			continue
		}
		for _, m := range s.metrics {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read(&v), strconv.Itoa(int(l.Partition)))
		}
		types, err := st.TypeRows()
		if err != nil { // closed meanwhile, or it says so elsewhere
			continue
		}
		for i := range types {
			if types[i].Paused() != nil {
				ch <- prometheus.MustNewConstMetric(s.paused, prometheus.GaugeValue, 1, strconv.Itoa(int(l.Partition)), types[i].Type)
			}
		}
	}
}

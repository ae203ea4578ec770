package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// deployment is what docs/scaling.md thinks about.
type deployment struct {
	instances, partitions, brokers, services float64
	workflows                                float64 // chains started per second
	parked                                   float64 // bytes of state, all together
}

// units are measured costs: those of the rows cost, idle and takeover.
type units struct{ cost, idle, takeover map[string]float64 }

func readUnits(results string) (u units, err error) {
	for name, to := range map[string]*map[string]float64{rowCost: &u.cost, rowIdle: &u.idle, "takeover": &u.takeover} {
		var r struct{ Figures map[string]float64 }
		b, e := os.ReadFile(filepath.Join(results, name+".json"))
		if e == nil {
			e = json.Unmarshal(b, &r)
		}
		err = errors.Join(err, e)
		*to = r.Figures
	}
	return u, err
}

// quantity is one line of the model.
type quantity struct {
	about, formula string
	value          float64
	unit           string
}

// model is the arithmetic of docs/scaling.md. A transaction takes what came while the ones
// before it were on their way: with little to do each input has one of its own.
func model(d deployment, u units) []quantity {
	inputs := u.cost["chain_at_1_inputs"]
	commit := u.cost["local_at_1_commit_ms"] / 1e3
	perPartition := d.workflows * inputs / d.partitions
	batch := max(1, perPartition*commit)
	txns := d.workflows * inputs / batch
	// What a transaction costs beyond its records: alone, less what they cost in company.
	txnBroker := (u.cost["local_at_1_broker_cpu_us"] - u.cost["local_at_1000_broker_cpu_us"]) / u.cost["local_at_1_transactions"] / 1e6
	txnEngine := (u.cost["local_at_1_engine_cpu_us"] - u.cost["local_at_1000_engine_cpu_us"]) / u.cost["local_at_1_transactions"] / 1e6
	written := 2 + d.services // changelog, history, tasks of each service
	producers, readers := 3*(2+min(d.brokers, written)), 1+min(d.brokers, 2)+2
	connections := d.partitions * (producers + readers)
	state := d.parked / d.partitions
	cold := state / (u.takeover["cold_mb_per_s"] * 1e6)
	moved := d.partitions / d.instances
	return []quantity{
		{"inputs per partition", "W x inputs / P", perPartition, "/s"},
		{"inputs in a transaction", "max(1, inputs per partition x time of a transaction)", batch, ""},
		{"transactions", "W x inputs / inputs in a transaction", txns, "/s"},
		{"transactions per broker, as coordinator", "transactions / B", txns / d.brokers, "/s"},
		{"requests to coordinators, per broker", "2 x transactions / B: AddPartitionsToTxn and EndTxn", 2 * txns / d.brokers, "/s"},
		{"records of the coordinators' own log, per broker, before replication", "3 x transactions / B: ongoing, prepared, complete", 3 * txns / d.brokers, "/s"},
		{"markers, per broker, before replication", "transactions x (2 + S) / B at most", txns * written / d.brokers, "/s"},
		{"CPU of the brokers for transactions, before replication", "transactions x CPU of one", txns * txnBroker, "cores"},
		{"CPU of the brokers for records, before replication", "W x CPU of a chain in company", d.workflows * u.cost["chain_at_1000_broker_cpu_us"] / 1e6, "cores"},
		{"CPU of the brokers for idle partitions", "P x CPU of one", d.partitions * u.idle["broker_cpu_ms_per_s"] / 1e3, "cores"},
		{"bytes to the brokers, before replication", "W x bytes of a chain", d.workflows * u.cost["chain_at_1000_broker_bytes"] / 1e6, "MB/s"},
		{"CPU of one instance", "(transactions x CPU of one + W x CPU of a chain in company + P x CPU of one idle) / I", (txns*txnEngine + d.workflows*u.cost["chain_at_1000_engine_cpu_us"]/1e6 + d.partitions*u.idle["engine_cpu_ms_per_s"]/1e3) / d.instances, "cores"},
		{"requests of idle instances, all together", "P x requests of one", d.partitions * u.idle["requests_per_s"], "/s"},
		{"connections, all together", "P x (3 producers x (2 + min(B, 2 + S)) + readers: 3 + min(B, 2))", connections, ""},
		{"connections per broker", "connections / B", connections / d.brokers, ""},
		{"memory of one instance, without cached runs", "instance + P / I x memory of a partition", u.idle["instance_memory_mb"] + moved*u.idle["memory_kb"]/1e3, "MB"},
		{"an instance dies: partitions that move", "P / I", moved, ""},
		{"... with no copy of their state: time until the last is back", "session 10 s + P / I / (I - 1), rounded up x state of a partition / speed of a cold takeover", 10 + math.Ceil(moved/(d.instances-1))*cold, "s"},
		{"all instances start with empty disks: read from the brokers", "state", d.parked / 1e9, "GB"},
		{"... time until the last partition is back, if the brokers give it", "P / I x state of a partition / speed of a cold takeover", moved * cold, "s"},
		{"a broker dies: transactional producers that look for another coordinator", "3 x P / B", 3 * d.partitions / d.brokers, ""},
	}
}

// scalings are the deployments of the page, by their column's name.
var scalings = []struct {
	name string
	deployment
}{
	{"small", deployment{instances: 3, partitions: 64, brokers: 3, services: 3, workflows: 2_000, parked: 6.4e9}},
	{"large", deployment{instances: 100, partitions: 10_000, brokers: 12, services: 3, workflows: 20_000, parked: 1e12}},
	{"large, with 1,000 partitions", deployment{instances: 100, partitions: 1_000, brokers: 12, services: 3, workflows: 20_000, parked: 1e12}},
}

const scalingBegin = "<!-- begin: bin/bench scaling -->\n"

// scalingPage puts the model's table into the page.
func scalingPage(page string, u units) (string, error) {
	head, rest, ok := strings.Cut(page, scalingBegin)
	_, tail, ok2 := strings.Cut(rest, costEnd)
	if !ok || !ok2 {
		return "", errors.New("the page lacks the marks of the table")
	}
	var b strings.Builder
	columns := make([][]quantity, len(scalings))
	b.WriteString("| |")
	for i, s := range scalings {
		columns[i] = model(s.deployment, u)
		fmt.Fprintf(&b, " %s |", s.name)
	}
	fmt.Fprintf(&b, " formula |\n|---|%s---|\n", strings.Repeat("---|", len(scalings)))
	for _, line := range []struct {
		name string
		of   func(d deployment) float64
	}{
		{"I: instances", func(d deployment) float64 { return d.instances }},
		{"P: partitions", func(d deployment) float64 { return d.partitions }},
		{"B: brokers", func(d deployment) float64 { return d.brokers }},
		{"S: services of tasks", func(d deployment) float64 { return d.services }},
		{"W: chains started per second", func(d deployment) float64 { return d.workflows }},
		{"state of parked runs, GB", func(d deployment) float64 { return d.parked / 1e9 }},
	} {
		fmt.Fprintf(&b, "| %s |", line.name)
		for _, s := range scalings {
			fmt.Fprintf(&b, " %s |", short(line.of(s.deployment)))
		}
		b.WriteString(" |\n")
	}
	for i, q := range columns[0] {
		fmt.Fprintf(&b, "| %s |", q.about)
		for _, c := range columns {
			if math.IsNaN(c[i].value) || math.IsInf(c[i].value, 0) {
				return "", fmt.Errorf("%s cannot be computed: a measured figure is missing", q.about)
			}
			fmt.Fprintf(&b, " %s |", strings.TrimSpace(short(c[i].value)+" "+q.unit))
		}
		fmt.Fprintf(&b, " %s |\n", q.formula)
	}
	return head + scalingBegin + b.String() + costEnd + tail, nil
}

// writeScaling renews the table of docs/scaling.md.
func writeScaling(results string) error {
	u, err := readUnits(results)
	if err != nil {
		return err
	}
	file := filepath.Join(filepath.Dir(filepath.Dir(results)), "docs", "scaling.md")
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := scalingPage(string(page), u)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

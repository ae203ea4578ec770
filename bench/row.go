package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// row is one thing that this package measures.
type row struct {
	name  string
	about string // one line
	long  bool   // left out of "all"
	run   func(ctx context.Context, c config) (*result, error)
}

// rows in the order in which "all" runs them.
func rows() []row {
	return []row{
		pairs{name: "chain-external", load: chainLoad, levels: []int{1, 64, 1000, 4000}}.row("three tasks of a Go worker, one after the other"),
		pairs{name: "chain-local", load: localLoad, levels: []int{1, 1000, 4000}}.row("three local tasks, one after the other"),
		pairs{name: "empty", load: emptyLoad, levels: []int{1, 1000, 4000}}.row("a workflow with no task, from start to result"),
		pairs{name: "rf3", load: chainLoad, brokers: 3, levels: []int{1, 1000}}.row("the chain on three brokers, three replicas, two in sync"),
		pairs{name: "partitions", load: chainLoad, partitions: []int{1, 4, 16, 64}, levels: []int{1000}}.row("the chain on 1, 4, 16 and 64 partitions of one instance"),
		chainHTTPRow(),
		costRow(),
		idleRow(),
		timersRow(),
		takeoverRow(),
		scaleOutRow(),
		parkedRow(),
		sizeRow(),
		soakRow(),
	}
}

// runRow measures one row, writes its result and prints its line.
func (c config) runRow(ctx context.Context, r row) (*result, error) {
	c.row = r.name
	res, err := r.run(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("row %s: %w", r.name, err)
	}
	goals, err := goalsOf(c.goals, r.name)
	if err != nil {
		return nil, err
	}
	if err := res.judge(goals); err != nil {
		return nil, fmt.Errorf("row %s: %w", r.name, err)
	}
	return res, res.write()
}

// summary is the last line of "all".
type summary struct {
	Rows    int      `json:"rows"`
	Met     int      `json:"met"`
	Missed  []string `json:"missed"` // rows, with the figures that missed their goals
	Invalid []string `json:"invalid"`
	OK      bool     `json:"ok"`
}

// measure runs the row that was asked for, or all but the long ones.
func (c config) measure(ctx context.Context) error {
	all := rows()
	if c.row != rowAll {
		i := slices.IndexFunc(all, func(r row) bool { return r.name == c.row })
		if i < 0 {
			return fmt.Errorf("there is no row %q: the rows are %s, and %s for all but the long ones", c.row, names(all), rowAll)
		}
		res, err := c.runRow(ctx, all[i])
		if err != nil {
			return err
		}
		line, err := json.Marshal(res)
		if err != nil {
			return err
		}
		fmt.Println(string(line))
		if !res.OK {
			return errors.New("not ok")
		}
		return nil
	}
	sum := summary{Missed: []string{}, Invalid: []string{}}
	for _, r := range all {
		if r.long {
			continue
		}
		say("%s: %s", r.name, r.about)
		sum.Rows++
		res, err := c.runRow(ctx, r)
		switch {
		case ctx.Err() != nil:
			return err
		case err != nil:
			say("%v", err)
			sum.Invalid = append(sum.Invalid, r.name)
		case !res.Valid:
			sum.Invalid = append(sum.Invalid, r.name)
		case !res.Met:
			sum.Missed = append(sum.Missed, r.name+": "+strings.Join(res.missed(), ", "))
		default:
			sum.Met++
		}
	}
	sum.OK = sum.Rows > 0 && sum.Met == sum.Rows
	line, err := json.Marshal(sum)
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	if !sum.OK {
		return errors.New("not ok")
	}
	return nil
}

const rowAll = "all"

func names(rows []row) string {
	var out []string
	for _, r := range rows {
		out = append(out, r.name)
	}
	return strings.Join(out, ", ")
}

// goal bounds one figure of a row's line.
type goal struct {
	Figure string   `json:"figure"` // path in the line, as at.1000.ratio
	Min    *float64 `json:"min,omitempty"`
	Max    *float64 `json:"max,omitempty"`
	About  string   `json:"about"`
}

// goalsOf reads a row's goals. A row without any is a mistake: nothing could be missed.
func goalsOf(file, row string) ([]goal, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the goals (flag -goals): %w", err)
	}
	var all map[string][]goal
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(all[row]) == 0 {
		return nil, fmt.Errorf("%s has no goals for row %s", file, row)
	}
	return all[row], nil
}

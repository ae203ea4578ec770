package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/odradek/odradek/internal/fault"
	"github.com/odradek/odradek/test/kafkatest"
	"github.com/odradek/odradek/test/system"
)

// controlsLine is the last line of the controls.
type controlsLine struct {
	Check   string                `json:"check"`
	Rules   int                   `json:"rules"`
	Caught  int                   `json:"caught"`
	By      map[fault.Rule]string `json:"by"`
	Kept    bool                  `json:"kept"` // the same tests find nothing while all rules are kept
	OK      bool                  `json:"ok"`
	Seconds float64               `json:"seconds"`
}

func (l *controlsLine) good() bool { return l.OK }

// control is a rule and the test that has to notice that it is off.
type control struct {
	rule  fault.Rule
	drill *crashDrill // nil: owners that fight
}

func allControls() []control {
	return []control{
		// The store is written, and the transaction is aborted by the next owner. (A crash
		// of the process does not show it: the store's last writes go with it.)
		{fault.Early, nil},
		// A takeover that begins while the last owner commits.
		{fault.LSO, nil},
		// A result is there twice when the worker dies before it commits its offset.
		{fault.NoDedupe, &crashDrill{worker: []fault.Point{fault.WorkerCommit}, crashes: 4}},
		// An answer that was lost makes a second attempt.
		{fault.FreshKey, &crashDrill{load: 8 * time.Second}},
		// The Checkpoint is written, its rows are not: the crash is between.
		{fault.Checkpoint, &crashDrill{engine: []fault.Point{fault.BeforeSettle}, crashes: 8}},
	}
}

// controls switches rules off, one at a time, and sees that a test on a real Kafka
// notices; and that the same tests notice nothing while all rules are kept.
func controls(ctx context.Context, seed uint64, only string, log *journal) (_ *controlsLine, err error) {
	line := &controlsLine{Check: "controls", By: map[fault.Rule]string{}, Kept: true}
	defer func() { line.Seconds = log.seconds() }()
	dir, err := os.MkdirTemp("", "odradek-controls-")
	if err != nil {
		return line, err
	}
	defer func() {
		if err != nil || !line.OK {
			log.say("logs, ledgers and stores stay in %s", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	bin, err := system.Build(ctx, dir, "odradek_test")
	if err != nil {
		return line, err
	}
	fight := filepath.Join(dir, "fight.test")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-tags", "odradek_test", "-o", fight, "github.com/odradek/odradek/engine/processor").CombinedOutput(); err != nil {
		return line, fmt.Errorf("build the test of owners that fight: %w\n%s", err, out)
	}
	broker, err := kafkatest.Launch(ctx, kafkatest.Config{Dir: filepath.Join(dir, "kafka")})
	if err != nil {
		return line, err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()

	fought := false // with all rules
	for _, c := range allControls() {
		if only != "" && only != string(c.rule) {
			continue
		}
		line.Rules++
		test := func(off fault.Rule) (string, error) {
			if c.drill == nil {
				return runFight(ctx, fight, broker, off)
			}
			d := *c.drill
			d.off, d.seed = off, seed
			return runCrashes(ctx, d, bin, broker, dir, log)
		}
		if c.drill != nil || !fought {
			fought = fought || c.drill == nil
			found, err := test("")
			if err != nil {
				return line, fmt.Errorf("%s, kept: %w", c.rule, err)
			}
			if found != "" {
				line.Kept = false
				log.say("%s is KEPT, and yet: %s", c.rule, found)
			}
		}
		found, err := test(c.rule)
		if err != nil {
			return line, fmt.Errorf("%s, off: %w", c.rule, err)
		}
		if found == "" {
			log.say("%s is off and NOBODY NOTICED", c.rule)
			continue
		}
		line.Caught++
		line.By[c.rule] = found
		log.say("%s is off, and is noticed: %s", c.rule, found)
	}
	line.OK = line.Kept && line.Caught == line.Rules && line.Rules > 0
	return line, nil
}

// runCrashes gives what the oracle found wrong; empty: nothing.
func runCrashes(ctx context.Context, d crashDrill, bin system.Binaries, broker *kafkatest.Cluster, dir string, log *journal) (string, error) {
	out, err := d.run(ctx, bin, broker, dir, log)
	if err != nil {
		return "", err
	}
	log.say("rule off: %q; %d crashes, %d accepted, %d open, stuck %v; %d missing, %d doubled, %d broken", d.off, out.crashes, out.accepted, out.open, out.stuck, out.Missing, out.Doubled, out.Broken)
	if out.accepted < 50 {
		return "", fmt.Errorf("only %d runs were accepted: this shows nothing", out.accepted)
	}
	if out.OK() {
		return "", nil
	}
	return fmt.Sprintf("crash drill: %d missing, %d doubled, %d broken, %d of %d open, stuck %v: %s", out.Missing, out.Doubled, out.Broken, out.open, out.accepted, out.stuck, out.Problems[0]), nil
}

// fightRuns is how often owners fight. Without early or lso each time was noticed of
// six, and with all rules none (measured).
const fightRuns = 3

// runFight runs lanes that believe to own the same partition against the broker, and
// gives what their test found wrong.
func runFight(ctx context.Context, program string, broker *kafkatest.Cluster, off fault.Rule) (string, error) {
	cmd := exec.CommandContext(ctx, program, "-test.run", "^TestOwnersThatFightAndCrash$", "-test.count", fmt.Sprint(fightRuns), "-test.v", "-test.timeout", "3m")
	cmd.Env = append(os.Environ(), "ODRADEK_TEST_KAFKA="+broker.Seeds()[0], "ODRADEK_RULES_OFF="+string(off))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return "", nil
	}
	for l := range strings.SplitSeq(string(out), "\n") {
		if l = strings.TrimSpace(l); strings.Contains(l, "outputs, ") && strings.Contains(l, "_test.go:") {
			if _, what, ok := strings.Cut(l, "_test.go:"); ok && !strings.Contains(what, " 0 twice, 0 lost, 0 too many, 0 counters wrong") {
				_, what, _ = strings.Cut(what, ": ")
				return "owners that fight: " + what, nil
			}
		}
	}
	return "", fmt.Errorf("owners that fight: %w\n%s", err, out)
}

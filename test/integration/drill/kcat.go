package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/test/kafkatest"
	"github.com/odradek/odradek/test/system"
)

// kcatLine is the last line of the drill.
type kcatLine struct {
	Drill    string   `json:"drill"`
	Kcat     string   `json:"kcat"`   // its version
	Blocks   int      `json:"blocks"` // of the page, that were played
	Unplayed []string `json:"unplayed,omitempty"`
	Missing  []string `json:"missing,omitempty"` // of what the output was to have
	Status   string   `json:"status"`            // of the workflow in the end
	OK       bool     `json:"ok"`
	Seconds  float64  `json:"seconds"`
}

func (l *kcatLine) good() bool { return l.OK }

var kcatBlock = regexp.MustCompile("(?ms)^```sh kcat=([a-z-]+)\n(.*?)^```$")

// kcatOrder is the order in which the page's blocks are played.
var kcatOrder = []string{"setup", "take", "answer", "fail", "start", "month", "signal", "goodbye", "result", "dead-letter"}

// kcatOutput is what they print, among other things.
var kcatOutput = []string{
	`"kind":"run_completed"`,
	`"result":{"customer":"7","months":1,"cents":217,"last_invoice":"2026-0001","reason":"moved"}`,
	"od-dl-code=command_missing",
}

// playKcat plays the examples of docs/protocol.md, as they stand, against a real
// Kafka and an engine; there is no service worker but kcat.
func playKcat(ctx context.Context, log *journal) (_ *kcatLine, err error) {
	line := &kcatLine{Drill: "kcat"}
	defer func() { line.Seconds = log.seconds() }()
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	version, err := exec.CommandContext(ctx, "kcat", "-V").Output()
	if err != nil {
		return line, fmt.Errorf("kcat is not installed (apt-get install kcat): %w", err)
	}
	for l := range strings.SplitSeq(string(version), "\n") {
		if rest, ok := strings.CutPrefix(l, "Version "); ok {
			line.Kcat = rest
		}
	}
	script, err := line.script(ctx)
	if err != nil {
		return line, err
	}
	dir, err := os.MkdirTemp("", "odradek-kcat-")
	if err != nil {
		return line, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bin, err := system.Build(ctx, dir, "")
	if err != nil {
		return line, err
	}
	broker, err := kafkatest.Launch(ctx, kafkatest.Config{})
	if err != nil {
		return line, err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	sys, err := system.New(ctx, system.Config{
		Binaries: bin, Dir: filepath.Join(dir, "system"), Kafka: map[string]string{"bootstrap.servers": broker.Seeds()[0]},
		Namespace: "kcat", Partitions: 3, Engines: 1,
	})
	if err != nil {
		return line, err
	}
	defer func() { err = errors.Join(err, sys.Close()) }()
	if err := sys.Start(ctx); err != nil {
		return line, err
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Env = append(os.Environ(), "BROKERS="+broker.Seeds()[0], "NS=kcat")
	out, err := cmd.CombinedOutput()
	log.say("the script says\n%s", out)
	if err != nil {
		return line, fmt.Errorf("play docs/protocol.md: %w", err)
	}
	for _, want := range kcatOutput {
		if !strings.Contains(string(out), want) {
			line.Missing = append(line.Missing, want)
		}
	}
	c, err := client.NewHTTP(client.HTTPConfig{URL: "http://" + sys.Engines[0].API})
	if err != nil {
		return line, err
	}
	defer c.Close()
	w, err := c.Get(ctx, "customer-7")
	if err != nil {
		return line, err
	}
	line.Status = string(w.Status)
	line.OK = len(line.Missing)+len(line.Unplayed) == 0 && w.Status == api.StatusCompleted
	return line, sys.Stop()
}

// script puts the page's blocks together.
func (l *kcatLine) script(ctx context.Context) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	page, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "docs", "protocol.md"))
	if err != nil {
		return "", err
	}
	blocks := map[string]string{}
	for _, m := range kcatBlock.FindAllStringSubmatch(string(page), -1) {
		if blocks[m[1]] == "" {
			l.Unplayed = append(l.Unplayed, m[1])
		}
		blocks[m[1]] += m[2]
	}
	script := "set -eu\n"
	for _, name := range kcatOrder {
		if blocks[name] == "" {
			return "", fmt.Errorf("docs/protocol.md has no block %q", name)
		}
		script += blocks[name]
		l.Blocks++
		for i, u := range l.Unplayed {
			if u == name {
				l.Unplayed = append(l.Unplayed[:i], l.Unplayed[i+1:]...)
				break
			}
		}
	}
	return script, nil
}

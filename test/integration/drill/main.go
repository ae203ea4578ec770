// Command drill runs a deployment on a real Kafka, hurts it, and judges what came of
// it:
//
//	go run ./test/integration/drill kill [-seed N] [-quick]
//	go run ./test/integration/drill examples [-seed N]
//	go run ./test/integration/drill weak-service [-seed N]
//	go run ./test/integration/drill outages [-seed N]
//	go run ./test/integration/drill limit [-quick]
//	go run ./test/integration/drill kcat
//	go run ./test/integration/drill controls
//
// The last line on standard output is one JSON object; its ok says whether all is
// right. The exit code is 1 if it is not, or if the drill did not do what it was to.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "drill:", err)
		stop()
		os.Exit(1)
	}
}

// errNotOK ends a drill whose line has been printed.
var errNotOK = errors.New("not ok; the last line on standard output says what")

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("which drill? kill, examples, weak-service, outages, limit, kcat or controls")
	}
	f := flag.NewFlagSet("drill "+args[0], flag.ExitOnError)
	seed := f.Uint64("seed", uint64(time.Now().Unix()), "chooses who is hit and when")
	quick := f.Bool("quick", false, "a smoke version of kill and limit, 90 s at most")
	bin := f.String("bin", "", "`folder` with the binaries of kill; default: they are built")
	rule := f.String("rule", "", "the only rule that controls switches off")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	log := newJournal(os.Stderr)
	var line result
	var err error
	switch args[0] {
	case "kill":
		p := fullPlan()
		if *quick {
			p = quickPlan()
		}
		p.bin = *bin
		line, err = kill(ctx, p, *seed, log)
	case "examples":
		line, err = examples(ctx, *seed, log)
	case "weak-service":
		line, err = weak(ctx, *seed, log)
	case "limit":
		line, err = limit(ctx, *quick, log)
	case "outages":
		line, err = outages(ctx, *seed, log)
	case "kcat":
		line, err = playKcat(ctx, log)
	case "controls":
		line, err = controls(ctx, *seed, *rule, log)
	default:
		return fmt.Errorf("there is no drill %q: kill, examples, weak-service, outages, limit, kcat or controls", args[0])
	}
	if err != nil {
		log.say("error: %v", err)
	}
	b, jsonErr := json.Marshal(line)
	if jsonErr != nil {
		return jsonErr
	}
	fmt.Println(string(b))
	if err == nil && !line.good() {
		err = errNotOK
	}
	return err
}

// result is a drill's last line.
type result interface{ good() bool }

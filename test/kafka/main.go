// Command kafka fetches Apache Kafka and runs 1 or 3 brokers on loopback until
// Ctrl-C:
//
//	go run ./test/kafka [-brokers 3] [-secure] [-dir DIR] [-fetch]
//
// The first line on standard output is the bootstrap address.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/odradek/odradek/test/kafkatest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "kafka:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	var cfg kafkatest.Config
	flag.IntVar(&cfg.Brokers, "brokers", 1, "1 or 3")
	flag.StringVar(&cfg.Dir, "dir", "", "empty `folder` for data and logs; default: a temporary one")
	flag.BoolVar(&cfg.Secure, "secure", false, "add a listener with SSL and SCRAM-SHA-512")
	fetch := flag.Bool("fetch", false, "get the jars, start nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *fetch {
		return kafkatest.Fetch(ctx)
	}
	c, err := kafkatest.Launch(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	fmt.Println(strings.Join(c.Seeds(), ","))
	if cfg.Secure {
		s := c.Secure()
		fmt.Printf("secure: %s (SASL_SSL, SCRAM-SHA-512, user %s, password %s, CA %s)\n", strings.Join(s.Seeds, ","), s.User, s.Password, s.CAFile)
	}
	fmt.Printf("data and logs: %s; Ctrl-C ends\n", c.Dir())
	<-ctx.Done()
	return nil
}

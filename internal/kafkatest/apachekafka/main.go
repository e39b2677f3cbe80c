// Command apachekafka runs a single Apache Kafka node in the foreground, for benchmarks and for people:
//
//	go run ./internal/kafkatest/apachekafka [--dir DIR] [--port N] [--heap MIB]
//
// It prints host:port on one line of stdout once the broker answers, and ends it on SIGINT or SIGTERM. It exits with 1
// when the broker can't be started or ends by itself, and with 2 on wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"consentd/internal/kafkatest"
)

func main() { os.Exit(run()) }

func run() int {
	dir := flag.String("dir", "", "where configuration, data and log are, kept and continued; without: a temporary one, removed at the end")
	port := flag.Int("port", 0, "the port to listen on; 0: a free one")
	heap := flag.Int("heap", 512, "the Java heap's limit in MiB")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "apachekafka: it takes no arguments, but was given %q\n", flag.Args())
		return 2
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	// The flags are those of Kafka's own scripts: what is measured here runs for long.
	o := kafkatest.ApacheOptions{Port: *port, HeapMB: *heap, JavaFlags: []string{"-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"}}
	if err := serve(ctx, *dir, o); err != nil {
		fmt.Fprintln(os.Stderr, "apachekafka:", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, dir string, o kafkatest.ApacheOptions) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "apachekafka-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	b, err := kafkatest.StartApache(ctx, dir, o)
	if err != nil {
		return err
	}
	fmt.Println(b.Addr())
	select {
	case <-ctx.Done():
		return b.Stop()
	case <-b.Done():
		return fmt.Errorf("the broker ended by itself: see %s/server.log", dir)
	}
}

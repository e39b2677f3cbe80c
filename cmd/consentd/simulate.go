package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"consentd/wechat/wechattest"
)

func simulateCommand() *cobra.Command {
	var listen string
	var o wechattest.Options
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Run the simulated WeCom as a process",
		Long: `Run the simulated WeCom: the two calls on consent and those for tokens as the real API answers them, with statuses, delays,
limits and faults set over HTTP under /simulator/. It prints its URL on one line and serves until it is stopped.

It knows every corp and suite and takes any secret, unless --corp or --suite names some.`,
		Example: "  consentd simulate --listen 127.0.0.1:8080 --delay 20ms\n" +
			"  consentd simulate --corp ww1=secret --corp ww2=other --suite s1=secret\n" +
			"  consentd simulate --calls-per-minute 40000 --corp-calls-per-minute 10000 --corp-concurrency 5",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkLimits(o.Limits); err != nil {
				return err
			}
			switch {
			case o.Delay < 0:
				return &usageError{fmt.Errorf("--delay %s: want 0 or more", o.Delay)}
			case o.TokenTTL <= 0:
				return &usageError{fmt.Errorf("--token-ttl %s: want more than 0", o.TokenTTL)}
			}
			l, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", listen)
			if errors.Is(err, syscall.EADDRINUSE) {
				return fmt.Errorf("--listen: %w", err)
			}
			if err != nil {
				return &usageError{fmt.Errorf("--listen: %w", err)}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "http://%s\n", l.Addr())
			return serve(cmd.Context(), l, wechattest.New(o))
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "listen on `HOST:PORT`; port 0: any free one")
	cmd.Flags().DurationVar(&o.Delay, "delay", 0, "answer each call after `DURATION`")
	cmd.Flags().DurationVar(&o.TokenTTL, "token-ttl", 2*time.Hour, "let access_tokens and suite_access_tokens expire after `DURATION`")
	cmd.Flags().StringToStringVar(&o.Corps, "corp", nil, "know the corp `ID=SECRET` (may be given more than once); none: every corp")
	cmd.Flags().StringToStringVar(&o.Suites, "suite", nil, "know the suite `ID=SECRET` (may be given more than once); none: every suite")
	cmd.Flags().IntVar(&o.Limits.CallsPerMinute, "calls-per-minute", 0,
		"answer at most `N` single and N room calls of all corps in a minute, more with 45009; 0: no limit")
	cmd.Flags().IntVar(&o.Limits.Corp.CallsPerMinute, "corp-calls-per-minute", 0, "answer at most `N` of each corp by itself; 0: no limit")
	cmd.Flags().IntVar(&o.Limits.Corp.Concurrency, "corp-concurrency", 0,
		"answer at most `N` calls of a corp at the same time, more with 45033; 0: no limit")
	return cmd
}

func checkLimits(l wechattest.Limits) error {
	for _, limit := range []struct {
		flag  string
		value int
	}{
		{"calls-per-minute", l.CallsPerMinute},
		{"corp-calls-per-minute", l.Corp.CallsPerMinute},
		{"corp-concurrency", l.Corp.Concurrency},
	} {
		if limit.value < 0 {
			return &usageError{fmt.Errorf("--%s %d: want a number, 0 for no limit", limit.flag, limit.value)}
		}
	}
	return nil
}

// serve answers until ctx ends, then lets the calls in flight end.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	const grace = 5 * time.Second
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		stopped <- s.Shutdown(ctx)
	})
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return err
	}
	return <-stopped
}

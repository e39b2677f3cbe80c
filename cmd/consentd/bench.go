package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kfake"

	"consentd/config"
	"consentd/internal/bench"
	"consentd/internal/logging"
)

func benchCommand() *cobra.Command {
	o := bench.Options{Workload: "steady", Delay: 20 * time.Millisecond}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the daemon: items a second, CPU, memory, calls",
		Long: `Measure the daemon on a workload. Broker, simulated WeCom and load run in other processes, so that CPU time and memory are
the daemon's alone, its start and the restoring of the status included.

  steady    known conversations, nothing changed, flat single requests keyed by corp id. In the same run the floor is
            measured: bare kafka-go that moves the same records in and as many out, with no JSON and no API
  delivery  the same, exactly once and at least once by turns
  instances requests without keys: the calls that one instance makes and that three make; then one of these is killed
  slow      what one request whose call takes 30 s costs the others of its partition
  sick      what three corps in trouble cost the others: for how long those wait for an answer, alone and beside them
  outage    requests wait while the API is down: the daemon's memory, and what happens afterwards
  replay    how fast dead letters are replayed, as fast as can be and at a set rate
  quota     many corps under the calls a minute that WeCom allows: the time beside the ideal one

Without --brokers an embedded broker is started. Topics with a name of their own are created and left behind.`,
		Example: "  consentd bench --brokers localhost:9092\n  consentd bench --rate 5000 --corps 1 --items 100000",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(bench.Workloads(), o.Workload) {
				return &usageError{fmt.Errorf("--workload %s: want one of %s", o.Workload, strings.Join(bench.Workloads(), ", "))}
			}
			if min(o.Items, o.Corps, o.Conversations, o.Rate) < 0 || o.Outage < 0 {
				return &usageError{errors.New("--items, --corps, --conversations, --rate and --outage must not be negative")}
			}
			report, err := bench.Run(cmd.Context(), o, func(s string) { cmd.PrintErrln(s) })
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(report)
			}
			return report.Print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringSliceVar(&o.Brokers, "brokers", nil, "measure on the cluster at `HOST:PORT,…` instead of an embedded broker")
	cmd.Flags().StringVar(&o.Workload, "workload", o.Workload, "measure `NAME`: "+strings.Join(bench.Workloads(), ", "))
	_ = cmd.RegisterFlagCompletionFunc("workload", cobra.FixedCompletions(bench.Workloads(), cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().IntVar(&o.Items, "items", o.Items, "ask for `N` items; 0: what the workload is meant for, as with the next three")
	cmd.Flags().IntVar(&o.Corps, "corps", o.Corps, "of `N` corps")
	cmd.Flags().IntVar(&o.Conversations, "conversations", o.Conversations, "with `N` conversations")
	cmd.Flags().IntVar(&o.Rate, "rate", o.Rate, "submit `N` requests a second while the daemon runs, instead of all before it starts")
	cmd.Flags().DurationVar(&o.Outage, "outage", o.Outage, "let the outage last for `DURATION`; 0: 10 minutes")
	cmd.Flags().DurationVar(&o.Delay, "delay", o.Delay, "let the simulated WeCom take `DURATION` for a call")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// benchPartCommand is what the benchmark runs in processes of their own.
func benchPartCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "bench-part", Hidden: true, Args: noArguments}
	var path string
	daemonPart := &cobra.Command{
		Use: "daemon", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := config.Load(path, os.Environ())
			if err != nil {
				return err
			}
			log := logging.New(cfg.Log, cmd.ErrOrStderr())
			defer log.Close()
			if err := runDaemon(cmd.Context(), cfg, path, log); err != nil {
				return err
			}
			return bench.PrintUsage(cmd.OutOrStdout(), 0)
		},
	}
	configFlag(daemonPart, &path)

	brokerPart := &cobra.Command{
		Use: "broker", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := kfake.NewCluster(kfake.NumBrokers(1))
			if err != nil {
				return err
			}
			defer c.Close()
			fmt.Fprintln(cmd.OutOrStdout(), c.ListenAddrs()[0])
			<-cmd.Context().Done()
			return nil
		},
	}

	var brokers []string
	var from, to string
	var items int
	floorPart := &cobra.Command{
		Use: "floor", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			took, err := bench.Floor(cmd.Context(), brokers, from, to, items)
			if err != nil {
				return err
			}
			return bench.PrintUsage(cmd.OutOrStdout(), took)
		},
	}
	floorPart.Flags().StringSliceVar(&brokers, "brokers", nil, "")
	floorPart.Flags().StringVar(&from, "from", "", "")
	floorPart.Flags().StringVar(&to, "to", "", "")
	floorPart.Flags().IntVar(&items, "items", 0, "")

	cmd.AddCommand(daemonPart, brokerPart, floorPart)
	return cmd
}

package main

import (
	"errors"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"consentd/config"
	"consentd/internal/dev"
	"consentd/internal/logging"
)

func devCommand() *cobra.Command {
	o := dev.Options{Items: 2000, Rate: 100}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything on this machine: an embedded broker, the simulated WeCom, the daemon and traffic",
		Long: `Run everything on one machine without installing anything: an embedded broker, the simulated WeCom, the daemon and
traffic, in one process. It prints where broker, simulator and data are, so that other tools can be pointed at them, and
keeps running until it is stopped.

With --rounds it runs so many finite rounds instead: everything is asked for, some customers change their mind, everything
is asked for again; it ends with a summary, and with exit code 1 when that does not add up.`,
		Example: "  consentd dev\n  consentd dev --rounds 1 --items 10000",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Rounds < 0 || o.Items < 1 || o.Rate < 1 {
				return &usageError{errors.New("--rounds must be 0 or more, --items and --rate 1 or more")}
			}
			level := zerolog.LevelInfoValue
			if o.Rounds > 0 {
				level = zerolog.LevelWarnValue
			}
			log := logging.New(config.Log{Level: level, Format: "console"}, cmd.ErrOrStderr())
			defer log.Close()
			return dev.Run(cmd.Context(), o, cmd.OutOrStdout(), progressTo(cmd.ErrOrStderr()), log)
		},
	}
	cmd.Flags().IntVar(&o.Rounds, "rounds", o.Rounds, "run `N` finite rounds and check each; 0: go on until stopped")
	cmd.Flags().IntVar(&o.Items, "items", o.Items, "ask for `N` pairs a round")
	cmd.Flags().IntVar(&o.Rate, "rate", o.Rate, "ask for `N` pairs a second when there are no rounds")
	cmd.Flags().StringVar(&o.Dir, "data", o.Dir, "keep the broker's data in `DIR` instead of in memory")
	return cmd
}

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"consentd/config"
	"consentd/internal/daemon"
	"consentd/internal/logging"
	"consentd/internal/tracing"
)

func runCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Run the daemon",
		Long: `Run the daemon: read requests, ask WeCom, publish answers and changes.

SIGTERM or SIGINT: stop fetching, drain, commit, leave the group and exit with 0; a second one: exit at once with 1.
Every key of the configuration is also an environment variable; without --config these and the defaults are all.
OTEL_EXPORTER_OTLP_ENDPOINT, and the other variables of OpenTelemetry, turn traces on.`,
		Example: "  consentd run --config consentd.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, warnings, err := config.Load(path, os.Environ())
			if err != nil {
				return err
			}
			log := logging.New(cfg.Log, cmd.ErrOrStderr())
			for _, w := range warnings {
				log.Logger.Warn().Str("problem", w).Str("hint", "see whether it is meant to be so").Msg("the configuration may not be what was meant")
			}
			err = runDaemon(cmd.Context(), cfg, path, log)
			log.Close() // what was counted comes before the last line
			if err != nil {
				return err
			}
			log.Logger.Info().Msg("stopped: drained and left the group")
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// runDaemon runs the daemon with a configuration and the file that it came from, and traces as the environment says.
func runDaemon(ctx context.Context, cfg config.Config, path string, log *logging.Log) error {
	version := buildVersion().Version
	tracer, err := tracing.New(ctx, version, cfg.Instance, log.Logger)
	if err != nil {
		return &usageError{err}
	}
	defer tracer.Close(ctx)
	return daemon.Run(ctx, cfg, version, reload(path), tracer, log)
}

// reload loads the configuration again.
func reload(path string) daemon.Reload {
	return func() (config.Config, error) {
		cfg, _, err := config.Load(path, os.Environ())
		return cfg, err
	}
}

func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "config", "", "the configuration `FILE` (YAML)")
	if err := cmd.MarkFlagFilename("config", "yaml", "yml"); err != nil {
		panic(fmt.Sprintf("a flag that was just defined: %v", err))
	}
}

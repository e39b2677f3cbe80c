package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"consentd/config"
	"consentd/internal/daemon"
)

func runCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Run the daemon",
		Long: `Run the daemon: read requests, ask WeCom, publish answers and changes.

SIGTERM or SIGINT: stop fetching, drain, commit, leave the group and exit with 0; a second one: exit at once with 1.
Every key of the configuration is also an environment variable; without --config these and the defaults are all.`,
		Example: "  consentd run --config consentd.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, warnings, err := config.Load(path, os.Environ())
			if err != nil {
				return err
			}
			log := newLogger(cfg.Log, cmd.ErrOrStderr())
			for _, w := range warnings {
				log.Warn().Msg(w)
			}
			if err := daemon.Run(cmd.Context(), cfg, buildVersion().Version, reload(path), log); err != nil {
				return err
			}
			log.Info().Msg("stopped: drained and left the group")
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
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

// newLogger writes as the configuration says, to stderr.
func newLogger(cfg config.Log, stderr io.Writer) zerolog.Logger {
	if cfg.Format == "console" {
		stderr = zerolog.ConsoleWriter{Out: stderr, TimeFormat: time.TimeOnly}
	}
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		level = zerolog.InfoLevel // config.Load refuses other words
	}
	return zerolog.New(stderr).Level(level).With().Timestamp().Logger()
}

package main

import (
	"os"

	"github.com/spf13/cobra"

	"consentd/config"
)

func configCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "config [--config FILE]",
		Short: "Print the effective configuration, secrets hidden",
		Long: `Print what the file, the environment and the defaults come to, as YAML; secrets are hidden. Everything that is wrong
is listed with file, line and key, and the exit code is 2: it serves as a check before a deployment.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, warnings, err := config.Load(path, os.Environ())
			if err != nil {
				return err
			}
			for _, w := range warnings {
				cmd.PrintErrln("warning:", w)
			}
			yaml, err := cfg.YAML()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(yaml)
			return err
		},
	}
	configFlag(cmd, &path)
	return cmd
}

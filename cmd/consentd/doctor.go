package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"consentd/config"
	"consentd/internal/doctor"
	"consentd/internal/tracing"
)

func doctorCommand() *cobra.Command {
	var path string
	var o doctor.Options
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what keeps the configuration from working, and say what to do",
		Long: `Look at the configuration, the brokers (names, connections, TLS, login, versions), topics, rights, the group, transactions, the way
to the API, this machine's clock, each corp's token, and make one harmless call for each corp. It changes nothing.

Each finding says what is the case, what to do, and which key to change. The exit code is 1 when something is WRONG; a risk alone
leaves it at 0.`,
		Example: "  consentd doctor --config consentd.yaml\n  consentd doctor --config consentd.yaml --corp ww1 --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings, err := examine(cmd, path, o)
			if err != nil {
				return err
			}
			if err := printFindings(cmd.OutOrStdout(), findings, asJSON); err != nil {
				return err
			}
			if err := cmd.Context().Err(); err != nil {
				return fmt.Errorf("not everything was looked at: %w", err)
			}
			if doctor.Failed(findings) {
				return errors.New("something is wrong: see above")
			}
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringSliceVar(&o.Corps, "corp", nil, "of the corps look only at `ID` (may be given more than once)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	corpCompletion(cmd, "corp", &path)
	return cmd
}

func examine(cmd *cobra.Command, path string, o doctor.Options) ([]doctor.Finding, error) {
	cfg, warnings, err := config.Load(path, os.Environ())
	var problems *config.Error
	errors.As(err, &problems)
	findings := doctor.Configuration(problems, warnings, tracing.Check(os.Getenv))
	if problems != nil {
		return findings, nil
	}
	for _, id := range o.Corps {
		if !slices.ContainsFunc(cfg.AllCorps(), func(c config.Corp) bool { return c.CorpID == id }) {
			return nil, &usageError{fmt.Errorf("--corp %q: the configuration has no such corp", id)}
		}
	}
	const clearLine = "\r\x1b[K"
	progress := progressTo(cmd.ErrOrStderr())
	defer fmt.Fprint(progress, clearLine)
	doctor.Examine(cmd.Context(), cfg, o, func(f doctor.Finding) {
		fmt.Fprint(progress, clearLine, f.Check, " ", f.Subject)
		findings = append(findings, f)
	})
	return findings, nil
}

func printFindings(out io.Writer, findings []doctor.Finding, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(map[string]any{"findings": findings})
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RESULT\tCHECK\tSUBJECT\tFOUND")
	for _, f := range findings {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Level, f.Check, f.Subject, oneLine(f.Found))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	head, rows, _ := strings.Cut(table.String(), "\n")
	fmt.Fprintln(out, head)
	for i, row := range strings.SplitAfter(strings.TrimSuffix(rows, "\n"), "\n") {
		fmt.Fprintln(out, strings.TrimSuffix(row, "\n"))
		if do := findings[i].Do; do != "" {
			fmt.Fprintf(out, "         do:  %s\n", oneLine(do))
		}
		if key := findings[i].Key; key != "" {
			fmt.Fprintf(out, "         key: %s\n", key)
		}
	}
	return nil
}

func oneLine(text string) string { return strings.ReplaceAll(text, "\n", "; ") }

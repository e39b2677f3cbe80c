package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"consentd/internal/watch"
	"consentd/schemas"
)

func watchCommand() *cobra.Command {
	var path string
	var o watch.Options
	var since timeFlag
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show results as they come",
		Long: `Show the events of the results topic, and of the changes topic where there is one: all that are there, or from --since on, up
to the present end; with --follow it goes on until it is stopped.

It joins no group and commits nothing. --json prints each event as it was published, one a line.`,
		Example: "  consentd watch --config consentd.yaml --since -1h --type failed\n" +
			"  consentd watch --config consentd.yaml --since now --follow --type changed --json",
		Args: noArguments,
	}
	configFlag(cmd, &path)
	cmd.Flags().StringSliceVar(&o.Filter.Types, "type", nil, "only events of `TYPE`: checked, failed or changed (may be given more than once)")
	cmd.Flags().StringSliceVar(&o.Filter.Corps, "corp", nil, "only events of the corp `ID` (may be given more than once)")
	cmd.Flags().Var(&since, "since", "only events published at or after `TIME`: RFC 3339 with a zone, -6h, or now")
	cmd.Flags().BoolVar(&o.Follow, "follow", false, "go on at the end, until stopped")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the events as they were published, one a line")
	types := words(cmd, "type", "checked", "failed", "changed")
	complete(cmd, "since", cobra.FixedCompletions([]string{"now", "-10m", "-1h", "-24h"}, cobra.ShellCompDirectiveNoFileComp))
	corpCompletion(cmd, "corp", &path)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := types(o.Filter.Types...); err != nil {
			return err
		}
		o.Filter.Types = typesNamed(o.Filter.Types)
		s, err := open(cmd, path)
		if err != nil {
			return err
		}
		defer s.close()
		o.Since = since.Time
		o.Topics = resultTopics(s)
		err = watch.Run(cmd.Context(), s.cluster, o, s.log, eventPrinter(cmd.OutOrStdout(), asJSON))
		if o.Follow && errors.Is(err, context.Canceled) {
			return nil // it was told to stop
		}
		return err
	}
	return cmd
}

// resultTopics are the topics that events are published to.
func resultTopics(s *session) []string {
	topics := []string{s.config.Topics.Results}
	if s.config.Topics.Changes != "" {
		topics = append(topics, s.config.Topics.Changes)
	}
	return topics
}

var eventTypes = map[string]string{
	"checked": schemas.TypeChecked, "failed": schemas.TypeFailed, "changed": schemas.TypeChanged,
}

func typesNamed(names []string) []string {
	var types []string
	for _, name := range names {
		types = append(types, eventTypes[name])
	}
	return types
}

// eventPrinter prints events, as they were published or as lines of a table.
func eventPrinter(out io.Writer, asJSON bool) func(*watch.Event) error {
	first := true
	return func(e *watch.Event) error {
		if asJSON {
			_, err := fmt.Fprintf(out, "%s\n", e.Raw)
			return err
		}
		if first {
			first = false
			fmt.Fprintln(out, watch.Header())
		}
		_, err := fmt.Fprintln(out, e.Line())
		return err
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"consentd/internal/bulk"
	"consentd/internal/lookup"
	"consentd/internal/quantity"
	"consentd/schemas"
)

type forgetFlags struct {
	executeFlags
	path         string
	corp         string
	filter       lookup.Filter
	wait, asJSON bool
	timeout      time.Duration
}

func forgetCommand() *cobra.Command {
	var f forgetFlags
	cmd := &cobra.Command{
		Use:   "forget",
		Short: "Forget what is known of a customer, or of a corp",
		Long: `Forget the last known status of a corp's conversations: of all, or of those with a customer, a staff member or a room. It shows
what it would forget and does nothing; --execute does it.

The daemon that owns the corp does it, in order with the checks: the conversations are named to it through the forward topic, and it
writes a tombstone for each to the status topic. The next check of one of them is first_seen. A room is forgotten whole, also when one of
its members is meant. A conversation that is named whole is forgotten too if it is only being checked for the first time. Events, dead letters and parked requests stay where they are, for as long as their topics keep them.`,
		Example: "  consentd forget --config consentd.yaml --corp ww1 --external-userid wmeDKaCQAAGd9oGi\n" +
			"  consentd forget --config consentd.yaml --corp ww1 --external-userid wmeDKaCQAAGd9oGi --execute --wait",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	configFlag(cmd, &f.path)
	flags := cmd.Flags()
	flags.StringVar(&f.corp, "corp", "", "forget conversations of the corp `ID`")
	flags.StringVar(&f.filter.ExternalUserID, "external-userid", "", "only those with this customer `ID`, and the rooms that it is in")
	flags.StringVar(&f.filter.OpenUserID, "open-userid", "", "only those with this staff member `ID`")
	flags.StringVar(&f.filter.ChatID, "chatid", "", "only that of the room `ID`")
	flags.BoolVar(&f.wait, "wait", false, "wait until all is forgotten")
	flags.DurationVar(&f.timeout, "timeout", time.Minute, "how long to wait")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	f.add(cmd)
	corpCompletion(cmd, "corp", &f.path)
	nothingToComplete(cmd, "external-userid", "open-userid", "chatid")
	complete(cmd, "timeout", cobra.FixedCompletions([]string{"10s", "1m", "10m"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// check refuses what can't be meant.
func (f *forgetFlags) check(cmd *cobra.Command) error {
	if err := f.executeFlags.check(cmd); err != nil {
		return err
	}
	switch {
	case f.corp == "":
		return &usageError{errors.New("whose conversations? want --corp, and --external-userid for a customer of it")}
	case f.timeout <= 0:
		return &usageError{fmt.Errorf("--timeout %s: want more than 0", f.timeout)}
	}
	for _, id := range []struct{ flag, value string }{
		{"corp", f.corp}, {"external-userid", f.filter.ExternalUserID}, {"open-userid", f.filter.OpenUserID}, {"chatid", f.filter.ChatID},
	} {
		// An empty one would mean all of them, which nobody means who writes the flag.
		if problem := schemas.IDProblem(id.value); cmd.Flags().Changed(id.flag) && problem != "" {
			return &usageError{fmt.Errorf("--%s: %s", id.flag, problem)}
		}
	}
	return nil
}

// named is the one conversation that the flags name whole; nil: they name none, or several.
func (f *forgetFlags) named() *schemas.Conversation {
	i := &f.filter
	switch {
	case i.ChatID != "" && i.OpenUserID == "" && i.ExternalUserID == "":
		return &schemas.Conversation{CorpID: f.corp, Kind: schemas.Room, ChatID: i.ChatID}
	case i.ChatID == "" && i.OpenUserID != "" && i.ExternalUserID != "":
		return &schemas.Conversation{CorpID: f.corp, Kind: schemas.Single, OpenUserID: i.OpenUserID, ExternalUserID: i.ExternalUserID}
	}
	return nil
}

func (f *forgetFlags) run(cmd *cobra.Command) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	s, err := open(cmd, f.path)
	if err != nil {
		return err
	}
	defer s.close()
	f.filter.Corps = []string{f.corp}
	selection := bulk.Selection{Filter: f.filter, Named: f.named()}
	survey, err := bulk.Look(cmd.Context(), s.statusTopic(), selection)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if !f.execute {
		return showSurvey(out, &survey, f.asJSON)
	}
	if err := printSurvey(cmd.ErrOrStderr(), &survey); err != nil {
		return err
	}
	if survey.Conversations == 0 {
		cmd.PrintErrln("Nothing is known: there is nothing to forget.")
		return printForgotten(out, bulk.Published{}, f.asJSON)
	}
	if err := f.confirm(cmd, fmt.Sprintf("Forget %s?", quantity.Of(survey.Conversations, "conversation"))); err != nil {
		return err
	}
	return f.do(cmd, s, selection, survey.Conversations)
}

func (f *forgetFlags) do(cmd *cobra.Command, s *session, selection bulk.Selection, total int) error {
	ctx := cmd.Context()
	forgotten, err := bulk.NewForgotten(ctx, s.cluster, s.config.Topics.Status, s.log)
	if err != nil {
		return err
	}
	command := schemas.Trail{Command: schemas.CommandForget}
	bar := newProgress(cmd.ErrOrStderr())
	published, err := bulk.Publish(ctx, s.statusTopic(), selection, bulk.Target{
		Cluster: s.cluster, Topic: s.config.Topics.Forward, Headers: command.AppendHeaders(nil, nil), Log: s.log,
		Progress: func(done int) { bar.report("forgetting", int64(done), int64(total)) },
	}, forgotten.Add)
	bar.end()
	if err != nil {
		return fmt.Errorf("%s of %s are handed over to be forgotten: %w; the same command goes on", quantity.Number(published.Conversations), quantity.Of(total, "conversation"), err)
	}
	if f.wait {
		ctx, cancel := context.WithTimeout(ctx, f.timeout)
		defer cancel()
		if err := forgotten.Wait(ctx); err != nil {
			if cmd.Context().Err() != nil {
				err = errors.New("interrupted")
			} else if errors.Is(err, context.DeadlineExceeded) {
				err = fmt.Errorf("not within %s", f.timeout)
			}
			return fmt.Errorf("%s not forgotten yet, is the daemon running? It does so when it comes to it: %w", quantity.Of(forgotten.Waiting(), "conversation"), err)
		}
	}
	return printForgotten(cmd.OutOrStdout(), published, f.asJSON)
}

func printForgotten(out interface{ Write([]byte) (int, error) }, p bulk.Published, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(p)
	}
	_, err := fmt.Fprintf(out, "%s handed over to be forgotten, in %s\n", quantity.Of(p.Conversations, "conversation"), quantity.Of(p.Requests, "request"))
	return err
}

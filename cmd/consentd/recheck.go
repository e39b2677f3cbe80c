package main

import (
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

type recheckFlags struct {
	executeFlags
	path      string
	filter    lookup.Filter
	kind      string
	olderThan time.Duration
	rate      float64
	asJSON    bool
}

func recheckCommand() *cobra.Command {
	f := recheckFlags{olderThan: 24 * time.Hour, rate: 1000}
	cmd := &cobra.Command{
		Use:   "recheck",
		Short: "Check again what was last checked long ago, to find withdrawals that nobody reports",
		Long: `Ask again about the conversations of the status topic that were last checked longer ago than --older-than. WeCom tells nobody when a
consent is withdrawn: this finds out, and each change is a consent.changed event. It shows what it would ask and does nothing;
--execute does it.

The requests go to the request topic, 100 pairs each, keyed by their corp; their ids begin with "recheck-". What is asked at --rate waits
in line with all other requests. Interrupted, the same command goes on: what was checked meanwhile is not asked again, once
the daemon has written it to the status topic. The daemon does the same by itself with the recheck.* settings.`,
		Example: "  consentd recheck --config consentd.yaml --older-than 168h\n" +
			"  consentd recheck --config consentd.yaml --older-than 24h --agree-status Agree --rate 500 --execute --yes",
		Args: noArguments,
	}
	configFlag(cmd, &f.path)
	flags := cmd.Flags()
	flags.DurationVar(&f.olderThan, "older-than", f.olderThan, "only conversations last checked longer ago than `DURATION`")
	flags.StringSliceVar(&f.filter.Corps, "corp", nil, "only conversations of the corp `ID` (may be given more than once)")
	flags.StringVar(&f.filter.AgreeStatus, "agree-status", "", "only pairs with this `WORD` of the API's, and rooms in which somebody has it")
	flags.StringVar(&f.kind, "kind", "", "only `KIND`, single or room")
	flags.Float64Var(&f.rate, "rate", f.rate, "ask about `N` conversations a second; 0: as many as can be")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	f.add(cmd)
	kinds := words(cmd, "kind", string(schemas.Single), string(schemas.Room))
	complete(cmd, "agree-status", cobra.FixedCompletions([]string{"Agree", "Disagree"}, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "older-than", cobra.FixedCompletions([]string{"24h", "168h", "720h"}, cobra.ShellCompDirectiveNoFileComp))
	corpCompletion(cmd, "corp", &f.path)
	nothingToComplete(cmd, "rate")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.kind != "" {
			if err := kinds(f.kind); err != nil {
				return err
			}
		}
		return f.run(cmd, time.Now())
	}
	return cmd
}

// maxRate is far beyond what any API takes.
const maxRate = 1e9

func (f *recheckFlags) check(cmd *cobra.Command) error {
	switch {
	case f.olderThan < 0:
		return &usageError{fmt.Errorf("--older-than %s: want 0 or more", f.olderThan)}
	case !(f.rate >= 0 && f.rate <= maxRate): // not even a NaN
		return &usageError{fmt.Errorf("--rate %v: want a number of conversations a second, or 0 for as many as can be", f.rate)}
	}
	return f.executeFlags.check(cmd)
}

func (f *recheckFlags) run(cmd *cobra.Command, now time.Time) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	s, err := open(cmd, f.path)
	if err != nil {
		return err
	}
	defer s.close()
	if refresh := s.config.Status.Refresh; f.olderThan < refresh {
		cmd.PrintErrf("note: the status topic's checked_at may be %s behind (status.refresh): some of these were checked later than --older-than says\n", refresh)
	}
	f.filter.Kind, f.filter.CheckedBefore = schemas.Kind(f.kind), now.Add(-f.olderThan)
	configured := make(map[string]bool)
	for _, corp := range s.config.AllCorps() {
		configured[corp.CorpID] = true
	}
	selection := bulk.Selection{Filter: f.filter, Known: func(corpID string) bool { return configured[corpID] }}
	survey, err := bulk.Look(cmd.Context(), s.statusTopic(), selection)
	if err != nil {
		return err
	}
	if !f.execute {
		return showSurvey(cmd.OutOrStdout(), &survey, f.asJSON, f.outlook(&survey))
	}
	if err := printSurvey(cmd.ErrOrStderr(), &survey, f.outlook(&survey)); err != nil {
		return err
	}
	if survey.Conversations > 0 {
		if err := f.confirm(cmd, fmt.Sprintf("Ask about %s?", quantity.Of(survey.Conversations, "conversation"))); err != nil {
			return err
		}
	}
	return f.do(cmd, s, selection, survey.Conversations, now)
}

// outlook says what a check of the conversations takes.
func (f *recheckFlags) outlook(v *bulk.Survey) string {
	speed := "as fast as can be; --rate sets a lower one"
	if f.rate > 0 {
		speed = fmt.Sprintf("about %s at %v a second", time.Duration(float64(v.Conversations)/f.rate*float64(time.Second)).Round(time.Second), f.rate)
	}
	return fmt.Sprintf("will take\t%s of the API, %s", quantity.Of(v.Calls, "call"), speed)
}

func (f *recheckFlags) do(cmd *cobra.Command, s *session, selection bulk.Selection, total int, now time.Time) error {
	ctx, bar := cmd.Context(), newProgress(cmd.ErrOrStderr())
	published, err := bulk.Publish(ctx, s.statusTopic(), selection, bulk.Target{
		Cluster: s.cluster, Topic: s.config.Topics.Requests, IDPrefix: "recheck-" + now.UTC().Format("20060102T150405Z"), Rate: f.rate, Log: s.log,
		Progress: func(done int) { bar.report("asking", int64(done), int64(total)) },
	}, nil)
	bar.end()
	out := cmd.OutOrStdout()
	if f.asJSON {
		if err := json.NewEncoder(out).Encode(published); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(out, "asked about %s in %s\n", quantity.Of(published.Conversations, "conversation"), quantity.Of(published.Requests, "request"))
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted after %s of %s: the same command goes on", quantity.Number(published.Conversations), quantity.Of(total, "conversation"))
	case err != nil:
		return errors.Join(fmt.Errorf("stopped after %s of %s", quantity.Number(published.Conversations), quantity.Of(total, "conversation")), err)
	}
	return nil
}

package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"consentd/internal/lookup"
	"consentd/schemas"
)

type statusFlags struct {
	path          string
	key           string
	conversation  schemas.Conversation
	corps         []string
	all, asJSON   bool
	kind          string
	checkedBefore timeFlag
	filter        lookup.Filter
}

func statusCommand() *cobra.Command {
	var f statusFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Look up the last known status of a conversation, or export all",
		Long: `Look up what is known of one conversation in the status topic, named by its key or its ids; the exit code is 1 when nothing is
known of it. Only the partition of its corp is read.

With --all export what is known of all conversations as JSON lines, or of those that the filters select; ids are filters then.
It asks WeCom nothing: what it shows is what the daemon learnt last.`,
		Example: "  consentd status --config consentd.yaml --key ww1/single/XuJinSheng/wmeDKaCQAAGd9oGi\n" +
			"  consentd status --config consentd.yaml --corp ww1 --chatid wrjc7bDwAASxc8tZvBErFE02BtPWyAAA\n" +
			"  consentd status --config consentd.yaml --all --corp ww1 --agree-status Disagree",
		Args: noArguments,
	}
	configFlag(cmd, &f.path)
	flags := cmd.Flags()
	flags.StringVar(&f.key, "key", "", "look up the conversation of this `KEY`")
	flags.StringSliceVar(&f.corps, "corp", nil, "look up a conversation of the corp `ID`; with --all export only those of it (may be given more than once)")
	flags.StringVar(&f.conversation.OpenUserID, "open-userid", "", "of this staff member `ID`")
	flags.StringVar(&f.conversation.ExternalUserID, "external-userid", "", "with this customer `ID`")
	flags.StringVar(&f.conversation.ChatID, "chatid", "", "or of the room `ID`")
	flags.BoolVar(&f.all, "all", false, "export all as JSON lines")
	flags.StringVar(&f.kind, "kind", "", "with --all: only `KIND`, single or room")
	flags.StringVar(&f.filter.AgreeStatus, "agree-status", "", "with --all: only pairs with this `WORD` of the API's, and rooms in which somebody has it")
	flags.Var(&f.checkedBefore, "checked-before", "with --all: only those last checked before `TIME`: RFC 3339 with a zone, or -720h")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON (--all does so anyway)")
	kinds := words(cmd, "kind", string(schemas.Single), string(schemas.Room))
	complete(cmd, "agree-status", cobra.FixedCompletions([]string{"Agree", "Disagree"}, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "checked-before", cobra.FixedCompletions([]string{"-24h", "-168h", "-720h"}, cobra.ShellCompDirectiveNoFileComp))
	corpCompletion(cmd, "corp", &f.path)
	nothingToComplete(cmd, "key", "open-userid", "external-userid", "chatid")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.kind != "" {
			if err := kinds(f.kind); err != nil {
				return err
			}
		}
		if f.all {
			return f.export(cmd)
		}
		return f.lookUp(cmd)
	}
	return cmd
}

// onlyFor refuses flags that belong to the other use of the command.
func onlyFor(cmd *cobra.Command, use string, flags ...string) error {
	for _, flag := range flags {
		if cmd.Flags().Changed(flag) {
			return &usageError{fmt.Errorf("--%s is only for %s", flag, use)}
		}
	}
	return nil
}

func (f *statusFlags) export(cmd *cobra.Command) error {
	if err := onlyFor(cmd, "looking one conversation up, without --all", "key"); err != nil {
		return err
	}
	ids := f.conversation
	f.filter.OpenUserID, f.filter.ExternalUserID, f.filter.ChatID = ids.OpenUserID, ids.ExternalUserID, ids.ChatID
	f.filter.Corps, f.filter.Kind, f.filter.CheckedBefore = f.corps, schemas.Kind(f.kind), f.checkedBefore.Time
	s, err := open(cmd, f.path)
	if err != nil {
		return err
	}
	defer s.close()
	return s.statusTopic().Each(cmd.Context(), f.filter, func(e *lookup.Entry) error { return printEntry(cmd.OutOrStdout(), e) })
}

func (f *statusFlags) lookUp(cmd *cobra.Command) error {
	if err := onlyFor(cmd, "--all", "kind", "agree-status", "checked-before"); err != nil {
		return err
	}
	c, err := f.named()
	if err != nil {
		return &usageError{err}
	}
	s, err := open(cmd, f.path)
	if err != nil {
		return err
	}
	defer s.close()
	e, err := s.statusTopic().One(cmd.Context(), c)
	switch {
	case err != nil:
		return err
	case e == nil:
		return fmt.Errorf("nothing is known of %s", c.Key())
	case f.asJSON:
		return printEntry(cmd.OutOrStdout(), e)
	}
	return printStatus(cmd.OutOrStdout(), e)
}

// named returns the conversation that the flags name.
func (f *statusFlags) named() (schemas.Conversation, error) {
	ids := f.conversation
	if f.key != "" {
		if ids != (schemas.Conversation{}) || len(f.corps) > 0 {
			return ids, errors.New("--key stands beside ids: want one or the other")
		}
		return schemas.ParseKey(f.key)
	}
	pair := ids.OpenUserID != "" && ids.ExternalUserID != "" && ids.ChatID == ""
	room := ids.OpenUserID == "" && ids.ExternalUserID == "" && ids.ChatID != ""
	if len(f.corps) != 1 || !pair && !room {
		return ids, errors.New("which conversation? want --key, or --corp with --open-userid and --external-userid or with --chatid; or --all")
	}
	ids.CorpID, ids.Kind = f.corps[0], schemas.Single
	if room {
		ids.Kind = schemas.Room
	}
	return schemas.ParseKey(ids.Key())
}

func printEntry(out io.Writer, e *lookup.Entry) error {
	line, err := e.JSON()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", line)
	return err
}

func printStatus(out io.Writer, e *lookup.Entry) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "conversation\t%s\n", e.Conversation.Key())
	if e.Conversation.Kind == schemas.Single {
		fmt.Fprintf(w, "agree_status\t%q since %s\n", e.AgreeStatus, since(e.StatusChangeTime))
	}
	fmt.Fprintf(w, "consented\t%t\n", e.Consented())
	fmt.Fprintf(w, "checked_at\t%s (%s ago)\n", e.CheckedAt.Format(time.RFC3339), time.Since(e.CheckedAt).Round(time.Second))
	fmt.Fprintf(w, "version\t%d\n", e.Version)
	for _, m := range e.Members {
		fmt.Fprintf(w, "member\t%q  %q since %s\n", m.ExternalUserID, m.AgreeStatus, since(m.StatusChangeTime))
	}
	return w.Flush()
}

// since is a status_change_time for a person.
func since(unix int64) string {
	if unix == 0 {
		return "an unknown time"
	}
	return time.Unix(unix, 0).UTC().Format(time.RFC3339)
}

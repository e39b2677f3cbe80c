package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"consentd/config"
	"consentd/internal/daemon"
	"consentd/internal/quantity"
	"consentd/replay"
	"consentd/schemas"
)

// replayFlags are the command line of a replay.
type replayFlags struct {
	path, topic      string
	from             timeFlag
	to               []string
	offsets, headers []string
	classes          []string
	selection        replay.Selection
	resume           string
	asJSON           bool
	executeFlags
}

// ofSelection are the flags that say what is replayed, which a replay that is resumed keeps.
var ofSelection = []string{
	"topic", "to", "from", "offsets", "partition", "error-class", "errcode", "corp", "key", "header", "dedupe", "max", "max-replays",
}

func replayCommand() *cobra.Command {
	f := replayFlags{selection: replay.Selection{MaxReplays: 3}}
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Publish dead letters, or other records, to the request topic again",
		Long: `Publish records again: the dead letters, or those of --topic, to the request topic, or to another with --to. It shows what it would
do and does nothing; --execute does it.

What is read is fixed at the start: what comes later is left alone, also when a topic is replayed onto itself. Key and value stay
as they are, byte for byte, and so do headers; those that say which replay it was, how often, and from where are added.

--to takes two things, and may be given twice: a topic is where the records go, a time is where the range ends. A time is RFC 3339
with a zone or how long ago, as -6h; --from is in the range, --to is not.

A replay that was interrupted goes on with --resume ID; with delivery: exactly_once nothing is published twice.`,
		Example: "  consentd replay --config consentd.yaml --error-class not_found --corp ww1 --from -6h\n" +
			"  consentd replay --config consentd.yaml --error-class not_found --corp ww1 --from -6h --execute\n" +
			"  consentd replay --config consentd.yaml --topic consent.requests --from -2h --to -1h --rate 500 --execute --yes",
		Args: noArguments,
	}
	configFlag(cmd, &f.path)
	flags, s := cmd.Flags(), &f.selection
	flags.StringVar(&f.topic, "topic", "", "replay the records of `TOPIC`; without: the dead letters")
	flags.StringArrayVar(&f.to, "to", nil, "publish to `TOPIC`; without: the request topic. Or, with a time, where the range ends")
	flags.Var(&f.from, "from", "only records written at or after `TIME`: RFC 3339 with a zone, or -6h")
	flags.StringSliceVar(&f.offsets, "offsets", nil, "only these parts of partitions: `P:FIRST-LAST`, both included, P:FIRST- or P:OFFSET")
	flags.Int32SliceVar(&s.Partitions, "partition", nil, "only partition `N`")
	flags.StringSliceVar(&f.classes, "error-class", nil, "only records of the error `CLASS`")
	flags.IntSliceVar(&s.Filter.Errcodes, "errcode", nil, "only records with the errcode `N` of WeCom")
	flags.StringSliceVar(&s.Filter.Corps, "corp", nil, "only records of the corp `ID`")
	flags.StringArrayVar(&s.Filter.Keys, "key", nil, "only records with the key `TEXT`")
	flags.StringArrayVar(&f.headers, "header", nil, "only records with the header `NAME=VALUE`")
	flags.BoolVar(&s.Dedupe, "dedupe", false, "only the latest record of each conversation")
	flags.IntVar(&s.Max, "max", 0, "at most `N` records, the oldest; 0: no bound")
	flags.IntVar(&s.MaxReplays, "max-replays", s.MaxReplays, "leave out records that were replayed `N` times already")
	flags.Float64Var(&s.Rate, "rate", 0, "publish `N` records a second; 0: as many as can be")
	f.add(cmd)
	flags.StringVar(&f.resume, "resume", "", "go on with the replay `ID`, as it was begun")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	var classes []string
	for _, c := range schemas.Classes() {
		classes = append(classes, string(c))
	}
	complete(cmd, "error-class", cobra.FixedCompletions(classes, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "from", cobra.FixedCompletions([]string{"-1h", "-6h", "-24h"}, cobra.ShellCompDirectiveNoFileComp))
	corpCompletion(cmd, "corp", &f.path)
	nothingToComplete(cmd, "offsets", "partition", "errcode", "key", "header", "max", "max-replays", "rate", "resume", "topic", "to")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		err := f.run(cmd)
		if errors.As(err, new(*replay.InputError)) {
			return &usageError{err}
		}
		return err
	}
	return cmd
}

func (f *replayFlags) run(cmd *cobra.Command) error {
	if err := f.read(cmd, time.Now()); err != nil {
		return &usageError{err}
	}
	if err := f.check(cmd); err != nil {
		return err
	}
	c, err := f.config(cmd)
	if err != nil {
		return err
	}
	log := newLog(cmd)
	defer log.Close()
	c.Log = log.Logger
	progress := newProgress(cmd.ErrOrStderr())
	c.Progress = func(step replay.Step, done, total int64) { progress.report(string(step), done, total) }
	r, err := f.open(cmd, c)
	progress.end()
	if err != nil {
		if cmd.Context().Err() != nil {
			return errInterrupted
		}
		return err
	}
	defer r.Close()
	plan := r.Plan()
	if !f.execute {
		return f.show(cmd, &plan)
	}
	out := cmd.OutOrStdout()
	if f.asJSON {
		out = cmd.ErrOrStderr() // the summary alone is JSON
	}
	if err := plan.Print(out, time.Now()); err != nil {
		return err
	}
	if plan.Records > 0 {
		if err := f.confirm(cmd, fmt.Sprintf("Publish %s to %s?", quantity.Of(plan.Records, "record"), plan.To)); err != nil {
			return err
		}
	}
	cmd.PrintErrf("\nReplay %s begins. Should it be interrupted, this goes on with it:\n  %s\n", r.ID(), f.resumption(r.ID()))
	summary, err := r.Execute(cmd.Context())
	progress.end()
	if printErr := f.report(cmd, &summary); printErr != nil {
		return printErr
	}
	if err != nil {
		return fmt.Errorf("replay %s: %w; to go on: %s", r.ID(), err, f.resumption(r.ID()))
	}
	return nil
}

// read makes a selection of the flags.
func (f *replayFlags) read(cmd *cobra.Command, now time.Time) error {
	if f.resume != "" {
		for _, flag := range ofSelection {
			if cmd.Flags().Changed(flag) {
				return fmt.Errorf("--%s stands beside --resume: a replay goes on as it was begun", flag)
			}
		}
		return nil
	}
	s := &f.selection
	s.Topic, s.From = f.topic, f.from.Time
	var err error
	for _, to := range f.to {
		if err := f.readTo(to, now); err != nil {
			return fmt.Errorf("--to: %w", err)
		}
	}
	if s.Offsets, err = replay.ParseOffsets(f.offsets); err != nil {
		return fmt.Errorf("--offsets: %w", err)
	}
	for _, c := range f.classes {
		s.Filter.Classes = append(s.Filter.Classes, schemas.Class(c))
	}
	for _, text := range f.headers {
		name, value, err := replay.ParseHeader(text)
		if err != nil {
			return fmt.Errorf("--header: %w", err)
		}
		if s.Filter.Headers == nil {
			s.Filter.Headers = make(map[string][]string)
		}
		s.Filter.Headers[name] = append(s.Filter.Headers[name], value)
	}
	return nil
}

// readTo reads one value of --to, which is a topic or the end of the range.
func (f *replayFlags) readTo(text string, now time.Time) error {
	s := &f.selection
	if !replay.LooksLikeTime(text) {
		if s.To != "" || text == "" {
			return fmt.Errorf("%q: want one topic, and at most one time", f.to)
		}
		s.To = text
		return nil
	}
	at, err := replay.ParseTime(text, now)
	if err == nil && !s.Until.IsZero() {
		err = fmt.Errorf("%q: want one time, and at most one topic", f.to)
	}
	s.Until = at
	return err
}

// config loads the configuration. What is logged is for a person.
func (f *replayFlags) config(cmd *cobra.Command) (replay.Config, error) {
	cfg, warnings, err := config.Load(f.path, os.Environ())
	if err != nil {
		return replay.Config{}, err
	}
	for _, w := range warnings {
		cmd.PrintErrln("warning:", w)
	}
	cluster, err := daemon.ClusterOptions(cfg)
	if err != nil {
		return replay.Config{}, err
	}
	topics := replay.Topics{
		Requests: cfg.Topics.Requests, DeadLetters: cfg.Topics.DeadLetters,
		Events: []string{cfg.Topics.Results, cfg.Topics.Status},
	}
	if cfg.Topics.Changes != "" {
		topics.Events = append(topics.Events, cfg.Topics.Changes)
	}
	topics.Waiting = append(topics.Waiting, cfg.Topics.Forward)
	for _, t := range cfg.RetryTopics() {
		topics.Waiting = append(topics.Waiting, t.Name)
	}
	return replay.Config{
		Cluster: cluster, Topics: topics,
		ExactlyOnce: cfg.Delivery == "exactly_once", TransactionTimeout: cfg.Producer.TransactionTimeout,
	}, nil
}

func (f *replayFlags) open(cmd *cobra.Command, c replay.Config) (*replay.Replay, error) {
	if f.resume == "" {
		return replay.Open(cmd.Context(), c, f.selection)
	}
	var perSecond *float64
	if cmd.Flags().Changed("rate") {
		perSecond = &f.selection.Rate
	}
	return replay.Resume(cmd.Context(), c, f.resume, perSecond)
}

// show prints the plan of a replay that is not executed.
func (f *replayFlags) show(cmd *cobra.Command, plan *replay.Plan) error {
	out := cmd.OutOrStdout()
	if f.asJSON {
		return json.NewEncoder(out).Encode(plan)
	}
	if err := plan.Print(out, time.Now()); err != nil {
		return err
	}
	return nothingWritten(out)
}

func (f *replayFlags) report(cmd *cobra.Command, s *replay.Summary) error {
	if f.asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(s)
	}
	return s.Print(cmd.OutOrStdout())
}

// resumption is the command that goes on with a replay.
func (f *replayFlags) resumption(id string) string {
	words := []string{"consentd", "replay"}
	if f.path != "" {
		words = append(words, "--config", quoteWord(f.path))
	}
	words = append(words, "--resume", id, "--execute")
	if f.yes {
		words = append(words, "--yes")
	}
	return strings.Join(words, " ")
}

// quoteWord makes one word of a text for a shell.
func quoteWord(text string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/._-+:@%,", c)
	}
	if text != "" && strings.IndexFunc(text, func(c rune) bool { return !plain(c) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

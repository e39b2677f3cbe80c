package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/segmentio/kafka-go"
	"github.com/spf13/cobra"

	"consentd/internal/broker"
	"consentd/internal/quantity"
	"consentd/internal/topics"
)

func topicsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "Create the topics with the right settings, or check those that are there",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(topicsCreateCommand(), topicsCheckCommand())
	return cmd
}

func topicsCheckCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what differs from how the topics must be, and why it matters",
		Long: `Look at the topics of the configuration: partitions, replicas and settings. It says what differs from how they must be, why that
matters and what to do, and changes nothing. The exit code is 1 when something is WRONG; a risk alone leaves it at 0.`,
		Example: "  consentd topics check --config consentd.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := open(cmd, path)
			if err != nil {
				return err
			}
			defer s.close()
			summaries, found, err := topics.Check(cmd.Context(), s.cluster, s.config)
			if err != nil {
				return err
			}
			if err := printCheck(cmd.OutOrStdout(), summaries, found, asJSON); err != nil {
				return err
			}
			if n := countWrong(found); n > 0 {
				return fmt.Errorf("%s of the topics: see above", quantity.Of(n, "problem"))
			}
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func countWrong(found []topics.Finding) (n int) {
	for i := range found {
		if found[i].Wrong {
			n++
		}
	}
	return n
}

func printCheck(out io.Writer, summaries []topics.Summary, found []topics.Finding, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(map[string]any{"topics": summaries, "findings": slices.Concat([]topics.Finding{}, found)})
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TOPIC\tKEY\tPARTITIONS\tREPLICAS\tRESULT")
	for _, s := range summaries {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.Topic, s.Key, numberOf(s, s.Partitions), numberOf(s, s.Replicas), verdict(s.Topic, found))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	merged := topics.Merge(found)
	slices.SortStableFunc(merged, func(a, b topics.Merged) int { return strings.Compare(word(a.Wrong), word(b.Wrong)) }) // WRONG first
	for _, f := range merged {
		what := strings.Join(f.Topics, ", ") + ":"
		if f.Setting != "" {
			what += " " + f.Setting
		}
		fmt.Fprintf(out, "\n%s  %s %s\n  why:  %s\n  do:   %s\n  key:  %s\n", word(f.Wrong), what, f.Found, f.Why, f.Do, strings.Join(f.Keys, ", "))
	}
	return nil
}

func numberOf(s topics.Summary, n int) string {
	if !s.Exists {
		return "-"
	}
	return strconv.Itoa(n)
}

func word(wrong bool) string {
	if wrong {
		return "WRONG"
	}
	return "risk"
}

// verdict is the worst that was found of a topic.
func verdict(topic string, found []topics.Finding) string {
	worst := "ok"
	for _, f := range found {
		if f.Topic == topic && worst != "WRONG" {
			worst = word(f.Wrong)
		}
	}
	return worst
}

type createdTopic struct {
	Topic      string            `json:"topic"`
	Partitions int32             `json:"partitions"`
	Settings   map[string]string `json:"settings"`
	Result     string            `json:"result"`
}

func topicsCreateCommand() *cobra.Command {
	var path string
	var asJSON bool
	var o broker.CreateOptions
	partitions := int32(topics.DefaultPartitions)
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create the topics that are absent, with the right settings",
		Long: `Create those of the configuration's topics that are absent. Those that are there are left as they are: topics check says whether they
are right.

The status topic and those that are partitioned by corp (forward, retry) get the same number of partitions, which can't be changed
later. --dry-run shows what would be created, as far as the brokers would allow it.`,
		Example: "  consentd topics create --config consentd.yaml --dry-run\n" +
			"  consentd topics create --config consentd.yaml --partitions 24 --replication-factor 3",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if partitions < 1 || o.ReplicationFactor < 0 {
				return &usageError{errors.New("--partitions must be 1 or more, --replication-factor 0 or more")}
			}
			s, err := open(cmd, path)
			if err != nil {
				return err
			}
			defer s.close()
			made, err := createTopics(cmd, s, partitions, o)
			if err != nil {
				return err
			}
			return printCreated(cmd.OutOrStdout(), made, asJSON)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().Int32Var(&partitions, "partitions", partitions, "create topics with `N` partitions")
	cmd.Flags().IntVar(&o.ReplicationFactor, "replication-factor", 0, "keep `N` replicas; 0: as many as the brokers do by default")
	cmd.Flags().BoolVar(&o.ValidateOnly, "dry-run", false, "create nothing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	nothingToComplete(cmd, "partitions", "replication-factor")
	return cmd
}

func createTopics(cmd *cobra.Command, s *session, partitions int32, o broker.CreateOptions) ([]createdTopic, error) {
	have, err := s.cluster.Partitions(cmd.Context(), topics.Names(s.config)...)
	if err != nil {
		return nil, err
	}
	absent := topics.Absent(s.config, have, partitions)
	errs := make(map[string]error)
	if len(absent) > 0 {
		if errs, err = s.cluster.CreateWith(cmd.Context(), o, absent...); err != nil {
			return nil, err
		}
	}
	made := []createdTopic{}
	var problems []error
	for _, spec := range topics.Needed(s.config) {
		made = append(made, createdTopic{Topic: spec.Name, Partitions: have[spec.Name], Settings: map[string]string{}, Result: "is there"})
		i := slices.IndexFunc(absent, func(a broker.TopicSpec) bool { return a.Name == spec.Name })
		if i < 0 {
			continue
		}
		t := &made[len(made)-1]
		t.Partitions, t.Result = absent[i].Partitions, "created"
		if len(spec.Configs) > 0 {
			t.Settings = spec.Configs
		}
		switch err := errs[spec.Name]; {
		case errors.Is(err, kafka.TopicAlreadyExists):
			t.Result = "is there"
		case err != nil:
			t.Result = "not created"
			problems = append(problems, fmt.Errorf("topic %s: %w", spec.Name, err))
		case o.ValidateOnly:
			t.Result = "would be created"
		}
	}
	return made, errors.Join(problems...)
}

func printCreated(out io.Writer, made []createdTopic, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(made)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TOPIC\tPARTITIONS\tSETTINGS\tRESULT")
	for _, t := range made {
		var settings []string
		for _, name := range slices.Sorted(maps.Keys(t.Settings)) {
			settings = append(settings, name+"="+t.Settings[name])
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", t.Topic, t.Partitions, strings.Join(settings, " "), t.Result)
	}
	return w.Flush()
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"consentd/internal/lag"
	"consentd/internal/quantity"
)

// groupTimeout bounds how long the brokers are asked about the group.
const groupTimeout = 30 * time.Second

func groupCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "group",
		Short: "Show the consumer group: lag, offsets and members per partition",
		Long: `Show how far the consumer group is on each partition of the topics it reads: requests, forwarded and parked ones.

COMMITTED is the first offset that is not done, BEYOND how many records after it are done already, LAG how many offsets are not:
markers of transactions count among them. Parked requests wait on purpose: lag in a retry topic is no backlog.`,
		Example: "  consentd group --config consentd.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := open(cmd, path)
			if err != nil {
				return err
			}
			defer s.close()
			ctx, cancel := context.WithTimeout(cmd.Context(), groupTimeout)
			defer cancel()
			topics := []string{s.config.Topics.Requests, s.config.Topics.Forward}
			for _, retry := range s.config.RetryTopics() {
				topics = append(topics, retry.Name)
			}
			r, err := lag.Of(ctx, s.cluster, s.config.Consumer.Group, topics)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			}
			return printGroup(cmd.OutOrStdout(), &r)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printGroup(out io.Writer, r *lag.Report) error {
	fmt.Fprintf(out, "group %s: %s, %s, lag %s\n\n", r.Group, r.State, quantity.Of(len(r.Members), "member"), quantity.Number(r.Lag))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(r.Members) > 0 {
		fmt.Fprintln(w, "MEMBER\tCLIENT\tHOST\tPARTITIONS")
		for i, m := range r.Members {
			fmt.Fprintf(w, "%d\t%s\t%s\t%d\n", i+1, m.ClientID, m.Host, m.Partitions)
		}
		fmt.Fprintln(w)
		if err := w.Flush(); err != nil {
			return err
		}
	}
	numbers := make(map[string]string)
	for i, m := range r.Members {
		numbers[m.ID] = strconv.Itoa(i + 1)
	}
	fmt.Fprintln(w, "TOPIC\tPARTITION\tCOMMITTED\tBEYOND\tEND\tLAG\tMEMBER")
	for _, p := range r.Partitions {
		committed, member := "-", "-"
		if p.Committed != nil {
			committed = strconv.FormatInt(*p.Committed, 10)
		}
		if n, ok := numbers[p.Member]; ok {
			member = n
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%d\t%d\t%s", p.Topic, p.Partition, committed, p.DoneBeyond, p.End, p.Lag, member)
		if p.Problem != "" {
			fmt.Fprintf(w, "\t%s", p.Problem)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

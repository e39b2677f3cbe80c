package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"consentd/internal/broker"
	"consentd/internal/quantity"
	"consentd/internal/submit"
	"consentd/internal/watch"
)

// submitFlags are what one request is made of, and what is done with it.
type submitFlags struct {
	request struct {
		RequestID      string          `json:"request_id,omitempty"`
		CorpID         string          `json:"corp_id"`
		Kind           string          `json:"kind"`
		OpenUserID     string          `json:"open_userid,omitempty"`
		ExternalUserID string          `json:"external_userid,omitempty"`
		ChatID         string          `json:"chatid,omitempty"`
		MaxAgeSeconds  int64           `json:"max_age_seconds,omitempty"`
		Context        json.RawMessage `json:"context,omitempty"`
	}
	maxAge       time.Duration
	context      string
	key          string
	file         string
	wait, asJSON bool
	timeout      time.Duration
	path         string
}

// ofOneRequest are the flags that make one.
var ofOneRequest = []string{"corp", "open-userid", "external-userid", "chatid", "request-id", "max-age", "context"}

func submitCommand() *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:   "submit",
		Short: "Submit requests by hand, and wait for their answers",
		Long: `Publish requests to the request topic, keyed by their corp: one made of flags, or JSON lines from a file or, with --file -,
from stdin. All of them are checked before the first is written; what is wrong is listed with its line, and the exit code is 2.

With --wait it prints the answers as they come, and exits with 1 when one is a failure or does not come within --timeout.
Requests without a request_id are given one then, in the header consentd-request-id.`,
		Example: "  consentd submit --config consentd.yaml --corp ww1 --open-userid XuJinSheng --external-userid wmeDKaCQAAGd9oGi --wait\n" +
			"  consentd submit --config consentd.yaml --corp ww1 --chatid wrjc7bDwAASxc8tZvBErFE02BtPWyAAA --max-age 1h\n" +
			"  consentd submit --config consentd.yaml --file requests.jsonl --wait --json",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSubmit(cmd, &f) },
	}
	configFlag(cmd, &f.path)
	flags := cmd.Flags()
	flags.StringVar(&f.file, "file", "", "submit the JSON lines of `FILE`; -: of stdin")
	flags.StringVar(&f.request.CorpID, "corp", "", "ask about a conversation of the corp `ID`")
	flags.StringVar(&f.request.OpenUserID, "open-userid", "", "of this staff member `ID`")
	flags.StringVar(&f.request.ExternalUserID, "external-userid", "", "with this customer `ID`")
	flags.StringVar(&f.request.ChatID, "chatid", "", "or of the room `ID`")
	flags.StringVar(&f.request.RequestID, "request-id", "", "name the request `ID`")
	flags.DurationVar(&f.maxAge, "max-age", 0, "take an answer that is known and at most so old")
	flags.StringVar(&f.context, "context", "", "have this `JSON` echoed in the answers")
	flags.StringVar(&f.key, "key", "", "use `KEY` for the records instead of the corp id")
	flags.BoolVar(&f.wait, "wait", false, "wait for the answers and print them; exit with 1 when one is a failure")
	flags.DurationVar(&f.timeout, "timeout", time.Minute, "how long to wait")
	flags.BoolVar(&f.asJSON, "json", false, "print the answers as they were published, one a line")
	corpCompletion(cmd, "corp", &f.path)
	nothingToComplete(cmd, "open-userid", "external-userid", "chatid", "request-id", "context", "key")
	complete(cmd, "max-age", cobra.FixedCompletions([]string{"10m", "1h", "24h"}, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "timeout", cobra.FixedCompletions([]string{"10s", "1m", "10m"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runSubmit(cmd *cobra.Command, f *submitFlags) error {
	text, done, err := f.open(cmd)
	if err != nil {
		return err
	}
	defer done()
	var o submit.Options
	if f.key != "" {
		o.Key = []byte(f.key)
	}
	if f.wait {
		o.Run = "submit-" + rand.Text()[:10]
	}
	plan, err := submit.Check(text, o)
	switch {
	case errors.As(err, new(*submit.InvalidError)) && f.file == "":
		return &usageError{fmt.Errorf("the request is not valid: %w", err)}
	case errors.As(err, new(*submit.InvalidError)):
		return &usageError{fmt.Errorf("nothing was submitted:\n%w", err)}
	case errors.Is(err, submit.ErrNoRequests):
		return &usageError{err}
	case err != nil:
		return err
	}
	s, err := open(cmd, f.path)
	if err != nil {
		return err
	}
	defer s.close()
	return f.publish(cmd, s, plan)
}

func (f *submitFlags) publish(cmd *cobra.Command, s *session, plan *submit.Plan) error {
	ctx := cmd.Context()
	var from map[broker.TopicPartition]int64
	if f.wait {
		var err error
		if from, err = watch.Ends(ctx, s.cluster, s.config.Topics.Results); err != nil {
			return err
		}
	}
	written, err := plan.Publish(ctx, s.cluster, s.config.Topics.Requests, s.log)
	if err != nil {
		return fmt.Errorf("%s of %s were submitted for sure: %w", quantity.Number(written), quantity.Of(plan.Requests, "request"), err)
	}
	cmd.PrintErrf("submitted %s with %s\n", quantity.Of(written, "request"), quantity.Of(plan.Items, "item"))
	if !f.wait {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	failed, err := plan.Wait(ctx, s.cluster, from, s.log, eventPrinter(cmd.OutOrStdout(), f.asJSON))
	switch {
	case cmd.Context().Err() != nil:
		return errors.New("interrupted: what was submitted is answered all the same, consentd watch shows it")
	case err != nil:
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%s of %s failed", quantity.Number(failed), quantity.Of(plan.Items, "item"))
	}
	return nil
}

// open returns the JSON lines to submit.
func (f *submitFlags) open(cmd *cobra.Command) (text io.ReadSeeker, done func(), err error) {
	var given []string
	for _, flag := range ofOneRequest {
		if cmd.Flags().Changed(flag) {
			given = append(given, "--"+flag)
		}
	}
	switch {
	case f.timeout <= 0:
		return nil, nil, &usageError{fmt.Errorf("--timeout %s: want more than 0", f.timeout)}
	case f.file != "" && len(given) > 0:
		return nil, nil, &usageError{fmt.Errorf("%s stands beside --file: want a file, or one request made of flags", given[0])}
	case f.file == "" && len(given) == 0:
		return nil, nil, &usageError{errors.New("nothing to submit: want --file FILE, or --corp with --open-userid and --external-userid or with --chatid")}
	case f.file == "-":
		return spooled(cmd.Context(), cmd.InOrStdin())
	case f.file == "":
		line, err := f.line()
		return bytes.NewReader(line), func() {}, err
	}
	file, err := os.Open(f.file)
	if err != nil {
		return nil, nil, &usageError{fmt.Errorf("--file: %w", err)}
	}
	info, err := file.Stat()
	if err != nil || info.IsDir() {
		_ = file.Close() // it was only looked at
		return nil, nil, &usageError{fmt.Errorf("--file %s: want a file of JSON lines", f.file)}
	}
	if !info.Mode().IsRegular() { // a pipe can't be read twice
		defer file.Close() //nolint:errcheck // it was only read from
		return spooled(cmd.Context(), file)
	}
	return file, func() { _ = file.Close() }, nil // it was only read from
}

func spooled(ctx context.Context, r io.Reader) (io.ReadSeeker, func(), error) {
	text, remove, err := submit.Spool(ctx, r)
	if ctx.Err() != nil {
		return nil, nil, errInterrupted
	}
	return text, remove, err
}

// line is the request that the flags make.
func (f *submitFlags) line() ([]byte, error) {
	r := f.request
	r.Kind = "single"
	if r.ChatID != "" {
		r.Kind = "room"
	}
	if f.maxAge%time.Second != 0 || f.maxAge < 0 {
		return nil, &usageError{fmt.Errorf("--max-age %s: want whole seconds, 0 or more", f.maxAge)}
	}
	r.MaxAgeSeconds = int64(f.maxAge / time.Second)
	if f.context != "" {
		if !json.Valid([]byte(f.context)) {
			return nil, &usageError{fmt.Errorf("--context: want JSON, as '{\"msgid\":\"77\"}'")}
		}
		r.Context = json.RawMessage(f.context)
	}
	return json.Marshal(r)
}

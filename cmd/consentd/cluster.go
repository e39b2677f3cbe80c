package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"consentd/config"
	"consentd/internal/broker"
	"consentd/internal/daemon"
	"consentd/internal/logging"
	"consentd/internal/lookup"
	"consentd/replay"
)

// session is what the commands share that look at a cluster.
type session struct {
	config  config.Config
	cluster *broker.Cluster
	log     zerolog.Logger
	close   func()
}

// open loads the configuration and returns when the cluster answers. The caller closes the session.
func open(cmd *cobra.Command, path string) (*session, error) {
	cfg, warnings, err := config.Load(path, os.Environ())
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		cmd.PrintErrln("warning:", w)
	}
	options, err := daemon.ClusterOptions(cfg)
	if err != nil {
		return nil, err
	}
	log := newLog(cmd)
	s := &session{config: cfg, cluster: broker.Open(options), log: log.Logger}
	s.close = func() {
		s.cluster.Close()
		log.Close()
	}
	if err := s.cluster.Await(cmd.Context(), s.log); err != nil {
		s.close()
		if cmd.Context().Err() != nil {
			err = errInterrupted
		}
		return nil, err
	}
	return s, nil
}

// newLog is the log of a command. Only warnings are logged: the output is what counts. The caller closes it.
func newLog(cmd *cobra.Command) *logging.Log {
	return logging.New(config.Log{Level: zerolog.LevelWarnValue, Format: "console"}, cmd.ErrOrStderr())
}

// statusTopic is where the last known status of conversations is.
func (s *session) statusTopic() lookup.Topic {
	return lookup.Topic{Cluster: s.cluster, Name: s.config.Topics.Status, Log: s.log}
}

// timeFlag is a point in time: RFC 3339 with a zone, or so long ago.
type timeFlag struct {
	time.Time
	text string
}

// Set reads the flag.
func (f *timeFlag) Set(text string) (err error) {
	f.text = text
	f.Time, err = replay.ParseTime(text, time.Now())
	return err
}

func (f *timeFlag) String() string { return f.text }

// Type is what the help calls it.
func (*timeFlag) Type() string { return "TIME" }

// words completes a flag by a list of words, and refuses others.
func words(cmd *cobra.Command, flag string, list ...string) func(values ...string) error {
	complete(cmd, flag, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp))
	return func(values ...string) error {
		for _, v := range values {
			if !slices.Contains(list, v) {
				return &usageError{fmt.Errorf("--%s %q: want %s", flag, v, strings.Join(list, ", "))}
			}
		}
		return nil
	}
}

// corpCompletion completes a flag by the corps of the configuration.
func corpCompletion(cmd *cobra.Command, flag string, path *string) {
	complete(cmd, flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		cfg, _, err := config.Load(*path, os.Environ())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var ids []string
		for _, corp := range cfg.AllCorps() {
			ids = append(ids, corp.CorpID)
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	})
}

// nothingToComplete keeps the shell from offering files for a flag whose value nobody can guess.
func nothingToComplete(cmd *cobra.Command, flags ...string) {
	for _, flag := range flags {
		complete(cmd, flag, cobra.NoFileCompletions)
	}
}

func complete(cmd *cobra.Command, flag string, with cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, with); err != nil {
		panic(fmt.Sprintf("a flag that was just defined: %v", err))
	}
}

// Command consentd asks WeCom for the consent status of conversations and publishes what it learnt.
//
// Data goes to stdout, logs and progress to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"consentd/config"
)

// Exit codes, as every command documents them.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run executes one command line and returns its exit code.
func run(args []string, stdout, stderr io.Writer) int {
	// net/http tells the standard logger how a reply begins that nobody waited for, be it a token.
	log.SetOutput(io.Discard)
	ctx, stop := untilSignalled(context.Background(), stderr)
	defer stop()
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if ctx.Err() != nil && err == ctx.Err() { //nolint:errorlint // who knows what was written wraps it, and says so
		err = errors.New("interrupted")
	}
	fmt.Fprintf(stderr, "consentd: %v\n", err)
	if errors.As(err, new(*config.Error)) || errors.As(err, new(*usageError)) {
		return exitUsage
	}
	return exitFailed
}

// untilSignalled ends the context at the first SIGTERM or SIGINT, and the process at the second.
func untilSignalled(ctx context.Context, stderr io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
			return
		}
		if _, ok := <-signals; ok {
			fmt.Fprintln(stderr, "consentd: told to stop twice: exiting at once")
			os.Exit(exitFailed)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
		close(signals)
	}
}

// usageError is a wrong command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "consentd",
		Short: "Ask WeCom whether customers agreed that conversations are archived, and publish the answers and every change",
		Long: `consentd reads "check consent" requests from a Kafka topic, asks WeCom (企业微信) for the consent status of the
conversations (获取会话同意情况), and publishes an answer for every item and an event for every change.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArguments,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return noEmptyFlags(cmd)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())}
	})
	root.AddCommand(runCommand(), devCommand(), simulateCommand(), benchCommand(), benchPartCommand(), configCommand(), versionCommand(),
		submitCommand(), watchCommand(), statusCommand(), replayCommand(), recheckCommand(), forgetCommand(), topicsCommand(), groupCommand(), doctorCommand())
	refuseUnknown(root)
	return root
}

// refuseUnknown makes errors of what cobra's own commands take for a question: a command or shell that there is not.
func refuseUnknown(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			cmd.Args = noArguments
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		case "help":
			cmd.Args = func(help *cobra.Command, args []string) error {
				if found, rest, err := root.Find(args); found == nil || err != nil || len(rest) > 0 {
					return noArguments(help, args)
				}
				return nil
			}
		}
	}
}

// noEmptyFlags refuses a flag that is given and empty: most likely a variable of a script was, and without the flag the command
// would be about everything.
func noEmptyFlags(cmd *cobra.Command) error {
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if list, ok := f.Value.(pflag.SliceValue); f.Value.String() == "" || ok && (len(list.GetSlice()) == 0 || slices.Contains(list.GetSlice(), "")) {
			err = &usageError{fmt.Errorf("--%s is empty: want a value, or leave it out", f.Name)}
		}
	})
	return err
}

// noArguments refuses what stands on the command line beside the flags.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Errorf("unknown argument %q for %s (see %s --help)", args[0], cmd.CommandPath(), cmd.CommandPath())}
	}
	return nil
}

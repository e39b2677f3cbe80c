package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// executeFlags are those of commands that show first what they would do.
type executeFlags struct{ execute, yes bool }

func (f *executeFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.execute, "execute", false, "do it, instead of showing what would be done")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask before")
}

// check refuses to ask where nobody can answer, before anything is looked at.
func (f *executeFlags) check(cmd *cobra.Command) error {
	if f.execute && !f.yes && !isTerminal(cmd.InOrStdin()) {
		return &usageError{errors.New("--execute asks on a terminal, and there is none: add --yes to do it without being asked")}
	}
	return nil
}

// confirm asks before anything is written.
func (f *executeFlags) confirm(cmd *cobra.Command, question string) error {
	if f.yes {
		return nil
	}
	return confirm(cmd.Context(), cmd.InOrStdin(), cmd.ErrOrStderr(), question)
}

func isTerminal(in io.Reader) bool {
	f, ok := in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

var (
	errNotConfirmed = errors.New("not confirmed: nothing was written")
	errInterrupted  = errors.New("interrupted: nothing was written")
)

func confirm(ctx context.Context, in io.Reader, ask io.Writer, question string) error {
	fmt.Fprintf(ask, "\n%s [y/N] ", question)
	answer := make(chan string, 1)
	go func() { // which nothing but an answer, or the end of the process, can end
		line, _ := bufio.NewReader(in).ReadString('\n')
		answer <- line
	}()
	select {
	case line := <-answer:
		if slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(line))) {
			return nil
		}
		return errNotConfirmed
	case <-ctx.Done():
		fmt.Fprintln(ask)
		return errInterrupted
	}
}

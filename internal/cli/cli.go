// Package cli is the command line: talos-manager NOUN VERB. One file per noun. Its commands talk to a running manager
// through package client, except serve and demo, which are one.
//
// Promises: the answer goes to stdout and everything else to stderr; -o json and -o yaml print the types of package
// client, which are stable, while tables are for people; an error ends with a hint where there is one, and the exit
// code tells its kind (see exitCode). It refuses to decide anything: what it is asked it asks the manager.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Run runs one command and returns the exit code. An empty version is what the toolchain stamped into the binary.
func Run(version string, args []string, in io.Reader, out, err io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	p := &program{build: thisBuild(version), in: in, out: out, err: err, now: time.Now}
	root := p.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(err)
	cmd, failure := root.ExecuteContextC(ctx)
	return p.report(ctx, ofFlags(cmd, failure))
}

// ofFlags makes an error in usage of what cobra says of flags that are missing or do not go together: it has no type.
func ofFlags(cmd *cobra.Command, err error) error {
	if err == nil || !strings.HasPrefix(err.Error(), "required flag(s)") && !strings.Contains(err.Error(), "flags in the group") {
		return err
	}
	return &usage{text: fmt.Sprintf("%s: %v", cmd.CommandPath(), err), hint: cmd.CommandPath() + " --help"}
}

// program is one run.
type program struct {
	build    build
	in       io.Reader
	out, err io.Writer
	now      func() time.Time

	// flags of every command
	url, token, context string
	output              string
}

// report prints an error and says what the program exits with.
func (p *program) report(ctx context.Context, err error) int {
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return 130 // as shells say it of a program that Ctrl-C ended
	}
	all := unjoin(err)
	for _, one := range all {
		fmt.Fprintf(p.err, "error: %s\n", strings.TrimSpace(printable(one.Error())))
		if hint := hintOf(one); hint != "" {
			fmt.Fprintf(p.err, "hint: %s\n", printable(hint))
		}
	}
	return exitCode(all[0])
}

// unjoin gives the errors of errors.Join one by one, each with its own hint.
func unjoin(err error) []error {
	many, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	parts := many.Unwrap()
	if strings.Join(each(parts, error.Error), "\n") != err.Error() { // of several %w
		return []error{err}
	}
	var all []error
	for _, e := range parts {
		all = append(all, unjoin(e)...)
	}
	return all
}

// usage is an error in how the command was written.
type usage struct{ text, hint string }

func (u *usage) Error() string { return u.text }

func hintOf(err error) string {
	if u, ok := errors.AsType[*usage](err); ok {
		return u.hint
	}
	if e, ok := errors.AsType[*client.Error](err); ok {
		return e.Hint
	}
	return fleet.HintOf(err)
}

// exitCode is the table of exit codes; the help of talos-manager has it too.
func exitCode(err error) int {
	if _, ok := errors.AsType[*usage](err); ok {
		return 2
	}
	kind := client.Kind(fleet.KindOf(err))
	if e, ok := errors.AsType[*client.Error](err); ok {
		kind = e.Kind
	}
	switch kind {
	case client.Invalid:
		return 3
	case client.NotFound:
		return 4
	case client.Conflict:
		return 5
	case client.Refused:
		return 6
	case client.Unauthorized, client.Forbidden:
		return 7
	case client.Unavailable:
		return 8
	case client.Exhausted:
		return 9
	case client.OperationFailed:
		return 10
	}
	return 1
}

// takes checks that a command got the arguments of these names. A last name that ends in "..." stands for one or
// more; one in brackets may be left out.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		least, most := 0, len(names)
		for _, n := range names {
			if !strings.HasPrefix(n, "[") {
				least++
			}
			if strings.HasSuffix(n, "...") {
				most = len(args)
			}
		}
		u := &usage{hint: cmd.UseLine() + "; more with --help"}
		switch {
		case len(args) < least:
			u.text = fmt.Sprintf("%s: %s is missing", cmd.CommandPath(), strings.TrimSuffix(names[len(args)], "..."))
		case len(args) > most:
			u.text = fmt.Sprintf("%s: what is %q?", cmd.CommandPath(), args[most])
		default:
			return nil
		}
		return u
	}
}

// read gives the text that a flag stands for: itself, or the file after an @ ("@-" is stdin), as talosctl and curl
// have it.
func (p *program) read(flag, value string) (string, error) {
	name, isFile := strings.CutPrefix(value, "@")
	if !isFile {
		return value, nil
	}
	var text []byte
	var err error
	if name == "-" {
		text, err = io.ReadAll(p.in)
	} else {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return "", &usage{text: fmt.Sprintf("--%s: %v", flag, err), hint: "write @FILE for a file, @- for stdin, or the text itself"}
	}
	return string(text), nil
}

// line reads a secret from stdin.
func (p *program) line(flag string) (string, error) {
	text, err := io.ReadAll(io.LimitReader(p.in, 64<<10))
	secret := strings.TrimSpace(string(text))
	if err == nil && secret == "" {
		err = errors.New("stdin is empty")
	}
	if err != nil {
		return "", &usage{text: fmt.Sprintf("--%s: %v", flag, err), hint: "as in: pass show hetzner | talos-manager …"}
	}
	return secret, nil
}

package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/talos-manager/talos-manager/client"
)

func (p *program) operationCommand() *cobra.Command {
	return p.noun("operation", "What is being done to machines, step by step", "",
		p.operationList(), p.operationShow(), p.operationLogs(), p.operationCancel(), p.operationRetry(), p.operationSkip(), p.operationApprove())
}

func (p *program) operationList() *cobra.Command {
	var f client.OperationFilter
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List operations, newest first",
		Example: "  talos-manager operation list --state active\n  talos-manager operation list --server worker-1 --kind server.install", Args: takes(),
		RunE: p.run(func(ctx context.Context, c *client.Client, _ []string) error {
			l, err := c.Operations(ctx, f)
			if err != nil {
				return err
			}
			p.none(len(l.Items), "operations", "")
			return p.showOperations(l, l)
		}),
	}
	fs := cmd.Flags()
	fs.StringSliceVar(&f.States, "state", nil, "only in these states: pending, running, waiting, asking, succeeded, failed, cancelled; active is all that are not over")
	fs.StringVar(&f.Server, "server", "", "only of this server")
	fs.StringVar(&f.Cluster, "cluster", "", "only of this cluster")
	fs.StringVar(&f.Kind, "kind", "", "only of this kind: server.rescue, server.install, cluster.bootstrap")
	fs.IntVar(&f.Limit, "limit", 30, "at most so many")
	fs.StringVar(&f.Before, "before", "", "only those before the one of this id")
	complete(cmd, "state", "active", "pending", "running", "waiting", "asking", "succeeded", "failed", "cancelled")
	complete(cmd, "kind", "server.rescue", "server.install", "cluster.bootstrap")
	p.completeFlag(cmd, "server", serverNames)
	p.completeFlag(cmd, "cluster", clusterNames)
	return cmd
}

// showOperations prints a table of the list, or v as JSON or YAML.
func (p *program) showOperations(l client.List[client.Operation], v any) error {
	return p.show(v, func(t *table) {
		for i, o := range l.Items {
			if i == 0 {
				t.row("ID", "KIND", "SUBJECT", "STATE", "STEP", "BY", "AGE", "DETAIL")
			}
			t.row(o.ID, o.Kind, o.Subject(), o.State, o.Step, o.Actor, t.age(o.CreatedAt), detail(o))
		}
	})
}

// detail is the one thing to know about an operation beside its state.
func detail(o client.Operation) string {
	switch o.State {
	case client.Asking:
		return o.Question
	case client.Waiting:
		return first(o.WaitingFor, o.Error)
	case client.Failed:
		return o.Error
	}
	if o.State == client.Running {
		return percent(o)
	}
	return ""
}

// percent is how far the step is, "" if that is not known.
func percent(o client.Operation) string {
	if pr := o.Progress; pr != nil && pr.Total > 0 {
		return fmt.Sprintf("%d%%", 100*min(pr.Done, pr.Total)/pr.Total)
	}
	return ""
}

func (p *program) operationShow() *cobra.Command {
	return &cobra.Command{
		Use: "show OPERATION", Short: "Show an operation with its steps", Example: "  talos-manager operation show d0f3k2…", Args: takes("OPERATION"),
		ValidArgsFunction: p.completeBy(operationIDs, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			o, err := c.Operation(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(o, func(t *table) { describeOperation(t, o) })
		}),
	}
}

func describeOperation(t *table, o client.Operation) {
	t.field("id", o.ID)
	t.field("kind", o.Kind)
	t.field("server", name(o.Server))
	t.field("cluster", name(o.Cluster))
	t.field("part of", o.Parent)
	t.field("asked for by", o.Actor)
	t.field("state", o.State)
	if o.State == client.Waiting {
		t.field("waits for", o.WaitingFor)
		if wait := o.WaitUntil.Sub(t.now); wait > time.Minute {
			t.field("looks again in", short(wait))
		}
	}
	t.block("question", fold(o.Question, wide-2))
	if o.State == client.Asking {
		t.field("answer with", "talos-manager operation approve "+o.ID+" --answer …")
	}
	t.field("progress", progress(o))
	if o.Skippable != "" {
		t.block("without this step", fold(o.Skippable, wide-2))
		t.field("skip it with", skipCommand(o))
	}
	t.block("error", fold(o.Error, wide-2))
	t.block("hint", fold(o.Hint, wide-2))
	t.field("began", t.ago(o.CreatedAt))
	t.field("ended", t.ago(o.FinishedAt))
	for i, s := range o.Steps {
		if i == 0 {
			fmt.Fprintln(t.w)
			t.row("STEP", "STATE", "TOOK", "ATTEMPTS", "ERROR")
		}
		t.row(s.Name, s.State, took(s, t.now), attempts(s.Attempts), s.Error)
	}
}

// progress is how far the step is, in its own units.
func progress(o client.Operation) string {
	pr := o.Progress
	if pr == nil {
		return ""
	}
	done, total := fmt.Sprint(pr.Done), fmt.Sprint(pr.Total)
	if pr.Unit == "bytes" {
		done, total = size(pr.Done), size(pr.Total)
	}
	text := done
	if pr.Total > 0 {
		text += " of " + total
	}
	if pr.Unit != "bytes" {
		text += " " + pr.Unit
	}
	if share := percent(o); share != "" {
		text += " (" + share + ")"
	}
	return strings.TrimSpace(text)
}

func took(s client.Step, now time.Time) string {
	switch {
	case s.StartedAt.IsZero():
		return ""
	case s.FinishedAt.IsZero():
		return short(now.Sub(s.StartedAt))
	}
	return short(s.FinishedAt.Sub(s.StartedAt))
}

func attempts(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func (p *program) operationLogs() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "logs OPERATION", Aliases: []string{"log"}, Short: "Print the log of an operation",
		Long:    "Print the log of an operation. With --follow it goes on until the operation is over, also when the manager is restarted\nmeanwhile; -o json then prints one line of JSON for each line of the log.",
		Example: "  talos-manager operation logs d0f3k2… --follow", Args: takes("OPERATION"),
		ValidArgsFunction: p.completeBy(operationIDs, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			if follow {
				return p.follow(ctx, c, args[0])
			}
			l, err := c.OperationLog(ctx, args[0], 0)
			if err != nil {
				return err
			}
			return p.show(l, func(t *table) {
				for _, line := range l.Items {
					fmt.Fprintln(t.w, logLine(line))
				}
			})
		}),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the operation is over")
	return cmd
}

func logLine(l client.LogLine) string {
	return l.At.Local().Format(time.DateTime) + "  " + first(l.Step, "-") + ": " + level(l.Level) + strings.ReplaceAll(strings.TrimRight(printable(l.Text), "\n"), "\n", "\n  ")
}

// follow prints lines to stdout as they come; questions and the end go to stderr.
func (p *program) follow(ctx context.Context, c *client.Client, id string) error {
	enc := json.NewEncoder(p.out)
	enc.SetEscapeHTML(false)
	asked := ""
	last, err := c.WaitOperation(ctx, id, func(e client.Event) {
		switch {
		case e.Line != nil && p.output == "json":
			must(enc.Encode(e.Line))
		case e.Line != nil && p.output == "yaml":
			fmt.Fprintln(p.out, "---")
			must(printYAML(p.out, e.Line))
		case e.Line != nil:
			fmt.Fprintln(p.out, logLine(*e.Line))
		case e.Lost != nil:
			p.done("connection lost, trying again: %v", e.Lost)
		case e.Operation.State == client.Asking && e.Operation.Question != asked:
			asked = e.Operation.Question
			p.done("it asks: %s\nanswer with: talos-manager operation approve %s --answer …", printable(asked), id)
		}
	})
	if err != nil {
		return err
	}
	if err := last.Err(); err != nil {
		return err
	}
	p.done("%s %s after %s", last.Kind, last.State, short(last.FinishedAt.Sub(last.CreatedAt)))
	return nil
}

func (p *program) operationCancel() *cobra.Command {
	return &cobra.Command{
		Use: "cancel OPERATION", Short: "Stop an operation; what was done to the machine stays done", Example: "  talos-manager operation cancel d0f3k2…", Args: takes("OPERATION"),
		ValidArgsFunction: p.completeBy(operationIDs, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			o, err := c.CancelOperation(ctx, args[0])
			if err != nil {
				return err
			}
			return p.showOperations(client.List[client.Operation]{Items: []client.Operation{o}}, o)
		}),
	}
}

func (p *program) operationRetry() *cobra.Command {
	w := waiting{one: true}
	cmd := &cobra.Command{
		Use: "retry OPERATION", Short: "Continue a failed or cancelled operation at the step where it stopped", Example: "  talos-manager operation retry d0f3k2… --wait", Args: takes("OPERATION"),
		ValidArgsFunction: p.completeBy(operationIDs, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			return p.resume(ctx, c, args[0], w, c.RetryOperation)
		}),
	}
	w.flags(cmd)
	return cmd
}

func (p *program) operationSkip() *cobra.Command {
	w := waiting{one: true}
	var step string
	cmd := &cobra.Command{
		Use: "skip OPERATION", Short: "Go on after the step at which an operation waits or failed",
		Long: "Go on after the step at which an operation waits or failed, without it. Only steps that keep nothing safe and that no later\n" +
			"step needs can be left out; talos-manager operation show says what is then not done.",
		Example: "  talos-manager operation skip d0f3k2… --step 'label the node'", Args: takes("OPERATION"),
		ValidArgsFunction: p.completeBy(operationIDs, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			if step == "" {
				return p.whichStep(ctx, c, args[0])
			}
			return p.resume(ctx, c, args[0], w, func(ctx context.Context, id string) (client.Operation, error) { return c.SkipStep(ctx, id, step) })
		}),
	}
	cmd.Flags().StringVar(&step, "step", "", "the step to leave out: the one that the operation stands at")
	w.flags(cmd)
	return cmd
}

// whichStep wants the step named: the operation may stand at another one by the time that the request comes.
func (p *program) whichStep(ctx context.Context, c *client.Client, id string) error {
	o, err := c.Operation(ctx, id)
	if err != nil {
		return err
	}
	if o.Skippable == "" {
		return &usage{text: fmt.Sprintf("operation skip: --step is missing; the operation is %s at %q, which cannot be skipped now", o.State, o.Step), hint: "talos-manager operation show " + id}
	}
	return &usage{text: fmt.Sprintf("operation skip: --step is missing; without %q: %s", o.Step, o.Skippable), hint: skipCommand(o)}
}

func skipCommand(o client.Operation) string {
	return "talos-manager operation skip " + o.ID + " --step '" + o.Step + "'"
}

func (p *program) operationApprove() *cobra.Command {
	w := waiting{one: true}
	var answer string
	cmd := &cobra.Command{
		Use: "approve OPERATION", Short: "Answer the question of an operation",
		Long:    "Answer the question of an operation. Without --answer the question is shown and the answer read from the terminal.",
		Example: "  talos-manager operation approve d0f3k2…\n  talos-manager operation approve d0f3k2… --answer S64GNX0T", Args: takes("OPERATION"),
		ValidArgsFunction: p.completeBy(operationIDs, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			if answer == "" {
				var err error
				if answer, err = p.ask(ctx, c, args[0]); err != nil {
					return err
				}
			}
			return p.resume(ctx, c, args[0], w, func(ctx context.Context, id string) (client.Operation, error) {
				return c.ApproveOperation(ctx, id, answer)
			})
		}),
	}
	cmd.Flags().StringVar(&answer, "answer", "", "the answer; what is accepted is in the question")
	w.flags(cmd)
	return cmd
}

// ask shows the question of an operation and reads the answer, where there is somebody to read it from.
func (p *program) ask(ctx context.Context, c *client.Client, id string) (string, error) {
	o, err := c.Operation(ctx, id)
	if err != nil {
		return "", err
	}
	if o.State != client.Asking {
		return "", &client.Error{Kind: client.Conflict, Message: "operation " + id + " asks nothing: it is " + o.State}
	}
	if !p.terminal() {
		return "", &usage{text: "operation approve: --answer is missing; the question is: " + o.Question, hint: "talos-manager operation approve " + id + " --answer …"}
	}
	return p.prompt(o.Question + "\nanswer: ")
}

// terminal says whether there is a person at stdin.
func (p *program) terminal() bool {
	f, ok := p.in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (p *program) prompt(question string) (string, error) {
	fmt.Fprint(p.err, printable(question))
	// At the end of the input what was read counts: an error leaves it empty, or as somebody typed it before Ctrl-D.
	line, _ := bufio.NewReader(p.in).ReadString('\n')
	if line = strings.TrimSpace(line); line == "" {
		return "", &usage{text: "no answer, nothing was done"}
	}
	return line, nil
}

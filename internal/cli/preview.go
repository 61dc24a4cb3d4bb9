package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/client"
)

// previewInstalls says what installs would do. One that cannot be looked at does not keep the others from being shown.
func (p *program) previewInstalls(ctx context.Context, c *client.Client, servers []string, o client.InstallOptions) error {
	l := client.List[client.InstallPreview]{Items: []client.InstallPreview{}}
	var problems []error
	for _, ref := range servers {
		v, err := c.PreviewInstall(ctx, ref, o)
		if err != nil {
			problems = append(problems, explain(err))
			continue
		}
		l.Items = append(l.Items, v)
	}
	if len(l.Items) > 0 {
		problems = append(problems, p.show(l, func(t *table) {
			for i, v := range l.Items {
				if i > 0 {
					fmt.Fprintln(t.w)
				}
				describePreview(t, v)
			}
			printScripts(t, l.Items)
		}))
	}
	return errors.Join(problems...)
}

func describePreview(t *table, v client.InstallPreview) {
	t.field("server", v.Server)
	t.field("cluster", v.Cluster)
	t.field("Talos", v.TalosVersion)
	t.field("image", v.Image)
	t.field("kernel", v.Kernel)
	t.field("initramfs", v.Initramfs)
	t.field("boot, delivery", v.Boot+", "+v.Delivery)
	t.field("facts of", first(t.ago(v.FactsAt), "never: the disk is chosen when the machine was asked"))
	t.field("disk policy", v.DiskPolicy)
	if v.Disk != nil {
		t.block("disk", diskText(*v.Disk))
	}
	t.field("verdict", v.Verdict)
	t.block("would be lost", fold(strings.Join(v.Contents, ", "), wide-2))
	t.block("would ask", fold(v.Question, wide-2))
	for _, m := range v.Meta {
		t.block(fmt.Sprintf("META 0x%x, %s", m.Key, m.Name), m.Value)
	}
	describeProblems(t, "problem", v.Problems)
	t.block("steps", strings.Join(v.Steps, "\n"))
}

func describeProblems(t *table, title string, all []client.Problem) {
	for _, problem := range all {
		text := fold(problem.Text, wide-2)
		if problem.Hint != "" {
			text += "\n" + fold("hint: "+problem.Hint, wide-2)
		}
		t.block(title, text)
	}
}

// printScripts prints each script once: they are the same for all servers, only what they are called with is not.
func printScripts(t *table, all []client.InstallPreview) {
	seen := map[string]bool{}
	for _, v := range all {
		for _, s := range v.Scripts {
			fmt.Fprintf(t.w, "\n# %s, step %q: %s\n", v.Server, s.Step, printable(s.Line))
			if !seen[s.Name] {
				fmt.Fprintln(t.w, strings.TrimRight(verbatim(s.Text), "\n"))
			}
			seen[s.Name] = true
		}
	}
}

// verbatim is a script as it is; the table would take tabs for columns.
func verbatim(text string) string { return strings.ReplaceAll(text, "\t", "    ") }

func (p *program) planInstalls(ctx context.Context, c *client.Client, r client.InstallPlanRequest) error {
	plan, err := c.PlanInstalls(ctx, r)
	if err != nil {
		return err
	}
	return p.show(plan, func(t *table) { describePlan(t, plan) })
}

func describePlan(t *table, plan client.InstallPlan) {
	for i, s := range plan.Servers {
		if i == 0 {
			t.row("SERVER", "CLUSTER", "ROLE", "BEGINS", "DONE", "RESTARTS", "WAITS FOR")
		}
		begins, done := "now", "never"
		if wait := s.Start.Sub(plan.At); wait > time.Second {
			begins = "in " + short(wait)
		}
		if s.Start.IsZero() {
			begins = ""
		}
		if !s.End.IsZero() {
			done = "in " + short(s.End.Sub(plan.At))
		}
		t.row(s.Server.Name, s.Cluster, s.Role, begins, done, fmt.Sprint(s.Restarts), longestWait(s))
	}
	fmt.Fprintln(t.w)
	if plan.End.IsZero() {
		fmt.Fprintln(t.w, "none of them would be done by itself")
	} else {
		fmt.Fprintf(t.w, "all done in %s, at %s\n", short(plan.End.Sub(plan.At)), plan.End.Local().Format(time.DateTime))
	}
	for _, b := range plan.Budgets {
		fmt.Fprintln(t.w, fold(budgetText(plan, b), wide))
	}
	for _, s := range plan.Servers {
		describeProblems(t, s.Server.Name+" cannot be installed", s.Problems)
		for _, q := range s.Questions {
			t.block(s.Server.Name+" would ask", fold(q, wide-2))
		}
	}
	for _, s := range plan.Shorter {
		saves := "shorter by " + short(seconds(s.Seconds))
		if s.Seconds < 1 {
			saves = "shorter for each, by " + short(seconds(s.Each))
		}
		if max(s.Seconds, s.Each) >= 1 {
			t.block(saves, strings.TrimSpace(fold(s.What, wide-2)+"\n"+s.How))
		}
	}
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// longestWait is what an install waits for most.
func longestWait(s client.PlannedInstall) string {
	var longest time.Duration
	what := ""
	for _, ph := range s.Phases {
		if wait := ph.Works.Sub(ph.Start); ph.WaitsFor != "" && wait > longest {
			longest, what = wait, short(wait)+" for "+ph.WaitsFor
		}
	}
	return what
}

func budgetText(plan client.InstallPlan, b client.PlannedBudget) string {
	text := fmt.Sprintf("account %s, %s: %d calls needed, %d allowed in %s, %d used now",
		b.Account, b.Group, b.Needed, b.Calls, short(seconds(b.Seconds)), b.Used)
	if back := b.Back.Sub(plan.At); b.Used > 0 && back > 0 {
		text += ", back in " + short(back)
	}
	return text
}

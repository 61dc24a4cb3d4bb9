package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

// finding is a finding of the lint as -o json prints it.
type finding struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Kind     string `json:"kind,omitempty"`
	Name     string `json:"name,omitempty"`
	Path     string `json:"path,omitempty"`
	Severity string `json:"severity"` // error: a node of that version refuses it
	Problem  string `json:"problem"`
	Message  string `json:"message"`
	Instead  string `json:"instead,omitempty"`
}

func (p *program) configLint() *cobra.Command {
	var version, from string
	cmd := &cobra.Command{
		Use: "lint FILE...", Short: "Find what a Talos version would refuse, without a manager",
		Long: `Find what a Talos version would refuse or ignore in patches and machine configs: documents and fields that are too new for
it or gone, misspelt names, wrong values. With --from only what an upgrade from that version would break is listed.
What is called an error is refused by a node of that version; then the exit code is 3.`,
		Example: "  talos-manager config lint all.yaml worker.yaml --talos-version v1.14.1\n" +
			"  talos-manager config lint all.yaml --from v1.11.6 --talos-version v1.12.1",
		Args: takes("FILE..."),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := machineconfig.CheckTalos(version); err != nil {
				return err
			}
			if from != "" {
				if err := machineconfig.CheckUpgrade(from, version); err != nil {
					return err
				}
			}
			found := []finding{}
			for _, file := range args {
				text, err := p.file(file)
				if err != nil {
					return err
				}
				if err := machineconfig.Misplaced(text); err != nil {
					return about(file, err)
				}
				all := schema.Lint(text, version)
				if from != "" {
					all = schema.LintUpgrade(text, from, version)
				}
				for _, f := range all {
					found = append(found, finding{file, f.Line, f.Column, f.Kind, f.Name, f.Path, string(f.Severity), string(f.Problem), f.Message, f.Instead})
				}
			}
			if err := p.showFindings(found); err != nil {
				return err
			}
			if len(found) == 0 {
				p.done("nothing found for Talos %s", version)
			}
			return refusal(found, version)
		},
	}
	cmd.Flags().StringVar(&version, "talos-version", machineconfig.NewestTalos(), "Talos version to lint for")
	cmd.Flags().StringVar(&from, "from", "", "list only what is new since this Talos version")
	completeVersions(cmd, "talos-version", "from")
	return cmd
}

// refusal is an error if a node would refuse what was found.
func refusal(found []finding, version string) error {
	found = slices.DeleteFunc(slices.Clone(found), func(f finding) bool { return f.Severity != string(schema.Error) })
	if len(found) == 0 {
		return nil
	}
	e := fleet.Errorf(fleet.Invalid, "Talos %s would refuse this for %d reasons", version, len(found))
	if len(found) == 1 {
		e = fleet.Errorf(fleet.Invalid, "Talos %s would refuse this", version)
	}
	old := slices.IndexFunc(found, func(f finding) bool {
		return f.Problem == string(schema.Gone) || f.Problem == string(schema.Conflict)
	})
	if old < 0 {
		return e.WithHint("mend what is listed above")
	}
	return e.WithHint("config modernise rewrites what is old: talos-manager config modernise %s --talos-version %s", found[old].File, version)
}

// showFindings prints them as compilers do: FILE:LINE:COLUMN.
func (p *program) showFindings(found []finding) error {
	if p.output != "table" {
		return p.show(found, nil)
	}
	for _, f := range found {
		where := f.Path
		if f.Kind != "" && f.Kind != schema.V1Alpha1 {
			where = f.Kind + " " + f.Path
		}
		if _, err := fmt.Fprintf(p.out, "%s:%d:%d: %s: %s\n", f.File, f.Line, f.Column, f.Severity, printable(f.Message)); err != nil {
			return err
		}
		if where != "" {
			fmt.Fprintf(p.out, "    at %s\n", printable(where))
		}
		if f.Instead != "" {
			fmt.Fprintf(p.out, "    instead: %s\n", printable(f.Instead))
		}
	}
	return nil
}

// completeVersions completes flags with the Talos minors, newest first.
func completeVersions(cmd *cobra.Command, flags ...string) {
	versions := slices.Clone(schema.Versions())
	slices.Reverse(versions)
	for _, f := range flags {
		complete(cmd, f, versions...)
	}
}

package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/modernise"
	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

func (p *program) configModernise() *cobra.Command {
	var version, role, planes string
	var all, inPlace bool
	var d destination
	cmd := &cobra.Command{
		Use: "modernise FILE", Aliases: []string{"modernize"}, Short: "Rewrite an old patch for a Talos version, without a manager",
		Long: `Rewrite a patch that was written for an older Talos into what a version wants. Comments and ${variables} are kept. What was
done goes to stderr, with the proof: whether nodes do the same with the old patch and the new one. What only control
planes take is a patch of its own (--control-plane-output). The exit code is 3 when the result would mean something else.`,
		Example: "  talos-manager config modernise all.yaml --talos-version v1.14.1 --write all-1.14.yaml", Args: takes("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := p.configFile(args[0])
			if err != nil {
				return err
			}
			if machineconfig.Whole(text) {
				p.done("WARNING: %s is a whole machine config. This is for patches: what comes from the secrets of the cluster is not rewritten.\n"+
					"A config for another version is made by: secrets generate --from-controlplane-config, then config generate --with-secrets", args[0])
			}
			r := fleet.Role(role)
			if r != "" && r != fleet.ControlPlane && r != fleet.Worker {
				return &usage{text: fmt.Sprintf("--role: there is no role %q", role), hint: "controlplane or worker; none for both"}
			}
			made, err := modernise.Patch(string(text), version, modernise.Options{Role: r, All: all})
			if err != nil {
				return about(args[0], err)
			}
			if p.output != "table" {
				return cmp.Or(p.show(made, nil), useless(args[0], version, made), changing(args[0], made))
			}
			if inPlace {
				d.output, d.force = args[0], true
			}
			return p.writeModern(args[0], version, made, d, planes)
		},
	}
	f := cmd.Flags()
	f.StringVar(&version, "talos-version", machineconfig.NewestTalos(), "Talos version to rewrite for")
	f.StringVar(&role, "role", "", "role of the nodes that get the patch, controlplane or worker; both without it")
	f.BoolVar(&all, "all", false, "rewrite what the version still takes but calls deprecated, too")
	f.StringVar(&d.output, "write", "-", `file to write the result to, "-" for stdout`)
	f.StringVar(&planes, "control-plane-output", "", "file for the part that only control planes take; after the result without it")
	f.BoolVarP(&inPlace, "in-place", "i", false, "overwrite the file")
	f.BoolVarP(&d.force, "force", "f", false, "overwrite files")
	must(cmd.MarkFlagFilename("write"))
	must(cmd.MarkFlagFilename("control-plane-output"))
	complete(cmd, "role", "controlplane", "worker")
	completeVersions(cmd, "talos-version")
	return cmd
}

// writeModern writes the result and says what was done, what is left to do, and what the proof found.
func (p *program) writeModern(file, version string, made *modernise.Result, d destination, planes string) error {
	if err := useless(file, version, made); err != nil {
		return err
	}
	text := made.Text
	if made.ControlPlane != "" && planes == "" && d.output == "-" {
		text = strings.TrimRight(text, "\n") + "\n---\n# for control planes only\n" + made.ControlPlane
	}
	if made.ControlPlane != "" && planes == "" && d.output != "-" {
		return &usage{text: "a part of the result is for control planes only, and needs a file of its own", hint: "name it: --control-plane-output planes.yaml; or say for whom the patch is: --role"}
	}
	if d.output != "-" && !d.force {
		if err := free(d.output); err != nil {
			return err
		}
	}
	if planes != "" && made.ControlPlane != "" {
		if err := d.write(p, planes, []byte(made.ControlPlane)); err != nil {
			return err
		}
	}
	if err := d.write(p, d.output, []byte(text)); err != nil {
		return err
	}
	p.sayModern(file, version, made)
	return changing(file, made)
}

// changing is an error if the result means something else than the patch.
func changing(file string, made *modernise.Result) error {
	if made.Proof.Verdict != modernise.Differs {
		return nil
	}
	return fleet.Errorf(fleet.Invalid, "%s: the result means something else: %d differences", file, len(made.Proof.Differences)).
		WithHint("read them above, and mend the result by hand")
}

// useless is an error if no node would take the result: the patch is not old but broken.
func useless(file, version string, made *modernise.Result) error {
	problem := ""
	switch made.Proof.Verdict {
	case modernise.Refused:
		problem = fmt.Sprintf("Talos %s would refuse the result: %s", version, made.Proof.Problem)
	case modernise.Unproven: // nothing takes the old one; the new one may be well all the same
		all := schema.Lint([]byte(made.Text), version)
		if i := slices.IndexFunc(all, func(f schema.Finding) bool { return f.Severity == schema.Error }); i >= 0 {
			problem = "it is not old but broken: " + all[i].Message
		}
	}
	if problem == "" {
		return nil
	}
	return fleet.Errorf(fleet.Invalid, "%s: %s", file, problem).
		WithHint("mend the patch first: talos-manager config lint %s --talos-version %s", file, version)
}

func (p *program) sayModern(file, version string, made *modernise.Result) {
	if !made.Changed {
		p.done("%s: nothing to do for Talos %s", file, version)
	}
	for _, c := range made.Changes {
		to := "dropped"
		if len(c.To) > 0 {
			to = "now " + strings.Join(c.To, ", ")
		}
		p.done("%s:%d: %s: %s: %s", file, c.Line, c.Path, to, c.Why)
	}
	for _, n := range made.Notes {
		p.done("%s:%d: %s: %s", file, n.Line, n.Kind, strings.TrimSpace(n.Path+" "+n.Text))
	}
	for _, e := range made.Schematic.Extensions {
		p.done("into the schematic: extension %s", e)
	}
	for _, a := range made.Schematic.KernelArguments {
		p.done("into the schematic: kernel argument %s", a)
	}
	switch made.Proof.Verdict {
	case modernise.Equal:
		p.done("proven: nodes do the same with it")
	case modernise.EqualOlder:
		p.done("proven: nodes do with it what Talos %s did with the old one, which %s refuses", made.Proof.Against, version)
	case modernise.Unproven:
		p.done("not proven: %s", made.Proof.Problem)
	}
	for _, x := range made.Proof.Differences {
		fmt.Fprintf(p.err, "differs for %s: %s: %s -> %s %s\n", x.Role, x.Path, orNone(x.Old), orNone(x.New), x.Why)
	}
}

func orNone(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

package cli

import (
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
)

// file reads a file that a command is about, or stdin for "-".
func (p *program) file(name string) ([]byte, error) {
	var text []byte
	var err error
	if name == "-" {
		text, err = io.ReadAll(p.in)
	} else {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, &usage{text: err.Error(), hint: `name a file, or "-" for stdin`}
	}
	return text, nil
}

// configFile reads a machine config or patch; of another file that is taken for one it says what it is.
func (p *program) configFile(name string) ([]byte, error) {
	text, err := p.file(name)
	if err != nil {
		return nil, err
	}
	return text, about(name, machineconfig.CheckText(text))
}

// about says of an error which file it is about.
func about(file string, err error) error {
	if err == nil {
		return nil
	}
	return fleet.Errorf(fleet.KindOf(err), "%s: %w", file, err).WithHint("%s", fleet.HintOf(err))
}

func (p *program) configPatch() *cobra.Command {
	var patches []string
	var d destination
	cmd := &cobra.Command{
		Use: "patch FILE", Short: "Apply patches to a machine config, without a manager",
		Long: `Apply patches to the machine config in a file, in their order, as talosctl machineconfig patch does: strategic merge
patches or JSON patches, YAML or JSON. The result is not validated; config validate does that.`,
		Example: "  talos-manager config patch controlplane.yaml --patch @p.yaml --output out.yaml", Args: takes("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := p.file(args[0])
			if err != nil {
				return err
			}
			texts, err := p.patches("patch", patches)
			if err != nil {
				return err
			}
			out, err := machineconfig.PatchFile(text, texts)
			if err != nil {
				return about(args[0], err)
			}
			if d.output == "-" { // talosctl ends it with one more newline on stdout only
				out = append(out, '\n')
			}
			d.force = true // as talosctl: the same command twice is no mistake
			return d.write(p, d.output, out)
		},
	}
	cmd.Flags().StringArrayVarP(&patches, "patch", "p", nil, "patch: the text, or @FILE; can be given several times")
	cmd.Flags().StringVarP(&d.output, "output", "o", "-", `file to write to, "-" for stdout`)
	must(cmd.MarkFlagFilename("output"))
	return cmd
}

func (p *program) configValidate() *cobra.Command {
	var file, mode string
	var strict bool
	cmd := &cobra.Command{
		Use: "validate --config FILE --mode metal", Short: "Check a machine config, without a manager",
		Long:    "Check a machine config as talosctl validate does, by the rules of the newest Talos this program knows.",
		Example: "  talos-manager config validate --config controlplane.yaml --mode metal --strict", Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			text, err := p.file(file)
			if err != nil {
				return err
			}
			warnings, err := machineconfig.ValidateFile(text, mode, strict)
			for _, w := range warnings {
				p.done("WARNING: %s", w)
			}
			if err != nil {
				return about(file, err)
			}
			p.done("%s is valid for %s mode", file, mode)
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", `file of the machine config, "-" for stdin`)
	cmd.Flags().StringVarP(&mode, "mode", "m", "metal", "what it is to run on: metal, cloud or container")
	cmd.Flags().BoolVar(&strict, "strict", false, "take warnings for errors")
	must(cmd.MarkFlagRequired("config"))
	must(cmd.MarkFlagFilename("config", "yaml", "yml"))
	complete(cmd, "mode", "metal", "cloud", "container")
	return cmd
}

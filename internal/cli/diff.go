package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
)

func (p *program) configDiff() *cobra.Command {
	var version string
	var exitCode, unified bool
	cmd := &cobra.Command{
		Use: "diff OLD NEW", Short: "Say what differs between two machine configs, without a manager",
		Long: `Say what differs in meaning between two machine configs, field by field: comments, order and spelling make no
difference. Secrets are never shown. With --talos-version it is said what a node of that version does with the
change: whether it needs a reboot.`,
		Example: "  talos-manager config diff running.yaml desired.yaml --talos-version v1.13.9", Args: takes("OLD", "NEW"),
		RunE: func(_ *cobra.Command, args []string) error {
			var texts [2][]byte
			for i, name := range args {
				text, err := p.configFile(name)
				if err != nil {
					return err
				}
				texts[i] = text
			}
			d, err := diff.Compare(texts[0], texts[1], nil)
			if err != nil {
				return whichOf(args, texts, err)
			}
			var v *diff.Verdict
			if version != "" {
				if err := machineconfig.CheckTalos(version); err != nil {
					return err
				}
				if v, err = diff.Apply(d, version); err != nil {
					return err
				}
			}
			if unified {
				err = p.showUnified(texts[0], texts[1])
			} else {
				err = p.showDiff(d, v)
			}
			if err != nil {
				return err
			}
			if exitCode && !d.Empty() {
				return fleet.Errorf(fleet.Conflict, "%s and %s differ", args[0], args[1])
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&version, "talos-version", "", "Talos version of the node that is to take the change")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 5 when they differ")
	cmd.Flags().BoolVar(&unified, "unified", false, "as a unified diff of the YAML, secrets left out")
	cmd.MarkFlagsMutuallyExclusive("unified", "talos-version")
	completeVersions(cmd, "talos-version")
	return cmd
}

// showUnified prints the lines that differ between both configs, written in one form.
func (p *program) showUnified(old, is []byte) error {
	text, err := diff.Unified(old, is)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(p.out, text)
	return err
}

// whichOf says which of two configs cannot be read.
func whichOf(names []string, texts [2][]byte, err error) error {
	for i, text := range texts {
		if _, err := diff.Compare(text, nil, nil); err != nil {
			return about(names[i], err)
		}
	}
	return err
}

// showDiff prints what differs and what a node does with it.
func (p *program) showDiff(d *diff.Diff, v *diff.Verdict) error {
	if p.output != "table" {
		return p.show(struct {
			*diff.Diff
			Verdict *diff.Verdict `json:"verdict,omitempty"`
		}{d, v}, nil)
	}
	if d.Empty() && (v == nil || len(v.Outcomes) == 0) { // older Talos reboots for what is only written otherwise, too
		p.done("they mean the same")
		return nil
	}
	_, err := fmt.Fprint(p.out, diff.Text(d, v))
	return err
}

package cli

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
)

func (p *program) configRender() *cobra.Command {
	var in machineconfig.Input
	var d destination
	var role, with string
	var patches []string
	own := map[string]string{}
	var explain, redact bool
	cmd := &cobra.Command{
		Use: "render HOSTNAME", Short: "Make the machine config of one server, without a manager",
		Long: `Make the machine config of one server from plain files, exactly as the manager does it: its hostname and disks, then the
patches in their order with their ${variables}, validated as strictly as Talos does for metal. --explain says of each
line which patch set it.`,
		Example: `  talos-manager config render worker-1 --cluster prod --endpoint https://203.0.113.10:6443 --with-secrets secrets.yaml \
    --role worker --patch @all.yaml --patch @worker.yaml --variable private_ip=10.0.1.1 -o worker-1.yaml`,
		Args: takes("HOSTNAME"),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			if err := errors.Join(fleet.CheckName("host", args[0]), checkEndpoint(in.Endpoint)); err != nil {
				return err
			}
			if in.Secrets, err = os.ReadFile(with); err != nil {
				return &usage{text: "--with-secrets: " + err.Error(), hint: "make one: talos-manager secrets generate -o secrets.yaml"}
			}
			in.Server, in.Role = args[0], fleet.Role(role)
			if in.Role != fleet.ControlPlane && in.Role != fleet.Worker {
				return &usage{text: fmt.Sprintf("--role: there is no role %q", role), hint: "controlplane or worker"}
			}
			if kind, id, _ := strings.Cut(in.EphemeralDisk, ":"); in.EphemeralDisk != "" && (kind != "wwid" && kind != "uuid" || id == "") {
				return &usage{text: fmt.Sprintf("--ephemeral-disk: %q names no disk", in.EphemeralDisk), hint: "wwid:WWID of a disk, or uuid:UUID of an md array"}
			}
			if in.KubernetesVersion == "" {
				in.KubernetesVersion = machineconfig.KubernetesOf(in.TalosVersion)
			}
			if in.InstallImage == "" {
				in.InstallImage = machineconfig.InstallImage(in.TalosVersion)
			}
			if in.Patches, err = p.patches("patch", patches); err != nil {
				return err
			}
			in.Variables = machineconfig.Variables{
				"hostname": args[0], "server_name": args[0], "cluster_name": in.ClusterName, "endpoint": in.Endpoint,
				"talos_version": in.TalosVersion, "kubernetes_version": in.KubernetesVersion, "bootstrap_disk_wwid": in.InstallDisk,
			}
			maps.Copy(in.Variables, own)
			return p.render(in, d, explain, redact)
		},
	}
	f := cmd.Flags()
	f.StringVar(&with, "with-secrets", "secrets.yaml", "secrets bundle of the cluster")
	f.StringVar(&in.ClusterName, "cluster", "", "name of the cluster")
	f.StringVar(&in.Endpoint, "endpoint", "", "https URL of its Kubernetes API")
	f.StringVar(&role, "role", "worker", "controlplane or worker")
	f.StringVar(&in.TalosVersion, "talos-version", machineconfig.NewestTalos(), "Talos version the server runs")
	f.StringVar(&in.KubernetesVersion, "kubernetes-version", "", "Kubernetes version; by default the one that the Talos version brings")
	f.StringVar(&in.InstallImage, "install-image", "", "installer image; by default Siderolabs' of the Talos version")
	f.StringVar(&in.InstallDisk, "install-disk", "", "WWID of the disk with Talos, or serial:NUMBER")
	f.StringVar(&in.EphemeralDisk, "ephemeral-disk", "", "disk for EPHEMERAL: wwid:WWID, or uuid:UUID of an md array")
	f.BoolVar(&in.KubeSpan, "kubespan", false, "enable KubeSpan")
	f.StringArrayVarP(&patches, "patch", "p", nil, "patch: the text, or @FILE; can be given several times")
	f.StringToStringVar(&own, "variable", nil, "value of a variable, NAME=VALUE")
	f.BoolVar(&explain, "explain", false, "say of each line which patch set it; secrets are left out")
	f.BoolVar(&redact, "redact", false, "leave secrets out")
	d.flags(cmd, "-", `file to write to, "-" for stdout`)
	must(cmd.MarkFlagRequired("cluster"))
	must(cmd.MarkFlagRequired("endpoint"))
	complete(cmd, "role", "controlplane", "worker")
	completeVersions(cmd, "talos-version")
	return cmd
}

func (p *program) render(in machineconfig.Input, d destination, explain, redact bool) error {
	if explain {
		return p.explain(in, d)
	}
	text, err := machineconfig.Render(in)
	if err == nil && redact {
		var shown []byte
		if shown, err = machineconfig.Redact(text); err == nil {
			text, err = hideConfig(text, shown)
		}
	}
	if err != nil {
		return err
	}
	return d.write(p, d.output, text)
}

// hideConfig takes the secrets out of a config that Talos does not know of: in environments, files, manifests, headers.
func hideConfig(config, shown []byte) ([]byte, error) {
	hidden, err := diff.NewRedactor(config)
	if err != nil {
		return nil, err
	}
	return []byte(strings.Join(hidden.Lines(strings.Split(string(shown), "\n")), "\n")), nil
}

// explain prints each line behind the name of the patch that set it.
func (p *program) explain(in machineconfig.Input, d destination) error {
	e, err := machineconfig.Explain(in)
	if err != nil {
		return err
	}
	text, by, err := e.Redacted()
	if err == nil {
		text, err = hideConfig(e.YAML, text)
	}
	if err != nil {
		return err
	}
	out := strings.Join(besideLines(string(text), by), "\n") + "\n"
	for _, r := range e.Removed {
		p.done("%s took away %s %s", r.By, r.Kind, r.Path)
	}
	for _, name := range e.Idle {
		p.done("%s changed nothing", name)
	}
	return d.write(p, d.output, []byte(out))
}

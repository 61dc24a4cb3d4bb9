package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
)

// destination is where the commands on plain files write: their --output is a file, as talosctl's is.
type destination struct {
	output string
	force  bool
}

func (d *destination) flags(cmd *cobra.Command, fallback, help string) {
	cmd.Flags().StringVarP(&d.output, "output", "o", fallback, help)
	cmd.Flags().BoolVarP(&d.force, "force", "f", false, "overwrite files")
	must(cmd.MarkFlagFilename("output"))
}

// write writes to stdout for "-", else to a file that only its owner can read: machine configs hold secrets.
func (d *destination) write(p *program, file string, text []byte) error {
	if file == "-" {
		_, err := p.out.Write(text)
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fleet.Errorf(fleet.Invalid, "--output: %w", err)
	}
	if err := keep(file, text, d.force); err != nil {
		return err
	}
	p.done("%s written", file)
	return nil
}

// patches reads patches as talosctl takes them: the text itself, @FILE, or the name of a file.
func (p *program) patches(flag string, values []string) ([]machineconfig.Patch, error) {
	var out []machineconfig.Patch
	for i, v := range values {
		name := v
		switch {
		case v == "@-":
			name = "stdin"
		case strings.HasPrefix(v, "@"):
			name = v[1:]
		case strings.ContainsAny(v, "\n ") || strings.HasPrefix(v, "[") || strings.HasPrefix(v, "{"):
			name = fmt.Sprintf("--%s %d", flag, i+1)
		default:
			v = "@" + v
		}
		text, err := p.read(flag, v)
		if err != nil {
			return nil, err
		}
		out = append(out, machineconfig.Patch{Name: name, Text: text})
	}
	return out, nil
}

func (p *program) configGenerate() *cobra.Command {
	var o machineconfig.GenerateOptions
	var d destination
	var with string
	var types, all, planes, workers []string
	discovery := true
	cmd := &cobra.Command{
		Use: "generate NAME ENDPOINT", Short: "Generate the files of a cluster, without a manager",
		Long: `Generate the machine configs of a cluster's control planes and workers and a talosconfig, as talosctl gen config of that
Talos version does. No manager is needed. The endpoint is the URL of the Kubernetes API: https://HOST:6443.`,
		Example: "  talos-manager config generate prod https://203.0.113.10:6443 --with-secrets secrets.yaml --config-patch @all.yaml -o prod",
		Args:    takes("NAME", "ENDPOINT"),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			o.ClusterName, o.Endpoint, o.NoDiscovery = args[0], args[1], !discovery
			if err := checkEndpoint(o.Endpoint); err != nil {
				return err
			}
			paths, err := d.paths(types)
			if err != nil {
				return err
			}
			if with != "" {
				if o.Secrets, err = os.ReadFile(with); err != nil {
					return &usage{text: "--with-secrets: " + err.Error(), hint: "make one: talos-manager secrets generate -o secrets.yaml"}
				}
			}
			for _, f := range []struct {
				flag   string
				values []string
				into   *[]machineconfig.Patch
			}{{"config-patch", all, &o.Patches}, {"config-patch-control-plane", planes, &o.ControlPlanePatches}, {"config-patch-worker", workers, &o.WorkerPatches}} {
				if *f.into, err = p.patches(f.flag, f.values); err != nil {
					return err
				}
			}
			files, err := machineconfig.Generate(o)
			if err != nil {
				return err
			}
			if err := machineconfig.CheckVersions(o.TalosVersion, cmp.Or(o.KubernetesVersion, machineconfig.KubernetesOf(o.TalosVersion))); err != nil {
				p.done("WARNING: %v", err) // talosctl makes it all the same
			}
			for _, kind := range types {
				text := map[string][]byte{"controlplane": files.ControlPlane, "worker": files.Worker, "talosconfig": files.Talosconfig}[kind]
				if err := d.write(p, paths[kind], text); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&with, "with-secrets", "", "secrets bundle to use; a new one without it")
	f.StringVar(&o.TalosVersion, "talos-version", machineconfig.NewestTalos(), "Talos version to generate for")
	f.StringVar(&o.KubernetesVersion, "kubernetes-version", "", "Kubernetes version to run; by default the one that the Talos version brings")
	f.StringVar(&o.InstallDisk, "install-disk", "/dev/sda", "disk to install to")
	f.StringVar(&o.InstallImage, "install-image", "", "installer image; by default Siderolabs' of the Talos version")
	f.StringVar(&o.DNSDomain, "dns-domain", "cluster.local", "DNS domain of the cluster")
	f.StringSliceVar(&o.SANs, "additional-sans", nil, "further names in the API server's certificate")
	f.StringSliceVar(&o.RegistryMirrors, "registry-mirror", nil, "registry mirror, HOST=URL")
	f.StringArrayVar(&all, "config-patch", nil, "patch for every node: the text, or @FILE")
	f.StringArrayVar(&planes, "config-patch-control-plane", nil, "patch for control planes")
	f.StringArrayVar(&workers, "config-patch-worker", nil, "patch for workers")
	f.BoolVar(&discovery, "with-cluster-discovery", true, "let nodes find each other by the discovery service")
	f.BoolVar(&o.KubeSpan, "with-kubespan", false, "enable KubeSpan")
	f.BoolVar(&o.Docs, "with-docs", true, "explain each field in a comment")
	f.BoolVar(&o.Examples, "with-examples", true, "give examples in comments")
	f.StringSliceVarP(&types, "output-types", "t", []string{"controlplane", "worker", "talosconfig"}, "what to write")
	d.flags(cmd, "", `directory to write to; a file, or "-" for stdout, if only one type is written`)
	complete(cmd, "output-types", "controlplane", "worker", "talosconfig")
	return cmd
}

// paths says which type goes to which file.
func (d *destination) paths(types []string) (map[string]string, error) {
	out := map[string]string{"controlplane": "controlplane.yaml", "worker": "worker.yaml", "talosconfig": "talosconfig"}
	for _, t := range types {
		if out[t] == "" {
			return nil, &usage{text: "--output-types: there is no type " + t, hint: "controlplane, worker or talosconfig"}
		}
	}
	switch {
	case len(types) == 0:
		return nil, &usage{text: "--output-types is empty", hint: "controlplane, worker or talosconfig"}
	case len(types) == 1 && d.output != "":
		return map[string]string{types[0]: d.output}, nil
	case d.output == "-":
		return nil, &usage{text: "--output -: several types cannot go to stdout", hint: "choose one: --output-types controlplane"}
	}
	for t, name := range out {
		out[t] = filepath.Join(d.output, name)
		if slices.Contains(types, t) && !d.force {
			if err := free(out[t]); err != nil { // before anything is written
				return nil, err
			}
		}
	}
	return out, nil
}

func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return fleet.Errorf(fleet.Invalid, "endpoint %q is not the https URL of a Kubernetes API", endpoint).WithHint("write it as https://203.0.113.10:6443")
	}
	return nil
}

func (p *program) secretsCommand() *cobra.Command {
	return p.noun("secrets", "Secrets bundles, without a manager", "", p.secretsGenerate())
}

func (p *program) secretsGenerate() *cobra.Command {
	var file, version, fromConfig, fromPKI, token string
	var force bool
	cmd := &cobra.Command{
		Use: "generate", Short: "Generate a secrets bundle",
		Long: `Generate a secrets bundle, as talosctl gen secrets does: the certificate authorities and tokens of a cluster. It can be
taken from the machine config of a control plane, or made around the PKI directory of a cluster made by kubeadm.
Whoever has it owns the cluster: only you can read the file.`,
		Example: "  talos-manager secrets generate -o secrets.yaml", Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			text, err := p.makeSecrets(version, fromConfig, fromPKI, token)
			if err != nil {
				return err
			}
			return (&destination{force: force}).write(p, file, text)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&file, "output", "o", "secrets.yaml", `file to write to, "-" for stdout`)
	f.StringVar(&file, "output-file", "secrets.yaml", "the same, as talosctl calls it")
	must(f.MarkHidden("output-file"))
	f.StringVar(&version, "talos-version", machineconfig.NewestTalos(), "Talos version to generate for")
	f.StringVar(&fromConfig, "from-controlplane-config", "", "take them from this machine config of a control plane")
	f.StringVarP(&fromPKI, "from-kubernetes-pki", "p", "", "make them around this PKI directory (/etc/kubernetes/pki)")
	f.StringVarP(&token, "kubernetes-bootstrap-token", "t", "", "bootstrap token to use with --from-kubernetes-pki")
	f.BoolVarP(&force, "force", "f", false, "overwrite the file")
	cmd.MarkFlagsMutuallyExclusive("from-controlplane-config", "from-kubernetes-pki")
	must(cmd.MarkFlagFilename("output"))
	return cmd
}

func (p *program) makeSecrets(version, fromConfig, fromPKI, token string) ([]byte, error) {
	switch {
	case fromConfig != "":
		text, err := os.ReadFile(fromConfig)
		if err != nil {
			return nil, &usage{text: "--from-controlplane-config: " + err.Error(), hint: "name the file of a machine config"}
		}
		made, err := machineconfig.SecretsFromConfig(text, p.now())
		return made, about(fromConfig, err)
	case fromPKI != "":
		if _, err := os.Stat(fromPKI); errors.Is(err, fs.ErrNotExist) {
			return nil, &usage{text: "--from-kubernetes-pki: " + err.Error(), hint: "name the directory with ca.crt, ca.key and etcd/"}
		}
		bundle, err := secrets.NewBundleFromKubernetesPKI(fromPKI, token, nil)
		if err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "secrets of %s: %w", fromPKI, err)
		}
		return yaml.Marshal(bundle)
	}
	return machineconfig.NewSecrets(version, p.now())
}

package machineconfig

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/bundle"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/config/validation"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// This file is for plain files: what talosctl gen config, machineconfig patch, validate and gen secrets do, with the
// same results. Nothing in it knows of servers or variables.

// GenerateOptions are the flags of `talosctl gen config`.
type GenerateOptions struct {
	ClusterName, Endpoint string
	TalosVersion          string // "": the newest
	KubernetesVersion     string // "": what this Talos version brings
	Secrets               []byte // secrets bundle, YAML; nil: a new one
	InstallDisk           string // "": /dev/sda
	InstallImage          string // "": Siderolabs' of this Talos version
	DNSDomain             string // "": cluster.local
	SANs                  []string
	RegistryMirrors       []string // host=URL
	NoDiscovery           bool
	KubeSpan              bool
	Docs, Examples        bool // as comments

	Patches, ControlPlanePatches, WorkerPatches []Patch // in order; errors call them by their names
}

// Files are what `talosctl gen config` writes.
type Files struct{ ControlPlane, Worker, Talosconfig []byte }

// Generate makes the files of a cluster.
func Generate(o GenerateOptions) (Files, error) {
	version := cmp.Or(o.TalosVersion, NewestTalos())
	contract, err := contractOf(version)
	if err != nil {
		return Files{}, err
	}
	o.KubernetesVersion = cmp.Or(o.KubernetesVersion, KubernetesOf(version))
	if err := readVersions(version, o.KubernetesVersion); err != nil {
		return Files{}, err
	}
	options, err := o.library(version, contract)
	if err != nil {
		return Files{}, err
	}
	b, err := bundle.NewBundle(options...)
	if err != nil {
		return Files{}, o.whyNot(err)
	}
	comments := encoder.CommentsDisabled
	if o.Docs {
		comments |= encoder.CommentsDocs
	}
	if o.Examples {
		comments |= encoder.CommentsExamples
	}
	var files Files
	if files.ControlPlane, err = b.Serialize(comments, machine.TypeControlPlane); err != nil {
		return files, err
	}
	if files.Worker, err = b.Serialize(comments, machine.TypeWorker); err != nil {
		return files, err
	}
	files.Talosconfig, err = yaml.Marshal(b.TalosConfig())
	return files, err
}

// library turns the options into those of the machinery library.
func (o *GenerateOptions) library(version string, contract *config.VersionContract) ([]bundle.Option, error) {
	made := []generate.Option{
		generate.WithVersionContract(contract),
		generate.WithInstallDisk(cmp.Or(o.InstallDisk, "/dev/sda")),
		generate.WithInstallImage(cmp.Or(o.InstallImage, InstallImage(version))),
		generate.WithAdditionalSubjectAltNames(o.SANs),
		generate.WithDNSDomain(cmp.Or(o.DNSDomain, "cluster.local")),
		generate.WithClusterDiscovery(!o.NoDiscovery),
	}
	for _, m := range o.RegistryMirrors {
		host, url, ok := strings.Cut(m, "=")
		if !ok {
			return nil, fleet.Errorf(fleet.Invalid, "registry mirror %q has no URL", m).WithHint("write docker.io=https://mirror.example.com")
		}
		made = append(made, generate.WithRegistryMirror(host, url))
	}
	if o.KubeSpan {
		made = append(made, generate.WithKubeSpanEnabled(true))
	}
	if o.Secrets != nil {
		if err := CheckSecrets(o.Secrets, version); err != nil {
			return nil, err
		}
		b, err := loadBundle(o.Secrets)
		if err != nil {
			return nil, err
		}
		made = append(made, generate.WithSecretsBundle(b))
	}
	options := []bundle.Option{bundle.WithVerbose(false), bundle.WithInputOptions(&bundle.InputOptions{
		ClusterName: o.ClusterName, Endpoint: o.Endpoint,
		KubeVersion: strings.TrimPrefix(o.KubernetesVersion, "v"), GenOptions: made,
	})}
	for _, p := range []struct {
		texts []Patch
		add   func([]configpatcher.Patch) bundle.Option
	}{{o.Patches, bundle.WithPatch}, {o.ControlPlanePatches, bundle.WithPatchControlPlane}, {o.WorkerPatches, bundle.WithPatchWorker}} {
		patches, err := loadAll(p.texts)
		if err != nil {
			return nil, err
		}
		options = append(options, p.add(patches))
	}
	return options, nil
}

// whyNot says which patch the library could not apply.
func (o GenerateOptions) whyNot(cause error) error {
	all, planes, workers := o.Patches, o.ControlPlanePatches, o.WorkerPatches
	o.Patches, o.ControlPlanePatches, o.WorkerPatches = nil, nil, nil
	o.Docs, o.Examples = false, false
	if len(all)+len(planes)+len(workers) > 0 {
		if plain, err := Generate(o); err == nil {
			for _, n := range []struct {
				base    []byte
				patches []Patch
			}{{plain.ControlPlane, slices.Concat(all, planes)}, {plain.Worker, slices.Concat(all, workers)}} {
				if _, err := PatchFile(n.base, n.patches); err != nil {
					return err
				}
			}
		}
	}
	return fleet.Errorf(fleet.Invalid, "generate %s: %s", o.ClusterName, withoutValues(cause.Error()))
}

// PatchFile applies patches to a config, as `talosctl machineconfig patch` does: without any validation.
func PatchFile(text []byte, patches []Patch) ([]byte, error) {
	loaded, err := loadAll(patches)
	if err != nil {
		return nil, err
	}
	apply := func(p []configpatcher.Patch) (configpatcher.Output, error) {
		return configpatcher.Apply(configpatcher.WithBytes(text), p)
	}
	out, err := apply(loaded)
	if err != nil {
		if _, err := configloader.NewFromBytes(text); err != nil {
			return nil, refused(err, string(text))
		}
		return nil, unapplied(err, patches, func(first []configpatcher.Patch) error { _, err := apply(first); return err })
	}
	return out.Bytes()
}

// ValidateFile checks a config as `talosctl validate` does. The mode is metal, cloud or container.
func ValidateFile(text []byte, modeName string, strict bool) (warnings []string, err error) {
	modes := map[string]validation.RuntimeMode{"metal": metal{}, "cloud": mode{"cloud", false, false}, "container": mode{"container", false, true}}
	m, ok := modes[modeName]
	if !ok {
		return nil, fleet.Errorf(fleet.Invalid, "unknown mode %q", modeName).WithHint("use metal, cloud or container")
	}
	c, err := configloader.NewFromBytes(text)
	if err != nil {
		return nil, refused(err, string(text))
	}
	options := []validation.Option{validation.WithLocal()}
	if strict {
		options = append(options, validation.WithStrict())
	}
	warnings, err = c.ValidateAsClient(m, options...)
	if err != nil {
		return warnings, fleet.Errorf(fleet.Invalid, "%s", strings.TrimSpace(err.Error()))
	}
	return warnings, nil
}

// mode is one of Talos' runtime modes, as validation sees it.
type mode struct {
	name               string
	install, container bool
}

func (m mode) String() string        { return m.name }
func (m mode) RequiresInstall() bool { return m.install }
func (m mode) InContainer() bool     { return m.container }

// SecretsFromConfig takes the secrets bundle out of a control plane's config, as `talosctl gen secrets
// --from-controlplane-config` does.
func SecretsFromConfig(text []byte, now time.Time) ([]byte, error) {
	c, err := configloader.NewFromBytes(text)
	if err != nil {
		return nil, refused(err, string(text))
	}
	if c.Machine() == nil || c.Cluster() == nil || c.Machine().Type() != machine.TypeControlPlane && c.Machine().Type() != machine.TypeInit {
		return nil, fleet.Errorf(fleet.Invalid, "it is not the config of a control plane").WithHint("a worker's config lacks most of the secrets")
	}
	b, err := secrets.NewBundleFromConfig(secrets.NewFixedClock(now), c)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "secrets of the config: %w", err)
	}
	return yaml.Marshal(b)
}

// brought lists the Kubernetes version that the last release of each Talos minor brings (constants.go of its tag).
var brought = []string{"v1.6 v1.29.7", "v1.7 v1.30.5", "v1.8 v1.31.4", "v1.9 v1.32.4", "v1.10 v1.33.6", "v1.11 v1.34.1", "v1.12 v1.35.4", "v1.13 v1.36.3"}

// KubernetesOf is the Kubernetes version that a Talos version brings.
func KubernetesOf(talosVersion string) string {
	c, err := contractOf(talosVersion)
	if err != nil {
		return DefaultKubernetes()
	}
	i := slices.IndexFunc(brought, func(s string) bool { return strings.HasPrefix(s, c.String()+" ") })
	if i < 0 {
		return DefaultKubernetes()
	}
	_, version, _ := strings.Cut(brought[i], " ")
	return version
}

// vanilla is the schematic of nothing (image-factory: the sha256 of an empty customization).
const vanilla = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"

// InstallImage is the installer of a Talos version without extensions: the factory's since 1.14, where
// ghcr.io/siderolabs/installer is no longer published.
func InstallImage(talosVersion string) string {
	c, err := contractOf(talosVersion)
	tag := "v" + strings.TrimPrefix(talosVersion, "v")
	if strings.Count(tag, ".") < 2 {
		tag += ".0"
	}
	if err == nil && !c.UnattendedInstallConfig() {
		return "ghcr.io/siderolabs/installer:" + tag
	}
	return fmt.Sprintf("factory.talos.dev/metal-installer/%s:%s", vanilla, tag)
}

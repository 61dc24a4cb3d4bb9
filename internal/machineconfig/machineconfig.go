// Package machineconfig turns secrets, versions, ordered patches and variables into the one machine config of
// one server, with Siderolabs' own machinery and nothing executed. The same input gives the same bytes. It
// refuses what Talos would refuse (strict validation for metal), and does no I/O.
package machineconfig

import (
	"fmt"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/config/validation"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Input is all that a machine config is made of.
type Input struct {
	Server            string // its name, for errors
	ClusterName       string
	Endpoint          string // https://host:port
	Secrets           []byte // secrets bundle, YAML
	TalosVersion      string // v1.14.1; decides which documents are generated
	KubernetesVersion string // v1.36.3
	Role              fleet.Role
	InstallImage      string // installer image, kept for upgrades
	InstallDisk       string // see fleet.Assignment; "" where the disk has no identity
	EphemeralDisk     string // see fleet.Assignment
	KubeSpan          bool
	Patches           []Patch // in order; later ones win
	Variables         Variables
}

// Patch is a named patch: a strategic merge or RFC 6902, in YAML or JSON.
type Patch struct {
	Name string // "config prod, worker"
	Text string
}

// Render makes the machine config. Errors are fleet.Invalid, name the server and the patch, and say what to
// write instead where that is known.
func Render(in Input) ([]byte, error) {
	contract, err := contractOf(in.TalosVersion)
	if err != nil {
		return nil, err
	}
	if err := CheckVersions(in.TalosVersion, in.KubernetesVersion); err != nil {
		return nil, err
	}
	var last config.Provider
	if err := in.steps(func(_ string, p config.Provider) error { last = p; return nil }); err != nil {
		return nil, err
	}
	if err := validate(last); err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "server %s: machine config for Talos %s: %w", in.Server, in.TalosVersion, err).
			WithHint("%s", adviceFor(err, contract))
	}
	return encode(last)
}

func encode(p config.Provider) ([]byte, error) {
	return p.EncodeBytes(encoder.WithComments(encoder.CommentsDisabled))
}

// steps makes the config: what Talos generates, then our own patches, then the user's. It calls see after each.
func (in *Input) steps(see func(name string, p config.Provider) error) error {
	contract, err := contractOf(in.TalosVersion)
	if err != nil {
		return err
	}
	patches, err := in.expand()
	if err != nil {
		return err
	}
	provider, err := in.generate(contract)
	if err != nil {
		return err
	}
	if err := see("", provider); err != nil {
		return err
	}
	for _, p := range append(in.own(contract, patches), patches...) {
		if provider, err = apply(provider, p); err != nil {
			return fleet.Errorf(fleet.Invalid, "server %s: patch %q: %w", in.Server, p.Name, err)
		}
		if err := see(p.Name, provider); err != nil {
			return err
		}
	}
	return nil
}

// generate makes the config before any patch.
func (in *Input) generate(contract *config.VersionContract) (config.Provider, error) {
	bundle, err := loadBundle(in.Secrets)
	if err != nil {
		return nil, err
	}
	input, err := generate.NewInput(in.ClusterName, in.Endpoint, strings.TrimPrefix(in.KubernetesVersion, "v"),
		generate.WithVersionContract(contract),
		generate.WithSecretsBundle(bundle),
		generate.WithInstallImage(in.InstallImage),
		generate.WithInstallDisk("/dev/sda"),           // replaced by the selector where the disk has an identity
		generate.WithSkipUnattendedInstallConfig(true), // the image is on the disk already
	)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cluster %s: %w", in.ClusterName, err)
	}
	provider, err := input.Config(machineType(in.Role))
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cluster %s: %w", in.ClusterName, err)
	}
	return provider, nil
}

func machineType(r fleet.Role) machine.Type {
	if r == fleet.ControlPlane {
		return machine.TypeControlPlane
	}
	return machine.TypeWorker
}

// expand drops empty patches and fills in the variables of the others.
func (in *Input) expand() ([]Patch, error) {
	variables, out := in.Variables.withInput(in), []Patch(nil)
	for _, p := range in.Patches {
		if blank(p.Text) {
			continue
		}
		text, err := variables.Expand(p.Text)
		if err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "server %s: patch %q: %w", in.Server, p.Name, err)
		}
		out = append(out, Patch{p.Name, text})
	}
	return out, nil
}

// blank says whether a patch holds nothing but comments.
func blank(text string) bool {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && line != "---" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

func apply(to config.Provider, p Patch) (config.Provider, error) {
	patch, err := configpatcher.LoadPatch([]byte(p.Text))
	if err != nil {
		return nil, err
	}
	out, err := configpatcher.Apply(configpatcher.WithConfig(to), []configpatcher.Patch{patch})
	if err != nil {
		return nil, err
	}
	return out.Config()
}

// metal is the validation mode of a machine with disks: neither a container nor without install.
type metal struct{}

func (metal) String() string        { return "metal" }
func (metal) RequiresInstall() bool { return true }
func (metal) InContainer() bool     { return false }

func validate(p config.Provider) error {
	if !p.CompleteForBoot() {
		return fmt.Errorf("the config is incomplete: a patch deleted what a node needs to boot")
	}
	_, err := p.ValidateAsClient(metal{}, validation.WithStrict())
	if err == nil {
		return nil
	}
	if text := tidy(err.Error()); text != "" {
		return fmt.Errorf("%s", text)
	}
	return nil
}

// tidy makes one line of Talos' nested list of errors. The library compares Kubernetes with the newest Talos only;
// CheckVersions did that with the right one, so those lines are left out.
func tidy(text string) string {
	var parts []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "* "))
		if line == "" || strings.HasSuffix(line, "occurred:") || strings.HasSuffix(line, "is too old to be used with Talos "+strings.TrimPrefix(NewestTalos(), "v")) {
			continue
		}
		parts = append(parts, line)
	}
	return strings.Join(parts, "; ")
}

// Redact gives the config with every secret replaced, for people and logs.
func Redact(text []byte) ([]byte, error) {
	p, err := configloader.NewFromBytes(text)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "machine config: %w", err)
	}
	return p.RedactSecrets("** redacted **").EncodeBytes(encoder.WithComments(encoder.CommentsDisabled))
}

func loadBundle(text []byte) (*secrets.Bundle, error) {
	bundle, err := parseBundle(text)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "secrets bundle: %w", err).
			WithHint("it must be what `talosctl gen secrets` writes")
	}
	return bundle, nil
}

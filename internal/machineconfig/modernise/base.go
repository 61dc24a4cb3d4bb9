package modernise

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/config/validation"
	"github.com/siderolabs/talos/pkg/machinery/constants"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

// base is what Talos generates for a role, to which a patch is applied.
type base struct {
	minor int
	role  fleet.Role
	text  []byte // never a provider: a merge can write through addresses (*url.URL) that the library's copies share
	view  map[string]any
}

type baseKey struct {
	minor int
	role  fleet.Role
}

// bases are those of the library's own Kubernetes version, each made when it is first asked for.
var bases = func() map[baseKey]func() (*base, error) {
	out := map[baseKey]func() (*base, error){}
	for minor := oldestSupported; minor <= newestMinor(); minor++ {
		for _, role := range []fleet.Role{fleet.ControlPlane, fleet.Worker} {
			out[baseKey{minor, role}] = sync.OnceValues(func() (*base, error) { return newBase(minor, role, kubernetesVersion) })
		}
	}
	return out
}()

const kubernetesVersion = "v" + constants.DefaultKubernetesVersion

func baseOf(minor int, role fleet.Role, kubernetes string) (*base, error) {
	if kept := bases[baseKey{minor, role}]; kept != nil && kubernetes == kubernetesVersion {
		return kept()
	}
	return newBase(minor, role, kubernetes)
}

// bundle holds throw-away secrets; the older contract keeps them small and quick to make.
var bundle = sync.OnceValues(func() (*secrets.Bundle, error) {
	return secrets.NewBundle(secrets.NewFixedClock(time.Unix(1_700_000_000, 0)), config.TalosVersion1_6)
})

func newBase(minor int, role fleet.Role, kubernetes string) (*base, error) {
	b, err := bundle()
	if err != nil {
		return nil, err
	}
	input, err := generate.NewInput("modernise", "https://10.0.0.10:6443", strings.TrimPrefix(kubernetes, "v"),
		generate.WithVersionContract(&config.VersionContract{Major: 1, Minor: minor}),
		generate.WithSecretsBundle(b),
		generate.WithInstallImage(machineconfig.InstallImage(machineconfig.NewestTalos())),
		generate.WithInstallDisk("/dev/sda"),
	)
	if err != nil {
		return nil, err
	}
	kind := machine.TypeWorker
	if role == fleet.ControlPlane {
		kind = machine.TypeControlPlane
	}
	p, err := input.Config(kind)
	if err != nil {
		return nil, err
	}
	text, err := p.EncodeBytes(encoder.WithComments(encoder.CommentsDisabled))
	if err != nil {
		return nil, err
	}
	return &base{minor: minor, role: role, text: text, view: viewer{role, minor}.view(p)}, nil
}

// metal is the validation mode of a machine with disks.
type metal struct{}

func (metal) String() string        { return "metal" }
func (metal) RequiresInstall() bool { return true }
func (metal) InContainer() bool     { return false }

// patched applies patches and checks the result as a node would.
func (b *base) patched(strict bool, texts ...string) (config.Provider, error) {
	p, err := configloader.NewFromBytes(b.text)
	if err != nil {
		return nil, err
	}
	for _, text := range texts {
		if blank(text) {
			continue
		}
		patch, err := configpatcher.LoadPatch([]byte(text))
		if err != nil {
			return nil, b.unreadable(text, err)
		}
		out, err := configpatcher.Apply(configpatcher.WithConfig(p), []configpatcher.Patch{patch})
		if err != nil {
			return nil, err
		}
		if p, err = out.Config(); err != nil {
			return nil, err
		}
	}
	if !p.CompleteForBoot() {
		return nil, fmt.Errorf("the config is no longer complete")
	}
	options := []validation.Option{validation.WithLocal()}
	if strict {
		options = append(options, validation.WithStrict())
	}
	_, err = p.ValidateAsClient(metal{}, options...)
	if text := complaints(err); text != "" {
		return nil, fmt.Errorf("%s", text)
	}
	return p, nil
}

// unreadable says what is wrong with a patch without the values that the library shows, which may be secrets.
func (b *base) unreadable(text string, cause error) error {
	for _, f := range schema.Lint([]byte(text), version(b.minor)) {
		if f.Severity == schema.Error {
			return fmt.Errorf("line %d: %s", f.Line, f.Message)
		}
	}
	message, _, _ := strings.Cut(cause.Error(), ":\n") // what follows is the tree of the unknown keys
	return fmt.Errorf("%s", shownValue.ReplaceAllString(message, "the value"))
}

var shownValue = regexp.MustCompile("`[^`]*`")

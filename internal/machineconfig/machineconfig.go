// Package machineconfig turns secrets, versions, ordered patches and variables into the one machine config of
// one server, with Siderolabs' own machinery and nothing executed. The same input gives the same bytes. It
// refuses what Talos would refuse (strict validation for metal), and does no I/O.
package machineconfig

import (
	"crypto/sha256"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"

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
	// InstallsItself: no image is written for it. Talos is started in memory, and the config says where to install it.
	InstallsItself bool
	KubeSpan       bool
	Patches        []Patch // in order; later ones win
	Variables      Variables
}

// Patch is a named patch: a strategic merge or RFC 6902, in YAML or JSON.
type Patch struct {
	Name string // "config prod, worker"
	Text string
}

// Render makes the machine config. Errors are fleet.Invalid, name the server, the patch, its line and the field, and
// say what to write instead where that is known. Who renders more than one config keeps a Cache.
func Render(in Input) ([]byte, error) { return newMaker().render(&in, sha256.Sum256(in.Secrets)) }

func loadConfig(text []byte) (config.Provider, error) {
	p, err := configloader.NewFromBytes(text)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "machine config: %s", withoutValues(err.Error()))
	}
	return p, nil
}

func loadBundle(text []byte) (*secrets.Bundle, error) {
	bundle, err := parseBundle(text)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "secrets bundle: %s", withoutValues(err.Error())).
			WithHint("it must be what `talosctl gen secrets` writes")
	}
	return bundle, nil
}

package machineconfig

import (
	"errors"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/compatibility"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/gendata"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// NewestTalos is the newest Talos version this program knows: that of the machinery library it is built with.
func NewestTalos() string { return gendata.VersionTag }

// DefaultKubernetes is the Kubernetes version of the newest Talos.
func DefaultKubernetes() string { return "v" + constants.DefaultKubernetesVersion }

// CheckVersions refuses a Kubernetes version that the Talos version does not support, by Siderolabs' own table.
func CheckVersions(talos, kubernetes string) error {
	if err := readVersions(talos, kubernetes); err != nil {
		return err
	}
	t, err := compatibility.ParseTalosVersion(&machine.VersionInfo{Tag: talos})
	if err != nil {
		return err
	}
	k, err := compatibility.ParseKubernetesVersion(strings.TrimPrefix(kubernetes, "v"))
	if err != nil {
		return err
	}
	if err := k.SupportedWith(t); err != nil {
		return fleet.Errorf(fleet.Invalid, "%w", err).WithHint("https://docs.siderolabs.com/talos lists the Kubernetes versions of each Talos release")
	}
	return nil
}

// CheckTalos refuses what is no Talos version whose documents and fields this program knows.
func CheckTalos(version string) error {
	if err := readVersions(version, DefaultKubernetes()); err != nil {
		return err
	}
	if Later(version, NewestTalos()) {
		return fleet.Errorf(fleet.Invalid, "Talos %s is newer than this program, which knows versions up to %s", version, NewestTalos()).WithHint("install a newer talos-manager")
	}
	return nil
}

// CheckUpgrade refuses two Talos versions of which the second is the older one.
func CheckUpgrade(from, to string) error {
	if err := errors.Join(CheckTalos(from), CheckTalos(to)); err != nil {
		return err
	}
	if Later(from, to) {
		return fleet.Errorf(fleet.Invalid, "Talos %s is older than %s, from which the upgrade is to be", to, from).WithHint("name the older one first")
	}
	return nil
}

// Later says whether the minor of Talos version a is later than that of b; false where one is no version.
func Later(a, b string) bool {
	x, err := contractOf(a)
	if err != nil {
		return false
	}
	y, err := contractOf(b)
	return err == nil && x.Greater(y)
}

// readVersions refuses what is no version, and what no config can be made for.
func readVersions(talos, kubernetes string) error {
	if _, err := compatibility.ParseTalosVersion(&machine.VersionInfo{Tag: talos}); err != nil {
		return fleet.Errorf(fleet.Invalid, "Talos version %q: %w", talos, err).WithHint("write it as %s", NewestTalos())
	}
	if c, err := contractOf(talos); err != nil || !c.Greater(config.TalosVersion1_5) {
		return fleet.Errorf(fleet.Invalid, "Talos %s is too old: configs are made for v1.6 and newer", talos).WithHint("upgrade it with talosctl first, minor by minor")
	}
	if _, err := compatibility.ParseKubernetesVersion(strings.TrimPrefix(kubernetes, "v")); err != nil {
		return fleet.Errorf(fleet.Invalid, "Kubernetes version %q: %w", kubernetes, err).WithHint("write it as %s", DefaultKubernetes())
	}
	return nil
}

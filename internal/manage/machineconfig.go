package manage

import (
	"context"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/imagefactory"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/store"
)

// Made is a machine config with what it was made from.
type Made struct {
	Cluster   fleet.Cluster
	Config    fleet.Config    // zero: none
	Schematic fleet.Schematic // zero: the plain one
	Input     machineconfig.Input
	YAML      []byte // holds secrets
}

// MachineConfig makes the machine config of an assigned server from the records as they are now.
func MachineConfig(ctx context.Context, st *store.Store, factory *imagefactory.Client, s fleet.Server) (Made, error) {
	made, err := compose(ctx, st, factory, s)
	if err != nil {
		return made, err
	}
	made.YAML, err = machineconfig.Render(made.Input)
	return made, err
}

// compose gathers everything a server's config is made from.
func compose(ctx context.Context, st *store.Store, factory *imagefactory.Client, s fleet.Server) (made Made, err error) {
	if !s.Assignment.Assigned() {
		return made, fleet.Errorf(fleet.Invalid, "server %s belongs to no cluster", s.Name).
			WithHint("talos-manager server assign %s --cluster NAME", s.Name)
	}
	if made.Cluster, err = st.Cluster(ctx, s.Assignment.ClusterID); err != nil {
		return made, err
	}
	vlan, err := vlanOf(ctx, st, s, made.Cluster)
	if err != nil {
		return made, err
	}
	made.Input = input(s, made.Cluster, vlan)
	if id := first(s.Assignment.ConfigID, made.Cluster.ConfigID); id != "" {
		if made.Config, err = st.Config(ctx, id); err != nil {
			return made, err
		}
	}
	if id := first(s.Assignment.SchematicID, made.Cluster.SchematicID); id != "" {
		if made.Schematic, err = st.Schematic(ctx, id); err != nil {
			return made, err
		}
	}
	id, err := factory.SchematicID(made.Schematic.YAML)
	if err != nil {
		return made, err
	}
	// Upgrades use the schematic without our kernel argument: META and the argument are for the first boot only.
	made.Input.InstallImage = factory.InstallerImage(id, made.Cluster.TalosVersion, "metal")
	made.use(made.Config, s)
	return made, nil
}

func input(s fleet.Server, c fleet.Cluster, vlan int) machineconfig.Input {
	return machineconfig.Input{
		Server: s.Name, ClusterName: c.Name, Endpoint: strings.TrimSuffix(c.Endpoint, "/"), Secrets: c.Secrets,
		TalosVersion: c.TalosVersion, KubernetesVersion: c.KubernetesVersion, Role: s.Assignment.Role,
		InstallDisk: s.Assignment.InstallDisk, EphemeralDisk: s.Assignment.EphemeralDisk,
		Variables: machineconfig.VariablesOf(&s, vlan),
	}
}

// use puts a config into the input: patches for all, for the role, and the server's own last.
func (made *Made) use(c fleet.Config, s fleet.Server) {
	made.Config = c
	if c.InstallImage != "" {
		made.Input.InstallImage = c.InstallImage
	}
	// What a running cluster runs wins: a node of another version could not join it, or would break it.
	if c.KubernetesVersion != "" && made.Cluster.BootstrappedAt.IsZero() {
		made.Input.KubernetesVersion = c.KubernetesVersion
	}
	made.Input.KubeSpan = c.KubeSpan
	role, text := "workers", c.PatchWorker
	if s.Assignment.Role == fleet.ControlPlane {
		role, text = "control planes", c.PatchControlPlane
	}
	made.Input.Patches = []machineconfig.Patch{
		{Name: "config " + c.Name + ", all", Text: c.PatchAll},
		{Name: "config " + c.Name + ", " + role, Text: text},
		{Name: "server " + s.Name, Text: s.Assignment.Patch},
	}
}

// vlanOf finds the VLAN of a server's private network: its cluster's vSwitch, for dedicated servers only.
func vlanOf(ctx context.Context, st *store.Store, s fleet.Server, c fleet.Cluster) (int, error) {
	if c.VSwitchID == "" || s.Provider != fleet.HetznerRobot {
		return 0, nil
	}
	v, err := st.VSwitch(ctx, c.VSwitchID)
	return v.VLAN, err
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

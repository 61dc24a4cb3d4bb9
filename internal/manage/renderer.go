package manage

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/imagefactory"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
	"github.com/talos-manager/talos-manager/internal/store"
)

// Renderer makes machine configs from the records. There is one for the whole program, so that all share what it
// keeps: the records but the servers, for as long as the store says that nothing changed, and what was rendered, by the
// hash of every input. Neither is ever stale.
type Renderer struct {
	Store   *store.Store
	Factory *imagefactory.Client
	Cache   *machineconfig.Cache // nil: nothing that was rendered is kept

	// fingerprints is what makes fingerprints of secrets in plans: one sees that two are the same, and no more.
	fingerprints []byte

	mu   sync.Mutex
	last *snapshot
}

// RenderedBytes is how much of rendered configs a program keeps: those of some ten thousand machines.
const RenderedBytes = 256 << 20

// NewRenderer makes a renderer that keeps so many bytes of rendered configs at most.
func NewRenderer(st *store.Store, factory *imagefactory.Client, bytes int64) *Renderer {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	return &Renderer{Store: st, Factory: factory, Cache: machineconfig.NewCache(bytes), fingerprints: key}
}

// Made is a machine config with what it was made from.
type Made struct {
	Cluster   fleet.Cluster
	Config    fleet.Config    // zero: none
	Schematic fleet.Schematic // zero: the plain one
	Input     machineconfig.Input
	YAML      []byte // holds secrets; shared: do not change it
}

// MachineConfig makes the machine config of an assigned server from the records as they are now.
func (r *Renderer) MachineConfig(ctx context.Context, s fleet.Server) (Made, error) {
	now, _, err := r.now(ctx)
	if err != nil {
		return Made{}, err
	}
	made, err := now.compose(s)
	if err != nil {
		return made, err
	}
	made.YAML, err = r.render(made.Input)
	return made, err
}

func (r *Renderer) render(in machineconfig.Input) ([]byte, error) {
	if r.Cache == nil {
		return machineconfig.Render(in)
	}
	return r.Cache.Render(in)
}

// now gives the records as they are now. The version is one at which they were so, for store.Edit: what is read of
// servers afterwards is of that version or a later one.
func (r *Renderer) now(ctx context.Context) (*snapshot, store.Version, error) {
	version, err := r.Store.Version(ctx)
	if err != nil {
		return nil, version, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil || r.last.Version.Records != version.Records {
		var old *store.Records
		if r.last != nil {
			old = r.last.Records
		}
		all, err := r.Store.Records(ctx, old)
		if err != nil {
			return nil, version, err
		}
		r.last = r.snapshot(all)
	}
	version.Records = r.last.Version.Records
	return r.last, version, nil
}

// snapshot is the records at one moment, and changes to try that are written nowhere yet.
type snapshot struct {
	*store.Records
	factory *imagefactory.Client
	images  map[string]image // what an installer is called, by schematic id; "" is the plain one
	secrets *secretNames     // variables whose values are secrets
	bundles func() *diff.Redactor

	// Of a trial:
	changes  map[layerKey]fleet.Contents
	clusters map[string]fleet.Cluster
	vlan     int               // instead of the vSwitch's
	defaults map[string]string // own variables that any layer overrides
}

type layerKey struct {
	scope fleet.Scope
	owner string
}

type image struct {
	schematic string // id at the factory
	err       error
}

func (r *Renderer) snapshot(all *store.Records) *snapshot {
	n := &snapshot{Records: all, factory: r.Factory, images: map[string]image{}}
	n.images[""] = n.imageOf("")
	for id, s := range all.Schematics {
		n.images[id] = n.imageOf(s.YAML)
	}
	n.secrets, n.bundles = findSecretNames(n.allContents), sync.OnceValue(n.bundleRedactor)
	return n
}

func (n *snapshot) imageOf(yaml string) (i image) {
	i.schematic, i.err = n.factory.SchematicID(yaml)
	return i
}

// cluster finds a cluster, as it would be.
func (n *snapshot) cluster(id string) (fleet.Cluster, bool) {
	if c, ok := n.clusters[id]; ok {
		return c, true
	}
	c, ok := n.Clusters[id]
	return c, ok
}

// contents are what a layer adds, as it would be.
func (n *snapshot) contents(scope fleet.Scope, owner string) fleet.Contents {
	if c, ok := n.changes[layerKey{scope, owner}]; ok {
		return c
	}
	return n.Layer(scope, owner).Contents
}

// allContents are those of all layers, as they would be.
func (n *snapshot) allContents() (all []fleet.Contents) {
	for _, l := range n.Layers("") {
		if _, changes := n.changes[layerKey{l.Scope, l.OwnerID}]; !changes {
			all = append(all, l.Contents)
		}
	}
	for _, c := range n.changes {
		all = append(all, c)
	}
	return all
}

// compose gathers everything a server's config is made from.
func (n *snapshot) compose(s fleet.Server) (made Made, err error) {
	if !s.Assignment.Assigned() {
		return made, fleet.Errorf(fleet.Invalid, "server %s belongs to no cluster", s.Name).
			WithHint("talos-manager server assign %s --cluster NAME", s.Name)
	}
	var ok bool
	if made.Cluster, ok = n.cluster(s.Assignment.ClusterID); !ok {
		return made, gone(s, "cluster", s.Assignment.ClusterID)
	}
	if id := cmp.Or(s.Assignment.ConfigID, made.Cluster.ConfigID); id != "" {
		if made.Config, ok = n.Configs[id]; !ok {
			return made, gone(s, "config", id)
		}
		made.Config.Contents = n.contents(fleet.ScopeConfig, id)
	}
	id := cmp.Or(s.Assignment.SchematicID, made.Cluster.SchematicID)
	if id != "" {
		if made.Schematic, ok = n.Schematics[id]; !ok {
			return made, gone(s, "schematic", id)
		}
	}
	image := n.images[id]
	if image.err != nil {
		return made, image.err
	}
	if err := n.fill(&made, s); err != nil {
		return made, err
	}
	// Upgrades use the schematic without our kernel argument: META and the argument are for the first boot only.
	if made.Input.InstallImage == "" {
		made.Input.InstallImage = n.factory.InstallerImage(image.schematic, made.Cluster.TalosVersion, "metal")
	}
	return made, nil
}

func gone(s fleet.Server, what, id string) error {
	return fleet.Errorf(fleet.Conflict, "server %s: its %s %s was removed this moment", s.Name, what, id).WithHint("try again")
}

// fill writes the input: what the records say, then the layers' patches in the order of their scopes.
func (n *snapshot) fill(made *Made, s fleet.Server) error {
	c := made.Cluster
	in := machineconfig.Input{
		Server: s.Name, ClusterName: c.Name, Endpoint: strings.TrimSuffix(c.Endpoint, "/"), Secrets: c.Secrets,
		TalosVersion: c.TalosVersion, KubernetesVersion: c.KubernetesVersion, Role: s.Assignment.Role,
		InstallDisk: s.InstallDisk(), EphemeralDisk: s.Assignment.EphemeralDisk,
		InstallsItself: s.Installed.Boot == fleet.BootKexec,
		InstallImage:   made.Config.InstallImage, KubeSpan: made.Config.KubeSpan,
	}
	// What a running cluster runs wins: a node of another version could not join it, or would break it.
	if v := made.Config.KubernetesVersion; v != "" && c.BootstrappedAt.IsZero() {
		in.KubernetesVersion = v
	}
	own := []map[string]string{n.defaults}
	for _, l := range n.layersOf(made, s) {
		for _, p := range l.contents.Patches {
			if p.For(&s) {
				in.Patches = append(in.Patches, machineconfig.Patch{Name: patchName(l.what, p.Name), Text: p.Text})
			}
		}
		own = append(own, l.contents.Variables)
	}
	about := machineconfig.About{Server: &s, Cluster: &c, PrivateMTU: c.PrivateMTU, Own: own}
	if s.Provider == fleet.HetznerRobot {
		about.VLAN = cmp.Or(n.vlan, n.VSwitches[c.VSwitchID].VLAN)
	}
	if p, err := netip.ParsePrefix(c.PrivateNetwork); err == nil {
		about.PrivatePrefix = p.Bits()
	}
	var err error
	in.Variables, err = machineconfig.VariablesFor(about)
	made.Input = in
	return err
}

// patchName is what errors, plans and blame call a patch.
func patchName(layer, name string) string { return fmt.Sprintf("%s, patch %q", layer, name) }

// named is a layer with what people call it.
type named struct {
	what     string
	owner    string // name of the cluster, config or server
	contents fleet.Contents
}

// layersOf lists what a server's config is made of, in the order of application.
func (n *snapshot) layersOf(made *Made, s fleet.Server) []named {
	c, role := made.Cluster, s.Assignment.Role
	all := []named{
		{"cluster " + c.Name, c.Name, n.contents(fleet.ScopeCluster, c.ID)},
		{"role " + string(role) + " of " + c.Name, c.Name, n.contents(fleet.ScopeRole, fleet.RoleOwner(c.ID, role))},
	}
	if made.Config.ID != "" {
		all = append(all, named{"config " + made.Config.Name, made.Config.Name, made.Config.Contents})
	}
	return append(all, named{"server " + s.Name, s.Name, n.contents(fleet.ScopeServer, s.ID)})
}

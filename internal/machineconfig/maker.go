package machineconfig

import (
	"strings"
	"sync"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

// A maker renders, and keeps what configs have in common: parsed secrets bundles, what Talos generates for a role of a
// cluster, parsed patches. All of it is found by its whole input and shared; nothing changes it.
type maker struct {
	bundles *lru[Key, *secrets.Bundle]
	bases   *lru[baseKey, *base]
	patches *lru[patchKey, checked]
}

// Weights of what a maker keeps: some 32 MB in all.
const (
	bundleLimit = 256     // bundles
	baseLimit   = 512     // roles of clusters, some 30 KB each
	patchLimit  = 4 << 20 // letters of patches; parsed they take some four times as much
)

func newMaker() *maker {
	return &maker{newLRU[Key, *secrets.Bundle](bundleLimit), newLRU[baseKey, *base](baseLimit), newLRU[patchKey, checked](patchLimit)}
}

// baseKey is all that Talos generates a config from.
type baseKey struct {
	secrets                              Key
	cluster, endpoint, talos, kubernetes string
	role                                 fleet.Role
	image, disk                          string
}

// base is what Talos generates for a role of a cluster, before any patch.
type base struct {
	documents []*encoded
	memory    memory
}

// patchKey is all that the reading of a patch depends on.
type patchKey struct{ text, talos string }

// checked is a patch that was read, or why it cannot be.
type checked struct {
	*prepared
	err error
}

// making is one rendering.
type making struct {
	*maker
	in       *Input
	contract *config.VersionContract
	base     *base
	steps    []step // our own patches, the user's, and what makes way for these
	own      int    // how many of ours come first
}

func (m *maker) begin(in *Input, secrets Key) (*making, error) {
	k := &making{maker: m, in: in}
	if err := k.prepare(secrets); err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "server %s: %s", in.Server, err.Error()).WithHint("%s", fleet.HintOf(err))
	}
	return k, nil
}

func (k *making) prepare(secrets Key) (err error) {
	in := k.in
	if err := CheckVersions(in.TalosVersion, in.KubernetesVersion); err != nil {
		return err
	}
	contract, err := contractOf(in.TalosVersion)
	if err != nil {
		return err
	}
	k.contract = contract
	if k.base, err = k.generated(in, secrets, contract); err != nil {
		return err
	}
	k.steps = in.own(contract)
	if text := in.ephemeral(); text != "" {
		if _, known := schema.Field("VolumeConfig", "", in.TalosVersion); !known {
			return fleet.Errorf(fleet.Invalid, "Talos %s cannot have EPHEMERAL on a disk of its own", in.TalosVersion).
				WithHint("it needs Talos v1.8 or newer; else clear the EPHEMERAL disk of the server's assignment")
		}
		k.steps = append(k.steps, k.userStep(Patch{OwnPatch + "EPHEMERAL disk", text}, nil))
	}
	k.own = len(k.steps)
	variables := in.Variables.withInput(in)
	for _, p := range in.Patches {
		k.steps = append(k.steps, k.userStep(p, variables))
	}
	k.steps = append(k.steps, in.yield(contract)...)
	return nil
}

// render makes the config. secrets is the hash of the secrets bundle.
func (m *maker) render(in *Input, secrets Key) ([]byte, error) {
	k, err := m.begin(in, secrets)
	if err != nil {
		return nil, err
	}
	d := k.start()
	for i, s := range k.steps {
		if err := s.apply(d); err != nil {
			return nil, k.refused(i, err)
		}
	}
	if !k.surelyValid(d) {
		c, err := d.container()
		if err != nil {
			return nil, k.refused(len(k.steps)-1, err)
		}
		if problems := problemsOf(c); len(problems) > 0 {
			return nil, k.invalid(problems)
		}
	}
	return d.encode()
}

// start gives what Talos generates.
func (k *making) start() *documents {
	d := &documents{list: make([]document, len(k.base.documents), len(k.base.documents)+8), memory: &k.base.memory}
	for i, e := range k.base.documents {
		d.list[i] = document{Document: e.document, shared: e}
	}
	return d
}

// userPatch is a patch of the user in a rendering.
type userPatch struct {
	Patch
	variables Variables
	read      checked
}

func (k *making) userStep(p Patch, v Variables) step {
	u := &userPatch{Patch: p, variables: v, read: k.read(p.Text)}
	return step{name: p.Name, user: u, apply: func(d *documents) error {
		f, err := u.filled()
		if err != nil {
			return err
		}
		return f.apply(d)
	}}
}

func (u *userPatch) filled() (*filled, error) {
	if u.read.err != nil {
		return nil, u.read.err
	}
	return u.read.with(u.variables)
}

// read reads a patch once.
func (k *making) read(text string) checked {
	key := patchKey{text, k.in.TalosVersion}
	if c, ok := k.patches.get(key); ok {
		return c
	}
	var c checked
	c.prepared, c.err = prepare(text)
	if c.prepared != nil && (c.err == nil || !c.isJSONPatch()) { // what is wrong with an operation was said already
		c.err = lint(text, k.in.TalosVersion, c.err)
	}
	k.patches.put(key, c, int64(len(text))+overhead)
	return c
}

// generated gives what Talos generates, before any patch.
func (m *maker) generated(in *Input, secrets Key, contract *config.VersionContract) (*base, error) {
	key := baseKey{
		secrets: secrets, cluster: in.ClusterName, endpoint: in.Endpoint, talos: contract.String(),
		kubernetes: in.KubernetesVersion, role: in.Role, image: in.InstallImage, disk: in.anyDisk(),
	}
	if b, ok := m.bases.get(key); ok {
		return b, nil
	}
	bundle, err := m.bundle(key.secrets, in.Secrets)
	if err != nil {
		return nil, err
	}
	p, err := in.generate(bundle, contract)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cluster %s: %w", in.ClusterName, err)
	}
	b := &base{}
	for _, d := range p.Documents() {
		b.documents = append(b.documents, &encoded{
			document: d,
			text:     sync.OnceValues(func() ([]byte, error) { return b.memory.document(d) }),
			valid:    sync.OnceValue(func() bool { return validAlone(d) }),
		})
	}
	m.bases.put(key, b, 1)
	return b, nil
}

func (in *Input) generate(bundle *secrets.Bundle, contract *config.VersionContract) (config.Provider, error) {
	input, err := generate.NewInput(in.ClusterName, in.Endpoint, strings.TrimPrefix(in.KubernetesVersion, "v"),
		generate.WithVersionContract(contract),
		generate.WithSecretsBundle(bundle),
		generate.WithInstallImage(in.InstallImage),
		generate.WithInstallDisk(in.anyDisk()),
		generate.WithSkipUnattendedInstallConfig(true), // the image is on the disk already
	)
	if err != nil {
		return nil, err
	}
	return input.Config(machineType(in.Role))
}

// anyDisk is the install disk by the name it has most often, where it has no identity to select it by.
func (in *Input) anyDisk() string {
	if in.InstallDisk == "" {
		return "/dev/sda"
	}
	return ""
}

// bundle parses a secrets bundle once.
func (m *maker) bundle(key Key, text []byte) (*secrets.Bundle, error) {
	if b, ok := m.bundles.get(key); ok {
		return b, nil
	}
	b, err := loadBundle(text)
	if err == nil {
		m.bundles.put(key, b, 1)
	}
	return b, err
}

func machineType(r fleet.Role) machine.Type {
	if r == fleet.ControlPlane {
		return machine.TypeControlPlane
	}
	return machine.TypeWorker
}

package fleet

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Scope says whose machine configs a layer of patches is for.
type Scope string

// The scopes, in the order their layers are applied: later ones win.
const (
	ScopeCluster Scope = "cluster" // every server of a cluster
	ScopeRole    Scope = "role"    // the control planes or the workers of a cluster
	ScopeConfig  Scope = "config"  // every server of a config
	ScopeServer  Scope = "server"  // one server
)

// Scopes lists the scopes in the order their layers are applied.
func Scopes() []Scope { return []Scope{ScopeCluster, ScopeRole, ScopeConfig, ScopeServer} }

// Layer is what one scope adds to machine configs. Every save makes a revision.
type Layer struct {
	Scope   Scope
	OwnerID string // id of the cluster, config or server; of a role: RoleOwner
	Contents
	Revision string // sha256 of the contents in effect, hex; "" if nothing was ever saved
	// Draft is a revision that was saved but is not in effect, because it would break a server or was not meant to be
	// yet; "" if there is none. DraftBase is the revision that was in effect when it was saved.
	Draft     string
	DraftBase string
	SavedAt   time.Time // of the revision in effect
}

// RoleOwner is the OwnerID of a cluster's layer for a role.
func RoleOwner(clusterID string, role Role) string { return clusterID + "/" + string(role) }

// Contents is what a revision of a layer holds.
type Contents struct {
	Patches   []Patch           // in the order they are applied
	Variables map[string]string // own variables, by name
	// Of configs only:
	InstallImage      string // overrides the installer image; usually empty
	KubernetesVersion string // overrides the cluster's; usually empty
	KubeSpan          bool
}

// Patch is a named patch of a layer. Its limits are empty where it is for all.
type Patch struct {
	Name         string       `json:"name"` // unique in its layer
	Text         string       `json:"text"` // strategic merge or RFC 6902, YAML or JSON
	Role         Role         `json:"role,omitempty"`
	Architecture Architecture `json:"architecture,omitempty"`
	Provider     Provider     `json:"provider,omitempty"`
	Off          bool         `json:"off,omitempty"`
}

// Names of the patches that shorthands write: a config's three of old, and a server's one.
const (
	PatchAll          = "all"
	PatchControlPlane = "control-plane"
	PatchWorker       = "worker"
	PatchOwn          = "own"
)

// For says whether the patch is for a server of this role; a patch that is switched off is for none.
func (p *Patch) For(s *Server) bool {
	return !p.Off && (p.Role == "" || p.Role == s.Assignment.Role) &&
		(p.Architecture == "" || p.Architecture == s.Architecture) && (p.Provider == "" || p.Provider == s.Provider)
}

// Patch finds a patch by its name; -1 if there is none.
func (c Contents) Patch(name string) int {
	return slices.IndexFunc(c.Patches, func(p Patch) bool { return p.Name == name })
}

// Text is the text of a patch, "" if there is none of the name.
func (c Contents) Text(name string) string {
	if i := c.Patch(name); i >= 0 {
		return c.Patches[i].Text
	}
	return ""
}

// SetText gives the patch of a shorthand this text: it adds the patch with its limit ("all" before the others), or removes it when the text is
// empty. Contents that share the list are left alone.
func (c *Contents) SetText(name, text string) {
	c.Patches = slices.Clone(c.Patches)
	i := c.Patch(name)
	switch {
	case strings.TrimSpace(text) == "":
		if i >= 0 {
			c.Patches = slices.Delete(c.Patches, i, i+1)
		}
	case i >= 0:
		c.Patches[i].Text = text
	default:
		p, at := Patch{Name: name, Text: text}, len(c.Patches)
		switch name {
		case PatchAll:
			at = 0
		case PatchControlPlane:
			p.Role = ControlPlane
		case PatchWorker:
			p.Role = Worker
		}
		c.Patches = slices.Insert(c.Patches, at, p)
	}
}

// Empty says that the contents add nothing.
func (c Contents) Empty() bool {
	return len(c.Patches) == 0 && len(c.Variables) == 0 && c.InstallImage == "" && c.KubernetesVersion == "" && !c.KubeSpan
}

// Clone is a copy that shares nothing.
func (c Contents) Clone() Contents {
	c.Patches, c.Variables = slices.Clone(c.Patches), maps.Clone(c.Variables)
	return c
}

// Validate checks what can be checked without rendering, but for the names of variables, which machineconfig knows;
// what names the layer for errors.
func (c Contents) Validate(what string, scope Scope) error {
	seen := map[string]bool{}
	for _, p := range c.Patches {
		if err := p.validate(what); err != nil {
			return err
		}
		if seen[p.Name] {
			return Errorf(Invalid, "%s: two patches are named %q", what, p.Name).WithHint("give each a name of its own")
		}
		seen[p.Name] = true
		if scope == ScopeRole && p.Role != "" {
			return Errorf(Invalid, "%s, patch %q: limited to role %s, but the layer is for one role already", what, p.Name, p.Role).
				WithHint("leave the patch's role out")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Variables)) {
		if strings.ContainsRune(c.Variables[name], 0) {
			return Errorf(Invalid, "%s: the value of variable %s contains a zero byte", what, name).WithHint("leave it out")
		}
	}
	if scope != ScopeConfig && (c.InstallImage != "" || c.KubernetesVersion != "" || c.KubeSpan) {
		return Errorf(Invalid, "%s: an installer image, a Kubernetes version and KubeSpan belong into a config", what).
			WithHint("set them in the config of these servers; KubeSpan may be a patch too")
	}
	return nil
}

func (p *Patch) validate(what string) error {
	if err := CheckName("patch", p.Name); err != nil {
		return Errorf(Invalid, "%s: %w", what, err)
	}
	switch {
	case p.Role != "" && p.Role != ControlPlane && p.Role != Worker:
		return Errorf(Invalid, "%s, patch %q: unknown role %q", what, p.Name, p.Role).WithHint("use %s, %s or none", ControlPlane, Worker)
	case p.Architecture != "" && p.Architecture != AMD64 && p.Architecture != ARM64:
		return Errorf(Invalid, "%s, patch %q: unknown architecture %q", what, p.Name, p.Architecture).WithHint("use %s, %s or none", AMD64, ARM64)
	case p.Provider != "" && p.Provider != HetznerCloud && p.Provider != HetznerRobot && p.Provider != Manual:
		return Errorf(Invalid, "%s, patch %q: unknown provider %q", what, p.Name, p.Provider).WithHint("use %s, %s, %s or none", HetznerCloud, HetznerRobot, Manual)
	case strings.TrimSpace(p.Text) == "":
		return Errorf(Invalid, "%s, patch %q is empty", what, p.Name).WithHint("remove it, or switch it off to keep it")
	case strings.ContainsRune(p.Text, 0):
		return Errorf(Invalid, "%s, patch %q contains a zero byte", what, p.Name).WithHint("a patch is text: YAML or JSON")
	}
	return nil
}

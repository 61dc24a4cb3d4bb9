// Package fleet holds the nouns: accounts, servers, clusters, configs, rules, schematics, operations and
// events, with their states, their validation and the kinds of error. It is pure: no I/O, no clock of its own.
package fleet

import (
	"regexp"
	"time"

	"github.com/rs/xid"
)

// NewID makes an identifier for a record: 20 characters of [0-9a-v], ordered by time. Identifiers of
// providers are never used as ours.
func NewID() string { return xid.New().String() }

// Provider is where a server comes from.
type Provider string

// The providers.
const (
	HetznerCloud Provider = "hetzner_cloud" // names as in the reference application
	HetznerRobot Provider = "hetzner_robot"
	Manual       Provider = "manual" // somebody added the server by address: it is reached, never ordered, armed or reset
)

// Architecture of a server's processors, in Go's and Talos' words.
type Architecture string

// The architectures Talos runs on.
const (
	AMD64 Architecture = "amd64"
	ARM64 Architecture = "arm64"
)

// Role of a node in its cluster. It is a field; the name of a server only suggests a default.
type Role string

// The roles.
const (
	ControlPlane Role = "controlplane"
	Worker       Role = "worker"
)

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// CheckName refuses a name that is not a DNS label (RFC 1123): what is "server", "cluster" and so on.
func CheckName(what, name string) error {
	if dnsLabel.MatchString(name) {
		return nil
	}
	return Errorf(Invalid, "%s name %q is not a DNS label", what, name).
		WithHint("use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends")
}

// Account is access to one Robot login or one Cloud project, or holds servers that were added by hand.
type Account struct {
	ID       string
	Name     string
	Provider Provider
	// Credentials: Cloud has a token; Robot a webservice user ("#ws+…") and a password. Sealed in the store.
	Token     string
	User      string
	Password  string
	CreatedAt time.Time
	CheckedAt time.Time // zero: never
	Problem   string    // why the last check or sync failed, "" if it did not
	SyncedAt  time.Time // zero: never
}

// Validate checks what can be checked without asking the provider.
func (a *Account) Validate() error {
	if err := CheckName("account", a.Name); err != nil {
		return err
	}
	switch a.Provider {
	case HetznerCloud:
		if a.Token == "" {
			return Errorf(Invalid, "account %s has no token", a.Name).
				WithHint("create one at https://console.hetzner.cloud: project, Security, API tokens, Read & Write")
		}
	case HetznerRobot:
		if a.User == "" || a.Password == "" {
			return Errorf(Invalid, "account %s needs a webservice user and its password", a.Name).
				WithHint("create them at https://robot.hetzner.com/preferences/index: Webservice and app settings")
		}
	case Manual: // its servers are reached, nobody is asked for them
	default:
		return Errorf(Invalid, "account %s: unknown provider %q", a.Name, a.Provider).
			WithHint("use %s, %s or %s", HetznerCloud, HetznerRobot, Manual)
	}
	return nil
}

// VSwitch is a layer-2 network of dedicated servers.
type VSwitch struct {
	ID         string
	AccountID  string
	ProviderID string
	Name       string
	VLAN       int // 4000 to 4091
	MissingAt  time.Time
}

// Cluster is a Talos and Kubernetes cluster.
type Cluster struct {
	ID                string
	Name              string
	Endpoint          string     // https://host:port of the Kubernetes API
	TalosVersion      string     // v1.14.1
	KubernetesVersion string     // v1.36.3; of a running cluster: what it runs
	ConfigID          string     // default config of its servers; may be empty
	SchematicID       string     // default schematic; may be empty: the plain one
	VSwitchID         string     // may be empty
	PrivateNetwork    string     // of its servers, "10.0.0.0/16"; may be empty: not known
	PrivateMTU        int        // 0: what the provider has
	DiskPolicy        DiskPolicy // of its servers' installs; empty: CleanOnly
	Secrets           []byte     // Talos secrets bundle, YAML; sealed in the store
	CreatedAt         time.Time
	// BootstrapServerID is the control plane chosen to bootstrap etcd. It is written once, before the call is
	// made, and never changed: a second bootstrap splits etcd.
	BootstrapServerID string
	BootstrappedAt    time.Time // zero: the call was not seen to succeed yet
}

// Config is a named layer of patches that servers and clusters may share; each save makes a new revision.
type Config struct {
	ID   string
	Name string
	Contents
	Revision  string // sha256 of the contents, hex
	Draft     string // see Layer
	DraftBase string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Layer is the config's.
func (c *Config) Layer() Layer {
	return Layer{Scope: ScopeConfig, OwnerID: c.ID, Contents: c.Contents, Revision: c.Revision, Draft: c.Draft, DraftBase: c.DraftBase, SavedAt: c.UpdatedAt}
}

// Rule puts labels and taints on the nodes of matching servers.
type Rule struct {
	ID        string
	ClusterID string            // empty: every cluster
	Match     string            // substring of the server's name
	Labels    map[string]string // key -> value
	Taints    []Taint
	CreatedAt time.Time
}

// Taint of a Kubernetes node.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Effect string `json:"effect"` // NoSchedule, PreferNoSchedule or NoExecute
}

// Schematic is what the image factory builds an image from.
type Schematic struct {
	ID        string
	Name      string
	YAML      string // the customization as the user wrote it, without talos.config
	CreatedAt time.Time
}

// Event is a line of the audit log: who did what, or what happened by itself and why.
type Event struct {
	ID       string
	At       time.Time
	Actor    string // user, token name or "talos-manager"
	Verb     string // "account.add", "config.refused"
	Subject  string // "server", "cluster", …
	TargetID string
	Text     string
}

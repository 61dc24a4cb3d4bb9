package client

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// The roles of a node.
const (
	ControlPlane = "controlplane"
	Worker       = "worker"
)

// The problems that servers are chosen by.
const (
	ProblemUUID  = "uuid"  // the UUID is missing, a placeholder, or that of another server, too
	ProblemGone  = "gone"  // missing or cancelled, and in a cluster
	ProblemDraft = "draft" // what it is to be is kept as a draft
)

// Server is a rented machine.
type Server struct {
	ID           string      `json:"id"`
	Name         string      `json:"name" doc:"at the provider"`
	Account      Ref         `json:"account"`
	Provider     string      `json:"provider" enum:"hetzner_cloud,hetzner_robot,manual"`
	ProviderID   string      `json:"providerID" doc:"Robot server number or Cloud server id; ADDRESS:PORT of SSH if it was added by hand"`
	Product      string      `json:"product,omitempty" doc:"AX41-NVMe, cx23, …"`
	Location     string      `json:"location,omitempty" doc:"FSN1-DC8, fsn1, …"`
	Architecture string      `json:"architecture,omitempty" enum:"amd64,arm64"`
	State        string      `json:"state" enum:"known,installing,configured,ready,unhealthy,broken" doc:"where it stands in its life with us"`
	Status       string      `json:"status,omitempty" doc:"the provider's own word: ready, running, …"`
	Power        string      `json:"power" enum:"on,off,unknown"`
	Locked       bool        `json:"locked,omitempty" doc:"the provider is busy with it"`
	IPv4         string      `json:"ipv4,omitempty"`
	IPv6         string      `json:"ipv6,omitempty" doc:"host address"`
	IPv6Network  string      `json:"ipv6Network,omitempty" doc:"2001:db8:10:20::/64"`
	VSwitch      *Ref        `json:"vSwitch,omitempty"`
	Cancelled    bool        `json:"cancelled,omitempty" doc:"the contract is cancelled"`
	Assignment   *Assignment `json:"assignment,omitempty" doc:"what it is to be; absent: nothing"`
	Operation    *Active     `json:"operation,omitempty" doc:"what is being done to it now"`
	Facts        *Facts      `json:"facts,omitempty" doc:"what the machine said of itself in the rescue system; not in lists"`
	Changes      []Change    `json:"changes,omitempty" doc:"what was found changed in the machine, newest first; not in lists"`
	Installed    *Installed  `json:"installed,omitempty" doc:"what an install wrote last; not in lists"`
	UUIDOverride string      `json:"uuidOverride,omitempty" doc:"UUID that META gives to Talos in place of the board's"`
	RanAs        string      `json:"ranAs,omitempty" doc:"UUID by which its Talos was last seen to run"`
	HostKeys     []string    `json:"hostKeys,omitempty" doc:"of its rescue system, as an operator gave them: SHA256:…"`
	UUIDProblem  string      `json:"uuidProblem,omitempty" doc:"why its SMBIOS UUID cannot be used"`
	UUIDMail     string      `json:"uuidMail,omitempty" doc:"mail to send to Hetzner about it"`
	CreatedAt    time.Time   `json:"createdAt,omitzero" doc:"at the provider"`
	SeenAt       time.Time   `json:"seenAt,omitzero" doc:"last listing that contained it"`
	MissingSince time.Time   `json:"missingSince,omitzero" doc:"its account does not list it since then"`
}

// Address is where the server is reached: IPv4 if it has one.
func (s *Server) Address() string {
	if s.IPv4 != "" {
		return s.IPv4
	}
	return s.IPv6
}

// Assignment says what a server is to be.
type Assignment struct {
	Cluster       Ref    `json:"cluster"`
	Role          string `json:"role" enum:"controlplane,worker"`
	Hostname      string `json:"hostname" doc:"name of its node"`
	Config        *Ref   `json:"config,omitempty" doc:"absent: the cluster's"`
	Schematic     *Ref   `json:"schematic,omitempty" doc:"absent: the cluster's"`
	PrivateIP     string `json:"privateIP,omitempty" doc:"without prefix length"`
	InstallDisk   string `json:"installDisk,omitempty" doc:"WWID (eui.…, naa.…), serial:… or rule:…; absent: the only disk of 10 GB or more"`
	DiskPolicy    string `json:"diskPolicy,omitempty" enum:"clean-only,wipe-ours,wipe-all" doc:"what an install may overwrite without asking; absent: the cluster's"`
	EphemeralDisk string `json:"ephemeralDisk,omitempty" doc:"wwid:… of a disk or uuid:… of an md array"`
	Patch         string `json:"patch,omitempty" doc:"the server's own patch, YAML, with [secret] in place of secrets; not in lists"`
	Draft         bool   `json:"draft,omitempty" doc:"kept, but not in effect: the server cannot be installed until it is assigned without"`
}

// Active is an operation that is not over, in short.
type Active struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	State string `json:"state" enum:"pending,running,waiting,asking"`
	Step  string `json:"step,omitempty"`
}

// ServerFilter chooses servers; zero fields choose all that their accounts list.
type ServerFilter struct {
	Account    string   // name or id
	Cluster    string   // name or id
	Unassigned bool     // only servers without a cluster
	States     []string // any of these
	Role       string
	Location   string // FSN1-DC8, fsn1, …
	Problem    string // ProblemUUID, ProblemGone or ProblemDraft
	Search     string // part of name, hostname, address, product, location or provider id, in any case
	Missing    bool   // also those that their accounts do not list any more
	Sort       string // name (default), hostname, product, location, state, seen or created; "-name" backwards
	Limit      int    // 0: all
	Offset     int
}

// NewServer is a server of any make: one that has a rescue system with root SSH, or sits in Talos' maintenance mode.
type NewServer struct {
	Name         string `json:"name" doc:"a DNS label that no other server has"`
	Address      string `json:"address" doc:"IP address of its rescue system or Talos, with the port of SSH unless it is 22"`
	HostKey      string `json:"hostKey,omitempty" doc:"fingerprints of its rescue system's host keys, SHA256:…; absent: the first that answers is trusted"`
	Architecture string `json:"architecture,omitempty" enum:"amd64,arm64" doc:"absent: amd64"`
	Account      string `json:"account,omitempty" doc:"account of provider manual, by name or id; absent: manual, made when it is missing"`
}

// Probed is what answers at a server's address.
type Probed struct {
	Found       string `json:"found" enum:"nothing,rescue,installed,stranger,maintenance,talos"`
	Text        string `json:"text" doc:"in a sentence"`
	Hint        string `json:"hint,omitempty" doc:"what to do next"`
	HostKey     string `json:"hostKey,omitempty" doc:"fingerprint of the SSH host key that answered"`
	Certificate string `json:"certificate,omitempty" doc:"fingerprint of the Talos certificate that answered"`
	Facts       *Facts `json:"facts,omitempty" doc:"what the machine said of itself"`
}

// ServerChange is what to change at the provider; nil leaves it as it is.
type ServerChange struct {
	Name    *string `json:"name,omitempty" doc:"new name, a DNS label"`
	VSwitch *string `json:"vSwitch,omitempty" doc:"id of the vSwitch to move a dedicated server into; empty takes it out"`
	Address *string `json:"address,omitempty" doc:"of a server that was added by hand: IP address, with the port of SSH unless it is 22"`
	UUID    *string `json:"uuidOverride,omitempty" doc:"UUID that the next install has META give to Talos in place of the board's; empty: the board's"`
	HostKey *string `json:"hostKey,omitempty" doc:"of a server that was added by hand: fingerprints of its rescue system's host keys, SHA256:…; empty: none is known"`
}

// AssignmentChange is what to change of an assignment; nil leaves a field as it is, empty clears it. An empty cluster
// takes the server out of its cluster.
type AssignmentChange struct {
	Cluster       *string `json:"cluster,omitempty" doc:"name or id"`
	Role          *string `json:"role,omitempty" enum:"controlplane,worker"`
	Config        *string `json:"config,omitempty" doc:"name or id"`
	Schematic     *string `json:"schematic,omitempty" doc:"name or id"`
	Hostname      *string `json:"hostname,omitempty"`
	PrivateIP     *string `json:"privateIP,omitempty" doc:"without prefix length"`
	InstallDisk   *string `json:"installDisk,omitempty" doc:"WWID, serial:… or rule:smallest,transport=nvme,size>=400GB,model=SAMSUNG*"`
	DiskPolicy    *string `json:"diskPolicy,omitempty" doc:"clean-only, wipe-ours or wipe-all; empty: the cluster's"`
	EphemeralDisk *string `json:"ephemeralDisk,omitempty" doc:"wwid:… or uuid:…"`
	Patch         *string `json:"patch,omitempty" doc:"YAML"`
	Draft         bool    `json:"draft,omitempty" doc:"keep it, but not in effect: the server cannot be installed until it is assigned without"`
	Force         bool    `json:"force,omitempty" doc:"let a control plane go that etcd may still count as a member"`
}

// MachineConfig is the config a server has or would get, from the records as they are now.
type MachineConfig struct {
	Server            Ref    `json:"server"`
	Cluster           Ref    `json:"cluster"`
	Config            *Ref   `json:"config,omitempty"`
	Revision          string `json:"revision,omitempty" doc:"of the config, sha256 of its contents, hex"`
	TalosVersion      string `json:"talosVersion"`
	KubernetesVersion string `json:"kubernetesVersion"`
	Secrets           bool   `json:"secrets" doc:"whether secrets are in it, or stars in their place"`
	YAML              string `json:"yaml"`
}

// Servers lists servers, without their facts.
func (c *Client) Servers(ctx context.Context, f ServerFilter) (l List[Server], err error) {
	q := set{}.add("account", f.Account).add("cluster", f.Cluster).flag("unassigned", f.Unassigned).
		add("state", strings.Join(f.States, ",")).add("role", f.Role).add("location", f.Location).add("problem", f.Problem).add("search", f.Search).
		flag("missing", f.Missing).add("sort", f.Sort).number("limit", f.Limit).number("offset", f.Offset)
	return l, c.call(ctx, http.MethodGet, at("/servers"), (map[string][]string)(q), nil, &l)
}

// Server reads one by id or name.
func (c *Client) Server(ctx context.Context, ref string) (s Server, err error) {
	return s, c.call(ctx, http.MethodGet, at("/servers/%s", ref), nil, nil, &s)
}

// ChangeServer changes a server at its provider.
func (c *Client) ChangeServer(ctx context.Context, ref string, change ServerChange) (s Server, err error) {
	return s, c.call(ctx, http.MethodPatch, at("/servers/%s", ref), nil, change, &s)
}

// AddServer notes a server that no account lists. Nothing is asked of the machine: see ProbeServer.
func (c *Client) AddServer(ctx context.Context, n NewServer) (s Server, err error) {
	return s, c.call(ctx, http.MethodPost, at("/servers"), nil, n, &s)
}

// RemoveServer forgets a server that was added by hand, or that its account does not list any more. Nothing happens to
// the machine.
func (c *Client) RemoveServer(ctx context.Context, ref string) error {
	return c.call(ctx, http.MethodDelete, at("/servers/%s", ref), nil, nil, nil)
}

// ProbeServer looks at what answers at the address of a server that was added by hand, and keeps what a rescue system or
// a Talos in maintenance mode says of itself.
func (c *Client) ProbeServer(ctx context.Context, ref string) (p Probed, err error) {
	return p, c.call(ctx, http.MethodPost, at("/servers/%s/probe", ref), nil, nil, &p)
}

// AssignServer says what a server is to be.
func (c *Client) AssignServer(ctx context.Context, ref string, change AssignmentChange) (s Server, err error) {
	return s, c.call(ctx, http.MethodPatch, at("/servers/%s/assignment", ref), nil, change, &s)
}

// UUIDRecovery is what a recovery of a UUID is ordered with.
type UUIDRecovery struct {
	UUID string `json:"uuid,omitempty" doc:"absent: the one by which its Talos was last seen to run"`
}

// RecoverUUID has META give a server's Talos the UUID back by which it ran, after an exchange of its mainboard.
func (c *Client) RecoverUUID(ctx context.Context, ref string, r UUIDRecovery) (o Operation, err error) {
	return o, c.call(ctx, http.MethodPost, at("/servers/%s/recover-uuid", ref), nil, r, &o)
}

// RescueServer boots a server into the rescue system and has its facts read.
func (c *Client) RescueServer(ctx context.Context, ref string) (o Operation, err error) {
	return o, c.call(ctx, http.MethodPost, at("/servers/%s/rescue", ref), nil, nil, &o)
}

// MachineConfig reads the machine config of an assigned server. Reading it with secrets is noted in the events.
func (c *Client) MachineConfig(ctx context.Context, ref string, secrets bool) (m MachineConfig, err error) {
	return m, c.call(ctx, http.MethodGet, at("/servers/%s/machine-config", ref), (map[string][]string)(set{}.flag("secrets", secrets)), nil, &m)
}

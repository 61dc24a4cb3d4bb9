package client

import (
	"context"
	"net/http"
	"net/url"
)

// PlanRequest is what somebody may want to change: all of it at once. Nothing is written. With nothing to change the
// plan compares what the records say with what nodes run (running), or finds all as it is.
type PlanRequest struct {
	Layers  []PlannedLayer      `json:"layers,omitempty" doc:"new contents of layers"`
	Publish []LayerRef          `json:"publish,omitempty" doc:"drafts"`
	Assign  []PlannedAssignment `json:"assign,omitempty" doc:"what servers are to be"`
	Cluster *PlannedCluster     `json:"cluster,omitempty" doc:"a change of a cluster's record"`
	Servers []string            `json:"servers,omitempty" doc:"names or ids; absent: all that the change touches"`
	Running bool                `json:"running,omitempty" doc:"compare with what nodes run, not with what the records gave them so far"`
}

// PlannedLayer gives a layer new contents.
type PlannedLayer struct {
	LayerRef
	ConfigContents
}

// PlannedAssignment changes what a server is to be.
type PlannedAssignment struct {
	Server string `json:"server" doc:"name or id"`
	AssignmentChange
}

// PlannedCluster changes a cluster's record.
type PlannedCluster struct {
	Cluster string `json:"cluster" doc:"name or id"`
	ClusterChange
}

// Plan is what a change does to machine configs, without secrets.
type Plan struct {
	Groups    []PlanGroup     `json:"groups" nullable:"false" doc:"servers whose configs change; those with the same change together"`
	Unchanged []PlanServer    `json:"unchanged" nullable:"false"`
	Broken    []BrokenServers `json:"broken" nullable:"false" doc:"their configs could not be made: a save would be refused"`
	Silent    []BrokenServers `json:"silent" nullable:"false" doc:"nodes that did not say what they run; they are compared with the records"`
}

// PlanServer is a server of a plan.
type PlanServer struct {
	Ref
	Node bool `json:"node,omitempty" doc:"it runs as a node now"`
}

// PlanGroup are servers whose configs change in the same way.
type PlanGroup struct {
	Servers []PlanServer `json:"servers" nullable:"false"`
	From    string       `json:"from" doc:"what the plan compares with: records, running or nothing"`
	ConfigDiff
}

// ConfigDiff is what two machine configs differ in, without secrets.
type ConfigDiff struct {
	Documents []DocumentDiff `json:"documents" nullable:"false"`
	Verdict   *Verdict       `json:"verdict,omitempty" doc:"what a node does when the change is applied"`
	Text      string         `json:"text" doc:"the same for people"`
}

// DocumentDiff is a config document that differs.
type DocumentDiff struct {
	Kind       string         `json:"kind" doc:"v1alpha1 for the one with machine: and cluster:"`
	APIVersion string         `json:"apiVersion,omitempty"`
	Name       string         `json:"name,omitempty"`
	Op         string         `json:"op" doc:"added, removed, changed or moved"`
	Changes    []ConfigChange `json:"changes,omitempty"`
}

// ConfigChange is a field that differs.
type ConfigChange struct {
	Op     string `json:"op" doc:"added, removed, changed or moved"`
	Path   string `json:"path"`
	Old    any    `json:"old,omitempty"`
	New    any    `json:"new,omitempty"`
	Secret bool   `json:"secret,omitempty" doc:"the value is a secret and left out"`
}

// Verdict is what a node does with a change of its config.
type Verdict struct {
	TalosVersion string   `json:"talosVersion"`
	Effect       string   `json:"effect" doc:"the strongest of the effects"`
	Reboots      bool     `json:"reboots"`
	Pending      bool     `json:"pending" doc:"taken without a reboot, but not all of it is done before the next one"`
	Refused      string   `json:"refused,omitempty" doc:"why the node would not take it at all"`
	Services     []string `json:"services,omitempty" doc:"those that restart"`
	Summary      string   `json:"summary"`
}

// BrokenServers are servers with the same problem.
type BrokenServers struct {
	Servers []string `json:"servers" nullable:"false"`
	Reason  string   `json:"reason"`
	Hint    string   `json:"hint,omitempty"`
}

// ExplainedConfig is a machine config, without secrets, and who set each line of it.
type ExplainedConfig struct {
	YAML    string   `json:"yaml"`
	Lines   []string `json:"lines" nullable:"false" doc:"the patch that set each line; empty: Talos' own"`
	Removed []string `json:"removed,omitempty" doc:"what patches took away"`
	Idle    []string `json:"idle,omitempty" doc:"patches that changed nothing"`
}

// Plan says what a change would do.
func (c *Client) Plan(ctx context.Context, r PlanRequest) (p Plan, err error) {
	return p, c.call(ctx, http.MethodPost, at("/plan"), nil, r, &p)
}

// DiffMachineConfigs says what the machine configs of two servers differ in.
func (c *Client) DiffMachineConfigs(ctx context.Context, server, with string) (d ConfigDiff, err error) {
	return d, c.call(ctx, http.MethodGet, at("/servers/%s/machine-config/diff", server), url.Values{"with": {with}}, nil, &d)
}

// ExplainMachineConfig says which patch set each line of the machine config of a server.
func (c *Client) ExplainMachineConfig(ctx context.Context, server string) (e ExplainedConfig, err error) {
	return e, c.call(ctx, http.MethodGet, at("/servers/%s/machine-config/explain", server), nil, nil, &e)
}

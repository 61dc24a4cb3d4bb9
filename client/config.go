package client

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Config is a named set of patches for the machine configs of a cluster's servers. Each save makes a new revision.
type Config struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Revision  string    `json:"revision" doc:"sha256 of the contents, hex"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
	Hidden    bool      `json:"hidden,omitempty" doc:"secrets were taken out of the texts"`
	ConfigContents
}

// ConfigContents are what a config adds to the machine configs that Talos' own generator makes. In patches
// ${hostname}, ${private_ip}, ${public_ip}, ${vlan} and ${bootstrap_disk_wwid} stand for the server's values.
type ConfigContents struct {
	InstallImage      string `json:"installImage,omitempty" doc:"overrides the installer image"`
	KubernetesVersion string `json:"kubernetesVersion,omitempty" doc:"overrides the cluster's"`
	KubeSpan          bool   `json:"kubeSpan,omitempty"`
	LayerContents
}

// LayerContents are patches with the variables they may use.
type LayerContents struct {
	Patches   []Patch           `json:"patches,omitempty" doc:"in the order they are applied; later ones win"`
	Variables map[string]string `json:"variables,omitempty" doc:"own variables by name, for patches as ${name}"`
}

// Patch is a named patch. Its limits are absent where it is for all.
type Patch struct {
	Name         string `json:"name" doc:"1 to 63 of a-z, 0-9 and '-'; unique in its list"`
	Text         string `json:"text" doc:"strategic merge or RFC 6902, YAML or JSON"`
	Role         string `json:"role,omitempty" enum:"controlplane,worker" doc:"only for servers of this role"`
	Architecture string `json:"architecture,omitempty" enum:"amd64,arm64" doc:"only for servers of this architecture"`
	Provider     string `json:"provider,omitempty" enum:"hetzner_cloud,hetzner_robot" doc:"only for servers of this provider"`
	Off          bool   `json:"off,omitempty" doc:"kept, but not applied"`
}

// SetPatch gives the patch of this name the text, adds it at the end if there is none, and removes it if the text is
// empty. The other fields of an existing patch stay.
func (c *LayerContents) SetPatch(p Patch) {
	i := slices.IndexFunc(c.Patches, func(o Patch) bool { return o.Name == p.Name })
	switch {
	case i >= 0 && p.Text == "":
		c.Patches = slices.Delete(slices.Clone(c.Patches), i, i+1)
	case i >= 0:
		c.Patches = slices.Clone(c.Patches)
		c.Patches[i].Text = p.Text
	case p.Text != "":
		c.Patches = append(slices.Clone(c.Patches), p)
	}
}

// NewConfig is what a config is made from.
type NewConfig struct {
	Name string `json:"name" doc:"1 to 63 of a-z, 0-9 and '-'"`
	ConfigContents
}

// ConfigUpdate replaces a config.
type ConfigUpdate struct {
	Name     string `json:"name,omitempty" doc:"new name; absent: as it was"`
	Revision string `json:"revision,omitempty" doc:"the change is based on; a conflict if it is not the current one; absent: whichever is"`
	ConfigContents
}

// Configs lists the configs.
func (c *Client) Configs(ctx context.Context) (l List[Config], err error) {
	return l, c.call(ctx, http.MethodGet, at("/configs"), nil, nil, &l)
}

// Config reads one by id or name; secrets are taken out of the texts.
func (c *Client) Config(ctx context.Context, ref string) (v Config, err error) {
	return v, c.call(ctx, http.MethodGet, at("/configs/%s", ref), nil, nil, &v)
}

// ConfigWithSecrets reads a config to change its texts. That secrets were shown is noted in the events.
func (c *Client) ConfigWithSecrets(ctx context.Context, ref string) (v Config, err error) {
	return v, c.call(ctx, http.MethodGet, at("/configs/%s", ref), url.Values{"secrets": {"true"}}, nil, &v)
}

// CreateConfig keeps a new config. It is refused if no server could use it.
func (c *Client) CreateConfig(ctx context.Context, n NewConfig) (v Config, err error) {
	return v, c.call(ctx, http.MethodPost, at("/configs"), nil, n, &v)
}

// UpdateConfig replaces a config. It is refused if it would break a server that uses it. Machines keep what they have.
func (c *Client) UpdateConfig(ctx context.Context, ref string, u ConfigUpdate) (v Config, err error) {
	return v, c.call(ctx, http.MethodPut, at("/configs/%s", ref), nil, u, &v)
}

// DeleteConfig forgets a config that nobody uses.
func (c *Client) DeleteConfig(ctx context.Context, ref string) error {
	return c.call(ctx, http.MethodDelete, at("/configs/%s", ref), nil, nil, nil)
}

// Rule puts labels and taints on the nodes of matching servers.
type Rule struct {
	ID        string            `json:"id"`
	Cluster   *Ref              `json:"cluster,omitempty" doc:"absent: every cluster"`
	Match     string            `json:"match" doc:"part of the server's name"`
	Labels    map[string]string `json:"labels,omitempty"`
	Taints    []Taint           `json:"taints,omitempty"`
	CreatedAt time.Time         `json:"createdAt"`
}

// Taint of a Kubernetes node.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect" enum:"NoSchedule,PreferNoSchedule,NoExecute"`
}

// NewRule is what a rule is made from: labels, taints or both.
type NewRule struct {
	Cluster string            `json:"cluster,omitempty" doc:"name or id; absent: every cluster"`
	Match   string            `json:"match" doc:"part of the server's name"`
	Labels  map[string]string `json:"labels,omitempty"`
	Taints  []Taint           `json:"taints,omitempty"`
}

// Rules lists the rules, oldest first.
func (c *Client) Rules(ctx context.Context) (l List[Rule], err error) {
	return l, c.call(ctx, http.MethodGet, at("/rules"), nil, nil, &l)
}

// CreateRule keeps a new rule.
func (c *Client) CreateRule(ctx context.Context, n NewRule) (v Rule, err error) {
	return v, c.call(ctx, http.MethodPost, at("/rules"), nil, n, &v)
}

// DeleteRule forgets a rule. What it put on nodes stays.
func (c *Client) DeleteRule(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, at("/rules/%s", id), nil, nil, nil)
}

package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The scopes of layers, in the order they are applied: later ones win.
const (
	ScopeCluster = "cluster" // every server of a cluster
	ScopeRole    = "role"    // the control planes or the workers of a cluster
	ScopeConfig  = "config"  // every server of a config
	ScopeServer  = "server"  // one server
)

// LayerRef names a layer of patches.
type LayerRef struct {
	Scope string `json:"scope" enum:"cluster,role,config,server"`
	Owner string `json:"owner" doc:"cluster, config or server, by name or id"`
	Role  string `json:"role,omitempty" enum:"controlplane,worker" doc:"of scope role"`
}

// ParseLayer reads a layer's name as commands take it: config/base, cluster/prod, role/prod/worker, server/db-1.
func ParseLayer(name string) (LayerRef, error) {
	parts := strings.Split(name, "/")
	switch {
	case len(parts) == 2 && (parts[0] == ScopeCluster || parts[0] == ScopeConfig || parts[0] == ScopeServer) && parts[1] != "":
		return LayerRef{Scope: parts[0], Owner: parts[1]}, nil
	case len(parts) == 3 && parts[0] == ScopeRole && parts[1] != "":
		return LayerRef{Scope: ScopeRole, Owner: parts[1], Role: parts[2]}, nil
	}
	return LayerRef{}, &Error{
		Kind: Invalid, Message: "there is no layer " + name,
		Hint: "write config/NAME, cluster/NAME, role/CLUSTER/controlplane, role/CLUSTER/worker or server/NAME",
	}
}

// String is the name that ParseLayer reads.
func (l LayerRef) String() string {
	if l.Scope == ScopeRole {
		return l.Scope + "/" + l.Owner + "/" + l.Role
	}
	return l.Scope + "/" + l.Owner
}

// Layer is what one scope adds to machine configs. Every save makes a revision.
type Layer struct {
	Scope    string      `json:"scope" enum:"cluster,role,config,server"`
	Owner    Ref         `json:"owner" doc:"cluster, config or server"`
	Role     string      `json:"role,omitempty" doc:"of scope role"`
	Revision string      `json:"revision,omitempty" doc:"sha256 of the contents, hex; absent: never saved"`
	SavedAt  *time.Time  `json:"savedAt,omitempty"`
	Draft    *LayerDraft `json:"draft,omitempty" doc:"saved, but not in effect"`
	Hidden   bool        `json:"hidden,omitempty" doc:"secrets were taken out of the texts"`
	ConfigContents
}

// LayerDraft is a revision that is kept beside the one in effect.
type LayerDraft struct {
	Revision string `json:"revision" doc:"sha256 of the contents, hex"`
	Base     string `json:"base,omitempty" doc:"the revision that was in effect when it was saved"`
	Hidden   bool   `json:"hidden,omitempty" doc:"secrets were taken out of the texts"`
	ConfigContents
}

// LayerSave says how a change of a layer is saved.
type LayerSave struct {
	Why   string `json:"why,omitempty" doc:"for those who read the history"`
	Base  string `json:"base,omitempty" doc:"the change is based on this revision; a conflict if it is not the current one; absent: whichever is"`
	Draft bool   `json:"draft,omitempty" doc:"keep it beside what is in effect; it may be broken"`
}

// LayerUpdate replaces the contents of a layer. Installer image, Kubernetes version and KubeSpan are of configs only.
type LayerUpdate struct {
	LayerSave
	ConfigContents
}

// NewPatch adds a patch to a layer.
type NewPatch struct {
	LayerSave
	Patch Patch `json:"patch"`
	Place *int  `json:"place,omitempty" minimum:"0" doc:"before the patch at this place; 0 is applied first; absent: at the end"`
}

// PatchChange changes a patch of a layer; what is absent stays. A place is changed alone.
type PatchChange struct {
	LayerSave
	Name         *string `json:"name,omitempty"`
	Text         *string `json:"text,omitempty"`
	Role         *string `json:"role,omitempty" doc:"\"\" for all"`
	Architecture *string `json:"architecture,omitempty" doc:"\"\" for all"`
	Provider     *string `json:"provider,omitempty" doc:"\"\" for all"`
	Off          *bool   `json:"off,omitempty"`
	Place        *int    `json:"place,omitempty" minimum:"0" doc:"move it there; 0 is applied first"`
}

// VariableChange sets an own variable.
type VariableChange struct {
	LayerSave
	Value string `json:"value"`
}

// LayerRevert makes an old revision effective again.
type LayerRevert struct {
	LayerSave
	Revision string `json:"revision" doc:"its hash, or the beginning of it"`
}

// LayerRevision says who saved what when, and why.
type LayerRevision struct {
	Revision string    `json:"revision" doc:"sha256 of the contents, hex"`
	Verb     string    `json:"verb" doc:"save, draft, publish, discard or revert"`
	Actor    string    `json:"actor"`
	Why      string    `json:"why,omitempty"`
	At       time.Time `json:"at"`
}

// LayerContentsAt is what a revision holds.
type LayerContentsAt struct {
	Revision string `json:"revision" doc:"whole hash; empty: nothing was ever saved"`
	Hidden   bool   `json:"hidden,omitempty" doc:"secrets were taken out of the texts"`
	ConfigContents
}

// LayerDiff is what two revisions differ in, without secrets.
type LayerDiff struct {
	From    string      `json:"from"`
	To      string      `json:"to"`
	Patches []PatchDiff `json:"patches" nullable:"false"`
	Fields  []FieldDiff `json:"fields" nullable:"false" doc:"variables, and of configs the installer image, Kubernetes version and KubeSpan"`
}

// PatchDiff is a patch that differs.
type PatchDiff struct {
	Name  string     `json:"name"`
	Op    string     `json:"op" doc:"added, removed, changed or moved"`
	From  string     `json:"from,omitempty" doc:"where it stood and for what it was"`
	To    string     `json:"to,omitempty"`
	Lines []LineDiff `json:"lines,omitempty" doc:"the whole text, unchanged lines too"`
}

// LineDiff is a line that both texts have, or only one.
type LineDiff struct {
	Op   string `json:"op,omitempty" doc:"added, removed, or absent for both"`
	Text string `json:"text"`
}

// FieldDiff is a value that differs; empty is none.
type FieldDiff struct {
	Name string `json:"name"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// PatchBlame says of each line of a patch which save brought it.
type PatchBlame struct {
	Patch string      `json:"patch"`
	Lines []BlameLine `json:"lines" nullable:"false"`
}

// BlameLine is a line of a patch, without secrets, and the save that brought it.
type BlameLine struct {
	Text     string    `json:"text"`
	Revision string    `json:"revision"`
	Actor    string    `json:"actor"`
	At       time.Time `json:"at"`
	Why      string    `json:"why,omitempty"`
}

// Layer reads a layer, with its draft; secrets are taken out of the texts.
func (c *Client) Layer(ctx context.Context, l LayerRef) (v Layer, err error) {
	return v, c.layer(ctx, http.MethodGet, l, "", nil, nil, &v)
}

// LayerWithSecrets reads a layer to change its texts. That secrets were shown is noted in the events.
func (c *Client) LayerWithSecrets(ctx context.Context, l LayerRef) (v Layer, err error) {
	return v, c.layer(ctx, http.MethodGet, l, "", url.Values{"secrets": {"true"}}, nil, &v)
}

// UpdateLayer gives a layer new contents. It is refused if that would break a server, unless it is a draft.
func (c *Client) UpdateLayer(ctx context.Context, l LayerRef, u LayerUpdate) (v Layer, err error) {
	return v, c.layer(ctx, http.MethodPut, l, "", nil, u, &v)
}

// AddPatch adds a patch to a layer.
func (c *Client) AddPatch(ctx context.Context, l LayerRef, n NewPatch) (v Layer, err error) {
	return v, c.layer(ctx, http.MethodPost, l, "/patches", nil, n, &v)
}

// ChangePatch changes, moves or switches a patch of a layer.
func (c *Client) ChangePatch(ctx context.Context, l LayerRef, name string, change PatchChange) (v Layer, err error) {
	return v, c.layer(ctx, http.MethodPatch, l, "/patches/"+url.PathEscape(name), nil, change, &v)
}

// RemovePatch removes a patch of a layer.
func (c *Client) RemovePatch(ctx context.Context, l LayerRef, name string, how LayerSave) (v Layer, err error) {
	return v, c.layer(ctx, http.MethodPost, l, "/patches/"+url.PathEscape(name)+"/remove", nil, how, &v)
}

// SetVariable sets an own variable of a layer.
func (c *Client) SetVariable(ctx context.Context, l LayerRef, name string, change VariableChange) (v Layer, err error) {
	return v, c.layer(ctx, http.MethodPut, l, "/variables/"+url.PathEscape(name), nil, change, &v)
}

// UnsetVariable takes an own variable away from a layer.
func (c *Client) UnsetVariable(ctx context.Context, l LayerRef, name string, how LayerSave) (v Layer, err error) {
	return v, c.layer(ctx, http.MethodPost, l, "/variables/"+url.PathEscape(name)+"/remove", nil, how, &v)
}

// LayerRevisions lists who saved what of a layer, newest first.
func (c *Client) LayerRevisions(ctx context.Context, l LayerRef) (v List[LayerRevision], err error) {
	return v, c.layer(ctx, http.MethodGet, l, "/revisions", nil, nil, &v)
}

// LayerAt reads a revision of a layer: its hash, the beginning of it, "current" or "draft". With secrets it is noted in
// the events.
func (c *Client) LayerAt(ctx context.Context, l LayerRef, revision string, secrets bool) (v LayerContentsAt, err error) {
	return v, c.layer(ctx, http.MethodGet, l, "/revisions/"+url.PathEscape(revision), url.Values(set{}.flag("secrets", secrets)), nil, &v)
}

// DiffLayer says what two revisions of a layer differ in.
func (c *Client) DiffLayer(ctx context.Context, l LayerRef, from, to string) (v LayerDiff, err error) {
	return v, c.layer(ctx, http.MethodGet, l, "/diff", url.Values{"from": {from}, "to": {to}}, nil, &v)
}

// BlameLayer says who brought each line of the patches in effect.
func (c *Client) BlameLayer(ctx context.Context, l LayerRef) (v List[PatchBlame], err error) {
	return v, c.layer(ctx, http.MethodGet, l, "/blame", nil, nil, &v)
}

// RevertLayer makes an old revision effective again, as a new save.
func (c *Client) RevertLayer(ctx context.Context, l LayerRef, r LayerRevert) (v Layer, err error) {
	return v, c.layer(ctx, http.MethodPost, l, "/revert", nil, r, &v)
}

// PublishLayer makes the draft of a layer effective. It is checked as any save.
func (c *Client) PublishLayer(ctx context.Context, l LayerRef, how LayerSave) (v Layer, err error) {
	return v, c.layer(ctx, http.MethodPost, l, "/publish", nil, how, &v)
}

// DiscardLayer throws the draft of a layer away; it stays in the history.
func (c *Client) DiscardLayer(ctx context.Context, l LayerRef, how LayerSave) (v Layer, err error) {
	return v, c.layer(ctx, http.MethodPost, l, "/discard", nil, how, &v)
}

// Draft is a layer that has one.
type Draft struct {
	LayerRef
	Revision string `json:"revision" doc:"sha256 of the contents, hex"`
	Stale    bool   `json:"stale,omitempty" doc:"what it was made on was changed since: it has to be saved again before it is published"`
}

// Drafts lists the drafts of all layers.
func (c *Client) Drafts(ctx context.Context) (l List[Draft], err error) {
	return l, c.call(ctx, http.MethodGet, at("/drafts"), nil, nil, &l)
}

func (c *Client) layer(ctx context.Context, method string, l LayerRef, below string, query url.Values, in, out any) error {
	if query == nil {
		query = url.Values{}
	}
	if l.Role != "" {
		query.Set("role", l.Role)
	}
	return c.call(ctx, method, at("/layers/%s/%s", l.Scope, l.Owner)+below, query, in, out)
}

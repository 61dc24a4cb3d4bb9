package client

import (
	"context"
	"net/http"
	"net/url"
)

// Finding is one thing wrong with a patch or machine config, at its place in the text.
type Finding struct {
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Kind     string `json:"kind,omitempty" doc:"of the document; v1alpha1 for the one with machine: and cluster:"`
	Name     string `json:"name,omitempty" doc:"of the document"`
	Path     string `json:"path,omitempty" doc:"machine.network.interfaces[0].addresses"`
	Severity string `json:"severity" doc:"error: a node of the version refuses it; warning: it takes it, but does not do it, or not for long"`
	Problem  string `json:"problem" doc:"its sort: too-new, gone, deprecated, unknown-field, …"`
	Message  string `json:"message"`
	Instead  string `json:"instead,omitempty" doc:"what to write for this version"`
}

// LintRequest asks what a Talos version would refuse or ignore of a text.
type LintRequest struct {
	Text         string `json:"text" doc:"patch (strategic merge or RFC 6902, YAML or JSON) or machine config; may hold ${variables}"`
	TalosVersion string `json:"talosVersion" doc:"v1.14.1"`
	From         string `json:"from,omitempty" doc:"list only what this version does not find"`
}

// UpgradeLint is what another Talos version would make of the patches in effect for the servers of a cluster. It holds
// no secrets.
type UpgradeLint struct {
	Cluster Ref             `json:"cluster"`
	From    string          `json:"from" doc:"Talos version of the cluster"`
	To      string          `json:"to"`
	Patches []PatchLint     `json:"patches" nullable:"false" doc:"those with findings, in the order of application"`
	Broken  []BrokenServers `json:"broken" nullable:"false" doc:"servers whose configs could not be made for that version with the patches as they are"`
}

// PatchLint is a patch that the version would refuse something of, or ignore.
type PatchLint struct {
	Layer     LayerRef         `json:"layer"`
	Patch     string           `json:"patch"`
	Servers   []string         `json:"servers" nullable:"false" doc:"names of those it is in effect for"`
	Findings  []UpgradeFinding `json:"findings" nullable:"false"`
	Modernise string           `json:"modernise,omitempty" doc:"what a rewriting would be proven to be: equal, equal-on-older, differs, unproven or refused; absent: there is nothing to rewrite"`
	Problem   string           `json:"problem,omitempty" doc:"why it cannot be rewritten, or proven"`
}

// UpgradeFinding is one thing wrong with a patch in another version.
type UpgradeFinding struct {
	Finding
	Before bool `json:"before,omitempty" doc:"the present version finds it too"`
}

// ModerniseRequest asks for a text to be rewritten.
type ModerniseRequest struct {
	Text         string `json:"text" doc:"patch: strategic merge or RFC 6902, YAML or JSON; may hold ${variables}"`
	TalosVersion string `json:"talosVersion" doc:"v1.14.1: to write for"`
	Role         string `json:"role,omitempty" enum:"controlplane,worker" doc:"of the nodes that get the patch; absent: both"`
	All          bool   `json:"all,omitempty" doc:"rewrite what the version still takes but calls deprecated, too"`
}

// Rewriting is a rewritten patch, and what was done to it.
type Rewriting struct {
	Text         string          `json:"text" doc:"for every node of the role; empty when nothing is left"`
	ControlPlane string          `json:"controlPlane,omitempty" doc:"what only control planes take: a patch of its own, after the other"`
	Changed      bool            `json:"changed"`
	Changes      []FieldRewrite  `json:"changes,omitempty"`
	Notes        []RewriteNote   `json:"notes,omitempty"`
	KernelArgs   []string        `json:"kernelArgs,omitempty" doc:"they left the patch, and belong into the schematic"`
	Extensions   []string        `json:"extensions,omitempty" doc:"they left the patch, and belong into the schematic"`
	Verdict      string          `json:"verdict" doc:"of the proof that nodes do the same: equal, equal-on-older, differs, unproven or refused"`
	Against      string          `json:"against,omitempty" doc:"the Talos version that the old patch was tried on, where this one refuses it"`
	Problem      string          `json:"problem,omitempty" doc:"why there is no proof"`
	Differences  []RewriteChange `json:"differences,omitempty"`
}

// FieldRewrite is one field that was rewritten.
type FieldRewrite struct {
	Line  int      `json:"line,omitempty"`
	Path  string   `json:"path,omitempty"`
	To    []string `json:"to,omitempty" doc:"documents; absent: it was dropped"`
	Why   string   `json:"why,omitempty"`
	Since string   `json:"since,omitempty" doc:"from which Talos on there is the new form"`
}

// RewriteNote is something a rewritten patch cannot say by itself.
type RewriteNote struct {
	Kind string `json:"kind" doc:"schematic, by-hand or hint"`
	Line int    `json:"line,omitempty"`
	Path string `json:"path,omitempty"`
	Text string `json:"text,omitempty"`
}

// RewriteChange is one thing that a node would do otherwise, without secrets.
type RewriteChange struct {
	Role string `json:"role"`
	Path string `json:"path,omitempty"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
	Why  string `json:"why,omitempty"`
}

// PatchModernise says how a patch of a layer is rewritten in place. It is refused where the result is not proven to mean
// the same, unless it is kept as a draft.
type PatchModernise struct {
	LayerSave
	TalosVersion string `json:"talosVersion,omitempty" doc:"to write for; absent: that of the clusters the layer is used in"`
	All          bool   `json:"all,omitempty" doc:"rewrite what the version still takes but calls deprecated, too"`
	DryRun       bool   `json:"dryRun,omitempty" doc:"only say what would be done"`
	Schematic    string `json:"schematic,omitempty" doc:"name or id of one that gets what leaves the patch for a schematic"`
}

// ModernisedPatch is what became of a patch of a layer. It holds no secrets.
type ModernisedPatch struct {
	Rewriting
	TalosVersion string   `json:"talosVersion"`
	Patches      []string `json:"patches" nullable:"false" doc:"what the patch is now: names; none when nothing was left"`
	Schematics   []string `json:"schematics,omitempty" doc:"those of the servers that get the patch, by name; empty for the plain one; only where something belongs into them"`
	Schematic    *Ref     `json:"schematic,omitempty" doc:"that was added to"`
	Plan         Plan     `json:"plan"`
	Saved        bool     `json:"saved"`
	Layer        *Layer   `json:"layer,omitempty" doc:"as it was saved"`
}

// EditorPosition is a place in a text that somebody writes.
type EditorPosition struct {
	Text         string `json:"text"`
	Line         int    `json:"line" minimum:"1"`
	Column       int    `json:"column" minimum:"1" doc:"in characters"`
	TalosVersion string `json:"talosVersion" doc:"v1.14.1"`
}

// Completion is what can be written at a place.
type Completion struct {
	Label  string    `json:"label" doc:"what is shown: the key, kind or value"`
	Insert string    `json:"insert" doc:"what is written instead of the word before the cursor"`
	Field  FieldInfo `json:"field"`
}

// Hover is what is known of the field at a place.
type Hover struct {
	Field *FieldInfo `json:"field,omitempty" doc:"absent: nothing is known there"`
}

// FieldInfo is what is known of a document kind or a field of it.
type FieldInfo struct {
	Kind        string   `json:"kind,omitempty"`
	Path        string   `json:"path,omitempty" doc:"empty for the document itself"`
	Type        string   `json:"type,omitempty" doc:"for people: text, list of maps, size like 10GB"`
	Values      []string `json:"values,omitempty" doc:"those it can have, where they are known"`
	Required    bool     `json:"required,omitempty"`
	Since       string   `json:"since,omitempty" doc:"first Talos version that knows it"`
	Until       string   `json:"until,omitempty" doc:"last Talos version that knows it"`
	Deprecated  string   `json:"deprecated,omitempty" doc:"first Talos version that calls it deprecated"`
	Instead     string   `json:"instead,omitempty" doc:"what to write then"`
	Description string   `json:"description,omitempty"`
	Examples    []string `json:"examples,omitempty"`
}

// Lint says what a Talos version would refuse or ignore of a text.
func (c *Client) Lint(ctx context.Context, r LintRequest) (l List[Finding], err error) {
	return l, c.call(ctx, http.MethodPost, at("/lint"), nil, r, &l)
}

// LintCluster says what another Talos version would make of the patches of a cluster.
func (c *Client) LintCluster(ctx context.Context, ref, talosVersion string) (l UpgradeLint, err error) {
	return l, c.call(ctx, http.MethodGet, at("/clusters/%s/lint", ref), url.Values{"talosVersion": {talosVersion}}, nil, &l)
}

// Modernise rewrites a text for a Talos version; nothing is saved.
func (c *Client) Modernise(ctx context.Context, r ModerniseRequest) (w Rewriting, err error) {
	return w, c.call(ctx, http.MethodPost, at("/modernise"), nil, r, &w)
}

// ModernisePatch rewrites a patch of a layer in place.
func (c *Client) ModernisePatch(ctx context.Context, l LayerRef, name string, how PatchModernise) (m ModernisedPatch, err error) {
	return m, c.layer(ctx, http.MethodPost, l, "/patches/"+url.PathEscape(name)+"/modernise", nil, how, &m)
}

// Complete lists what can be written at a place of a text.
func (c *Client) Complete(ctx context.Context, p EditorPosition) (l List[Completion], err error) {
	return l, c.call(ctx, http.MethodPost, at("/schema/complete"), nil, p, &l)
}

// Hover explains what stands at a place of a text.
func (c *Client) Hover(ctx context.Context, p EditorPosition) (h Hover, err error) {
	return h, c.call(ctx, http.MethodPost, at("/schema/hover"), nil, p, &h)
}

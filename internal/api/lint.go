package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/modernise"
	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// lintRoutes are those that look at texts of patches and rewrite them.
func (a *api) lintRoutes(h huma.API) {
	add(a, h, "lint", "POST /lint", "Say what a Talos version would refuse or ignore of a text", a.lint)
	add(a, h, "lint-cluster", "GET /clusters/{ref}/lint", "Say what another Talos version would make of the patches of a cluster", a.lintCluster)
	add(a, h, "modernise", "POST /modernise", "Rewrite a text for a Talos version", a.modernise, explained(
		"The texts are answered as they were given, with the secrets in them. Nothing is kept."))
	add(a, h, "modernise-patch", "POST /layers/{scope}/{owner}/patches/{name}/modernise", "Rewrite a patch of a layer for a Talos version", a.modernisePatch, explained(
		"It is refused where the result is not proven to mean the same, unless it is kept as a draft. Secrets are taken out of the texts as they are answered."))
	add(a, h, "complete", "POST /schema/complete", "List what can be written at a place of a text", a.complete)
	add(a, h, "hover", "POST /schema/hover", "Explain what stands at a place of a text", a.hover)
}

// explained is more to say about a route than its summary.
func explained(text string) func(*huma.Operation) {
	return func(o *huma.Operation) { o.Description = text }
}

func (a *api) lint(_ context.Context, in *body[client.LintRequest]) (*body[client.List[client.Finding]], error) {
	found, err := manage.Lint(in.Body.Text, in.Body.TalosVersion, in.Body.From)
	return answer(items(found, findingOf), err)
}

func findingOf(f schema.Finding) client.Finding {
	return client.Finding{
		Line: f.Line, Column: f.Column, Kind: f.Kind, Name: f.Name, Path: f.Path, Severity: string(f.Severity), Problem: string(f.Problem),
		Message: f.Message, Instead: f.Instead,
	}
}

func (a *api) lintCluster(ctx context.Context, in *struct {
	ByRef
	TalosVersion string `query:"talosVersion" required:"true" doc:"v1.14.1"`
},
) (*body[client.UpgradeLint], error) {
	l, err := a.Manager.LintUpgrade(ctx, in.Ref, in.TalosVersion)
	return answer(client.UpgradeLint{
		Cluster: client.Ref{ID: l.Cluster.ID, Name: l.Cluster.Name}, From: l.From, To: l.To, Broken: convert(l.Broken, brokenOf),
		Patches: convert(l.Patches, func(p manage.PatchLint) client.PatchLint {
			return client.PatchLint{
				Layer: layerOf(p.Layer), Patch: p.Patch, Servers: p.Servers, Modernise: string(p.Modernise), Problem: p.Problem,
				Findings: convert(p.Findings, func(f manage.PatchFinding) client.UpgradeFinding {
					return client.UpgradeFinding{Finding: findingOf(f.Finding), Before: f.Before}
				}),
			}
		}),
	}, err)
}

func layerOf(l manage.LayerRef) client.LayerRef {
	return client.LayerRef{Scope: string(l.Scope), Owner: l.Owner, Role: string(l.Role)}
}

func (a *api) modernise(_ context.Context, in *body[client.ModerniseRequest]) (*body[client.Rewriting], error) {
	r, err := manage.Modern(in.Body.Text, in.Body.TalosVersion, modernise.Options{Role: fleet.Role(in.Body.Role), All: in.Body.All})
	if err != nil {
		return nil, err
	}
	return answer(rewritingOf(r), nil)
}

func rewritingOf(r *modernise.Result) client.Rewriting {
	return client.Rewriting{
		Text: r.Text, ControlPlane: r.ControlPlane, Changed: r.Changed,
		KernelArgs: r.Schematic.KernelArguments, Extensions: r.Schematic.Extensions,
		Verdict: string(r.Proof.Verdict), Against: r.Proof.Against, Problem: r.Proof.Problem,
		Changes: convert(r.Changes, func(c modernise.Change) client.FieldRewrite { return client.FieldRewrite(c) }),
		Notes: convert(r.Notes, func(n modernise.Note) client.RewriteNote {
			return client.RewriteNote{Kind: string(n.Kind), Line: n.Line, Path: n.Path, Text: n.Text}
		}),
		Differences: convert(r.Proof.Differences, func(d modernise.Difference) client.RewriteChange {
			return client.RewriteChange{Role: string(d.Role), Path: d.Path, Old: d.Old, New: d.New, Why: d.Why}
		}),
	}
}

func (a *api) modernisePatch(ctx context.Context, in *struct {
	ByPatch
	Body client.PatchModernise
},
) (*body[client.ModernisedPatch], error) {
	how := manage.Modernising{TalosVersion: in.Body.TalosVersion, All: in.Body.All, DryRun: in.Body.DryRun, Schematic: in.Body.Schematic}
	m, err := a.Manager.Modernise(ctx, access.Actor(ctx), in.ref(), in.Name, how, saveOf(in.Body.LayerSave))
	if err != nil {
		return nil, err
	}
	out := client.ModernisedPatch{
		Rewriting: rewritingOf(&m.Result), TalosVersion: m.TalosVersion, Patches: append([]string{}, m.Patches...), Schematics: m.Schematics,
		Schematic: schematicRef(m.Schematic), Plan: planOf(m.Plan), Saved: m.Saved,
	}
	if m.Saved {
		out.Layer, err = a.savedLayer(ctx, in.ByLayer)
	}
	return answer(out, err)
}

func schematicRef(s *fleet.Schematic) *client.Ref {
	if s == nil {
		return nil
	}
	return &client.Ref{ID: s.ID, Name: s.Name}
}

// savedLayer is a layer as it is after a save, for answers that say more.
func (a *api) savedLayer(ctx context.Context, l ByLayer) (*client.Layer, error) {
	now, err := a.saved(ctx, l, nil)
	if err != nil {
		return nil, err
	}
	return &now.Body, nil
}

func (a *api) complete(_ context.Context, in *body[client.EditorPosition]) (*body[client.List[client.Completion]], error) {
	p := in.Body
	if err := manage.CheckLintable(p.TalosVersion); err != nil {
		return nil, err
	}
	return answer(items(schema.Complete([]byte(p.Text), p.Line, p.Column, p.TalosVersion), func(i schema.Item) client.Completion {
		return client.Completion{Label: i.Label, Insert: i.Insert, Field: client.FieldInfo(i.Info)}
	}), nil)
}

func (a *api) hover(_ context.Context, in *body[client.EditorPosition]) (*body[client.Hover], error) {
	p := in.Body
	if err := manage.CheckLintable(p.TalosVersion); err != nil {
		return nil, err
	}
	out := client.Hover{}
	if found, ok := schema.Hover([]byte(p.Text), p.Line, p.Column, p.TalosVersion); ok {
		field := client.FieldInfo(found)
		out.Field = &field
	}
	return answer(out, nil)
}

package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
)

func (a *api) installRoutes(h huma.API) {
	add(a, h, "install-server", "POST /servers/{ref}/install", "Put Talos on a server and make it a node", a.installServer, accepted)
	add(a, h, "preview-install", "POST /servers/{ref}/install/preview", "Say what an install of a server would do", a.previewInstall)
	add(a, h, "plan-installs", "POST /servers/install-plan", "Say how long installs of servers would take, and who waits for what", a.planInstalls)
}

type installing struct {
	ByRef
	Body *client.InstallOptions
}

func (in *installing) options() operation.InstallOptions {
	if in.Body == nil {
		return operation.InstallOptions{}
	}
	return installOptions(*in.Body)
}

func installOptions(o client.InstallOptions) operation.InstallOptions {
	return operation.InstallOptions{
		Wipe: o.Wipe, DiskPolicy: fleet.DiskPolicy(o.DiskPolicy), Delivery: fleet.Delivery(o.Delivery), Boot: fleet.BootMethod(o.Boot),
		OverrideUUID: o.OverrideUUID, StaticNetwork: o.StaticNetwork, ViaManager: o.ViaManager, ImageSHA256: o.ImageSHA256,
	}
}

func (a *api) installServer(ctx context.Context, in *installing) (*body[client.Operation], error) {
	o, err := a.Operations.Install(ctx, access.Actor(ctx), in.Ref, in.options())
	return a.started(ctx, o, err)
}

func (a *api) previewInstall(ctx context.Context, in *installing) (*body[client.InstallPreview], error) {
	p, err := a.Operations.DryRunInstall(ctx, in.Ref, in.options())
	out := client.InstallPreview{
		Server: p.Server, Cluster: p.Cluster, TalosVersion: p.TalosVersion, Schematic: p.Schematic, Image: p.Image, Kernel: p.Kernel, Initramfs: p.Initramfs, Plain: p.Plain,
		Delivery: string(p.Delivery), Boot: string(p.Boot), FactsAt: p.FactsAt, Contents: p.Contents, DiskPolicy: string(p.Policy),
		Verdict: p.Verdict, Question: p.Question, Steps: p.Steps, Problems: some(p.Problems, problem),
		Meta: some(p.Meta, func(m operation.PreviewMeta) client.PreviewMeta { return client.PreviewMeta(m) }),
		Scripts: some(p.Scripts, func(s operation.PreviewScript) client.PreviewScript {
			return client.PreviewScript{Step: s.Step, Name: s.Name, Line: s.Line(), Why: s.Why, Text: s.Text}
		}),
	}
	if p.Disk.Name != "" {
		disk := diskOf(p.Disk)
		out.Disk = &disk
	}
	return answer(out, err)
}

func (a *api) planInstalls(ctx context.Context, in *body[client.InstallPlanRequest]) (*body[client.InstallPlan], error) {
	p, err := a.Operations.PlanInstalls(ctx, in.Body.Servers, installOptions(in.Body.InstallOptions))
	return answer(client.InstallPlan{
		At: p.At, End: p.End, AtOnce: p.AtOnce, Servers: items(p.Servers, plannedInstall).Items,
		Budgets: some(p.Budgets, func(b operation.PlannedBudget) client.PlannedBudget {
			return client.PlannedBudget{
				Account: b.Account, Group: b.Group, Calls: b.Limit.Calls, Seconds: b.Limit.Window.Seconds(), Used: b.Used, Back: b.Back, Needed: b.Needed, Last: b.Last,
			}
		}),
		Times: some(p.Phases, func(t operation.PhaseTime) client.PhaseTime {
			return client.PhaseTime{Provider: string(t.Provider), Phase: t.Phase, Seconds: t.Takes.Seconds(), Measured: t.Measured}
		}),
		Shorter: some(p.Shorter, func(s operation.ShorterPlan) client.ShorterPlan {
			return client.ShorterPlan{What: s.What, How: s.How, Seconds: s.Saves.Seconds(), Each: s.Each.Seconds(), End: s.End}
		}),
	}, err)
}

func plannedInstall(s operation.PlannedInstall) client.PlannedInstall {
	return client.PlannedInstall{
		Server: client.Ref{ID: s.ServerID, Name: s.Server}, Cluster: s.Cluster, Role: string(s.Role), Account: s.Account,
		Start: s.Start, End: s.End, Restarts: s.Restarts, Questions: s.Questions, Problems: some(s.Problems, problem),
		Phases: some(s.Phases, func(p operation.PlannedPhase) client.PlannedPhase { return client.PlannedPhase(p) }),
	}
}

func problem(p operation.Problem) client.Problem { return client.Problem{Text: p.Text, Hint: p.Hint} }

// some converts a list that is left out when it is empty.
func some[T, U any](all []T, f func(T) U) []U {
	if len(all) == 0 {
		return nil
	}
	return items(all, f).Items
}

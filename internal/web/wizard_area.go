package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/store"
)

// wizardArea is the install wizard, the view of several installs, and servers that are added by hand.
func (s *site) wizardArea() area {
	return area{
		pages: map[string]loader{
			"/install":       s.wizardCluster,
			"/install/disks": s.wizardDisks,
			"/install/boot":  s.wizardBoot,
			"/install/plan":  s.wizardPlan,
			"/installs":      s.installs,
			"/servers/add":   s.addServerPage,
		},
		actions: map[string]handler{
			"POST /install/roles":     s.wizardAssign,
			"POST /install/cluster":   s.wizardNewCluster,
			"POST /install/disks":     s.wizardChooseDisks,
			"POST /install/start":     s.wizardStart,
			"POST /installs/answer":   s.answerInstall,
			"POST /installs/retry":    s.retryInstall,
			"POST /servers/add":       s.addServer,
			"POST /servers/add/probe": s.probeAdded,
		},
	}
}

// wizard is what the install wizard carries from step to step, in its addresses. What servers are to be is in their
// records.
type wizard struct {
	Refs    []string // names or ids of the servers, in the order they are installed in
	Cluster string   // id of the one they are to belong to; "" as long as that is open

	Policy, Delivery, Boot, SHA256          string
	ViaManager, StaticNetwork, OverrideUUID bool

	// Started are installs that began when the order of others was refused.
	Started []string
}

func wizardOf(r *http.Request) wizard {
	q := r.URL.Query()
	if r.Method == http.MethodPost {
		q = r.PostForm
	}
	value := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	return wizard{
		Refs: chosen(r), Cluster: value("cluster"), Policy: value("policy"), Delivery: value("delivery"), Boot: value("boot"), SHA256: value("sha256"),
		ViaManager: value("viaManager") == "true", StaticNetwork: value("staticNetwork") == "true", OverrideUUID: value("overrideUUID") == "true",
		Started: q["started"],
	}
}

// carried is a value that goes along from step to step.
type carried struct{ Name, Value string }

// fields are what an address or a form carries: what is not set is not in it.
func (w wizard) fields() []carried {
	yes := func(set bool) string {
		if set {
			return "true"
		}
		return ""
	}
	all := []carried{
		{"cluster", w.Cluster},
		{"policy", w.Policy},
		{"delivery", w.Delivery},
		{"boot", w.Boot},
		{"sha256", w.SHA256},
		{"viaManager", yes(w.ViaManager)},
		{"staticNetwork", yes(w.StaticNetwork)},
		{"overrideUUID", yes(w.OverrideUUID)},
	}
	for _, ref := range w.Refs {
		all = append(all, carried{"server", ref})
	}
	for _, id := range w.Started {
		all = append(all, carried{"started", id})
	}
	return slices.DeleteFunc(all, func(c carried) bool { return c.Value == "" })
}

// without is what a form carries along that sets these fields itself.
func (w wizard) without(names ...string) []carried {
	return slices.DeleteFunc(w.fields(), func(c carried) bool { return slices.Contains(names, c.Name) })
}

// address is where a step is with all that was chosen.
func (w wizard) address(path string) string {
	q := url.Values{}
	for _, c := range w.fields() {
		q.Add(c.Name, c.Value)
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

func (w wizard) options() operation.InstallOptions {
	return operation.InstallOptions{
		DiskPolicy: fleet.DiskPolicy(w.Policy), Delivery: fleet.Delivery(w.Delivery), Boot: fleet.BootMethod(w.Boot), ImageSHA256: w.SHA256,
		ViaManager: w.ViaManager, StaticNetwork: w.StaticNetwork, OverrideUUID: w.OverrideUUID,
	}
}

// wizardStep is an entry of the list of steps above each of them.
type wizardStep struct{ Path, Name string }

func wizardSteps() []wizardStep {
	return []wizardStep{{"/install", "Cluster and roles"}, {"/install/disks", "Disks"}, {"/install/boot", "Boot and config"}, {"/install/plan", "Plan and install"}}
}

// mostInstalls is how many servers the wizard takes. An account's budget restarts some 50 an hour.
const mostInstalls = 200

// wizardData is what every step knows of the chosen servers.
type wizardData struct {
	wizard
	Step    string // path of the step
	Servers []fleet.Server
	LeftOut []leftOut // servers that cannot be installed on now
}

// leftOut is a chosen server that cannot be installed on, and where to look.
type leftOut struct {
	ID, Name, Why string
	OperationID   string // that has it
}

func (d wizardData) title() string {
	if len(d.Servers) == 0 {
		return "Install Talos"
	}
	return "Install Talos on " + count(len(d.Servers), "server")
}

// wizardServers reads the chosen servers; Refs are those that can be installed on, by id.
func (s *site) wizardServers(ctx context.Context, w wizard, step string) (d wizardData, err error) {
	active, err := s.activeByServer(ctx, store.OperationFilter{})
	if err != nil {
		return d, err
	}
	d = wizardData{wizard: w, Step: step}
	if len(w.Refs) > mostInstalls {
		return d, fleet.Errorf(fleet.Invalid, "install Talos on %d servers: that is more than the %d that are planned at once", len(w.Refs), mostInstalls).
			WithHint("choose fewer of them, and the others when these are under way")
	}
	d.Refs = nil
	for _, ref := range w.Refs {
		v, err := s.store.Server(ctx, ref)
		if err != nil {
			return d, err
		}
		if slices.Contains(d.Refs, v.ID) { // once by name, once by id
			continue
		}
		if out := cannotInstall(v, active[v.ID]); out.Why != "" {
			d.LeftOut = append(d.LeftOut, out)
			continue
		}
		d.Refs, d.Servers = append(d.Refs, v.ID), append(d.Servers, v)
	}
	return d, nil
}

// cannotInstall says what keeps a server from being installed on, whatever it is assigned.
func cannotInstall(v fleet.Server, op *fleet.Operation) leftOut {
	out := leftOut{ID: v.ID, Name: v.Name}
	switch {
	case op != nil && op.Kind == operation.KindInstall:
		out.Why, out.OperationID = "Talos is being installed on it already, asked for by "+op.Actor, op.ID
	case op != nil:
		out.Why, out.OperationID = kindTitle(op.Kind)+" has it now", op.ID
	case serverData{Server: v}.node():
		out.Why = "It runs as a node; take it out of its cluster first"
	case !v.MissingAt.IsZero():
		out.Why = "Its account does not list it any more"
	}
	return out
}

// unassigned counts servers that are to be nothing yet.
func (d wizardData) unassigned() int {
	n := 0
	for _, v := range d.Servers {
		if !v.Assignment.Assigned() {
			n++
		}
	}
	return n
}

// names are those of the chosen servers, for commands.
func (d wizardData) names() string {
	all := make([]string, len(d.Servers))
	for i, v := range d.Servers {
		all[i] = v.Name
	}
	return strings.Join(all, " ")
}

// view is a step's page around its body.
func (d wizardData) view(v view) view {
	v.title, v.section, v.address = d.title(), "/servers", d.address(d.Step)
	v.crumbs = []crumb{{"Servers", "/servers"}}
	if d.Step != "/install" {
		v.crumbs = append(v.crumbs, crumb{d.title(), d.address("/install")})
		for _, step := range wizardSteps() {
			if step.Path == d.Step {
				v.title = step.Name
			}
		}
	}
	return v
}

type refusalsKey struct{}

// withRefusals keeps why single servers were refused, for their rows to say it.
func withRefusals(r *http.Request, why map[string]notice) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), refusalsKey{}, why))
}

func refusalOf(ctx context.Context, id string) (notice, bool) {
	all, _ := ctx.Value(refusalsKey{}).(map[string]notice)
	n, there := all[id]
	return n, there
}

package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

// need is something that needs a person.
type need struct {
	Status status
	Title  string
	Href   string
	Next   string // what to do
}

// needs gathers what waits for a person, the most urgent first.
func (s *site) needs(r *http.Request, d *overviewData, servers []store.ServerBrief, accounts []fleet.Account) error {
	ctx := r.Context()
	asked, err := s.operationNeeds(ctx)
	if err != nil {
		return err
	}
	configs, tried, err := s.configNeeds(r, servers)
	if err != nil {
		return err
	}
	spent, err := s.budgetNeeds(ctx, accounts)
	if err != nil {
		return err
	}
	d.Untried = !tried
	for _, kind := range []struct {
		needs []need
		all   string // where all of them are
	}{
		{asked, "/operations"},
		{lostNeeds(servers), serverFilter{State: string(fleet.Unhealthy), Missing: true}.address()},
		{accountNeeds(accounts), "/accounts"},
		{spent, "/accounts"},
		{goneNeeds(servers), problemAddress(fleet.ProblemGone)},
		{uuidNeeds(servers), problemAddress(fleet.ProblemUUID)},
		{configs, "/configs"},
		{draftNeeds(servers), problemAddress(fleet.ProblemDraft)},
	} {
		d.Needs = append(d.Needs, few(kind.needs, kind.all)...)
	}
	return nil
}

func problemAddress(p fleet.Problem) string { return serverFilter{Problem: string(p)}.address() }

// few keeps the first of many needs of one kind, and says how many more there are, and where.
func few(all []need, where string) []need {
	if len(all) <= overviewNeeds {
		return all
	}
	more := need{Status: all[0].Status, Title: fmt.Sprintf("%d more like these", len(all)-overviewNeeds), Href: where, Next: "All of them are there"}
	more.Status.Detail = ""
	return append(all[:overviewNeeds:overviewNeeds], more)
}

// operationNeeds are questions, and failures nobody has dealt with.
func (s *site) operationNeeds(ctx context.Context) ([]need, error) {
	asking, err := s.store.Operations(ctx, store.OperationFilter{States: []fleet.OperationState{fleet.Asking}, Limit: overviewNeeds})
	if err != nil {
		return nil, err
	}
	failed, err := s.unresolved(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := s.operationRows(ctx, append(asking, failed...), names{})
	var out []need
	for _, row := range rows {
		next := "Answer the question, or cancel"
		if row.Status.Tone == broken {
			next = "Look at the step it stopped at, then retry"
		}
		out = append(out, need{Status: row.Status, Title: about(row), Href: "/operations/" + row.ID, Next: next})
	}
	return out, err
}

// unresolved are failures after which nothing else was begun on the same server or cluster.
func (s *site) unresolved(ctx context.Context) ([]fleet.Operation, error) {
	failed, err := s.store.Operations(ctx, store.OperationFilter{States: []fleet.OperationState{fleet.Failed}, Limit: overviewNeeds})
	if err != nil {
		return nil, err
	}
	var out []fleet.Operation
	for _, op := range failed {
		f := store.OperationFilter{ServerID: op.ServerID, Limit: 1}
		if op.ServerID == "" {
			f = store.OperationFilter{ClusterID: op.ClusterID, Kind: op.Kind, Limit: 1}
		}
		newest, err := s.store.Operations(ctx, f)
		if err != nil {
			return nil, err
		}
		if len(newest) > 0 && newest[0].ID == op.ID {
			out = append(out, op)
		}
	}
	return out, nil
}

// lostNeeds are nodes that were Ready.
func lostNeeds(servers []store.ServerBrief) (out []need) {
	for _, v := range servers {
		if v.State == fleet.Unhealthy {
			out = append(out, need{Status: serverStatus(fleet.Server{State: v.State}, nil), Title: v.Name, Href: "/servers/" + v.ID, Next: "Look at the node"})
		}
	}
	return out
}

func accountNeeds(accounts []fleet.Account) (out []need) {
	for _, a := range accounts {
		if a.Problem != "" {
			out = append(out, need{Status: accountStatus(a), Title: "Account " + a.Name, Href: "/accounts", Next: "Check the credentials"})
		}
	}
	return out
}

// goneNeeds are servers of clusters that their provider has taken back, or will.
func goneNeeds(servers []store.ServerBrief) (out []need) {
	for _, v := range servers {
		switch {
		case v.ClusterID == "":
		case v.Missing:
			out = append(out, need{status{attention, "Missing", "Its account does not list it any more, and it belongs to a cluster"}, v.Name, "/servers/" + v.ID, "Take it out of its cluster, or find out who gave it back"})
		case v.Cancelled:
			out = append(out, need{status{attention, "Cancelled", "It was cancelled at its provider, and belongs to a cluster"}, v.Name, "/servers/" + v.ID, "Put another in its place before it is switched off"})
		}
	}
	return out
}

// draftNeeds are servers that are to be something that is not in effect.
func draftNeeds(servers []store.ServerBrief) (out []need) {
	for _, v := range servers {
		if v.Draft && v.ClusterID != "" {
			out = append(out, need{status{attention, "Draft", "What it is to be is kept as a draft: it cannot be installed so"}, v.Name, "/servers/" + v.ID, "Assign it again"})
		}
	}
	return out
}

// uuidNeeds are UUIDs that tell no machines apart: of servers that are still to be installed, and those that two have.
func uuidNeeds(servers []store.ServerBrief) (out []need) {
	same := map[string][]store.ServerBrief{}
	for _, v := range servers {
		if v.Missing || !v.Looked {
			continue
		}
		if err := fleet.CheckUUID(v.Name, v.UUID); err != nil {
			if v.State == fleet.Known || v.State == fleet.Broken {
				out = append(out, need{status{attention, "UUID", err.Error()}, v.Name, "/servers/" + v.ID, "The mail to Hetzner is on its page; or have Talos given another UUID"})
			}
			continue
		}
		same[strings.ToLower(v.UUID)] = append(same[strings.ToLower(v.UUID)], v)
	}
	for _, v := range servers { // in their order
		all := same[strings.ToLower(v.UUID)]
		if len(all) < 2 || all[0].ID != v.ID {
			continue
		}
		called := make([]string, len(all))
		for i, o := range all {
			called[i] = o.Name
		}
		out = append(out, need{
			status{attention, "UUID", "They have the same UUID " + v.UUID + ": a machine that asks for its config cannot be told from the others by it"},
			strings.Join(called, ", "), "/servers/" + v.ID, "Install with a UUID of its own, or have Hetzner mend it",
		})
	}
	return out
}

// budgetNeeds are restarts, or other scarce calls, that an account has none of for a while.
func (s *site) budgetNeeds(ctx context.Context, accounts []fleet.Account) ([]need, error) {
	var out []need
	for _, a := range accounts {
		if a.Provider == fleet.Manual || a.Problem != "" {
			continue
		}
		budgets, err := s.Manager.Budgets(ctx, a.ID)
		if err != nil {
			return nil, err
		}
		for _, b := range budgets {
			if b.Left() > 0 {
				continue
			}
			detail := fmt.Sprintf("%s: all %d are used", b.What, b.Limit.Calls)
			if !b.Back.IsZero() {
				detail += "; all are back at " + day(b.Back) + " UTC"
			}
			out = append(out, need{status{attention, "Budget used up", detail}, "Account " + a.Name, "/accounts", "Installs and restarts wait until then by themselves"})
		}
	}
	return out, nil
}

// configTrial keeps which machine configs could not be made, and of which records that was.
type configTrial struct {
	mu     sync.Mutex
	tried  bool
	of     store.Version
	groups []manage.BrokenGroup
}

// triedAtOnce is how many machine configs are made while a page waits; more are made for its stream.
const triedAtOnce = 50

// configNeeds are servers whose machine config cannot be made. Trying takes long for many: the stream of the page does
// it, or somebody who asks for it; tried is false while nobody has since the records changed.
func (s *site) configNeeds(r *http.Request, servers []store.ServerBrief) (out []need, tried bool, err error) {
	assigned := 0
	for _, v := range servers {
		if v.ClusterID != "" {
			assigned++
		}
	}
	if assigned == 0 {
		return nil, true, nil
	}
	now, err := s.store.Version(r.Context())
	if err != nil {
		return nil, false, err
	}
	patient := assigned <= triedAtOnce || strings.HasPrefix(r.URL.Path, livePrefix+"/") || r.URL.Query().Get("configs") == "try"
	t := s.configs
	if patient {
		t.mu.Lock()
	} else if !t.mu.TryLock() {
		return nil, false, nil // somebody is at it
	}
	defer t.mu.Unlock()
	if patient && (!t.tried || t.of != now) {
		if t.groups, err = s.Manager.BrokenConfigs(r.Context()); err != nil {
			return nil, false, err
		}
		t.tried, t.of = true, now
	}
	for _, g := range t.groups {
		what := count(len(g.Servers), "server")
		if len(g.Servers) == 1 {
			what = g.Servers[0]
		}
		out = append(out, need{status{broken, "Config", g.Reason}, "Machine config of " + what, "/servers?" + url.Values{"search": {g.Servers[0]}}.Encode(), nextOf(g)})
	}
	return out, t.tried && t.of == now, nil
}

func nextOf(g manage.BrokenGroup) string {
	if g.Hint != "" {
		return upper(g.Hint)
	}
	return "Mend the patch: an install would be refused"
}

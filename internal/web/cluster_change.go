package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// clusterPlan is what a change of a cluster would do to machine configs.
type clusterPlan struct {
	Plan    manage.Plan
	Problem notice // why there is none
}

// changeFrom reads what a form changes: fields that it does not have stay as they are.
func changeFrom(form url.Values) (c manage.ClusterChange, err error) {
	field := func(name string) *string {
		if !form.Has(name) {
			return nil
		}
		value := strings.TrimSpace(form.Get(name))
		return &value
	}
	c = manage.ClusterChange{
		TalosVersion: field("talos"), KubernetesVersion: field("kubernetes"), Config: field("config"), Schematic: field("schematic"),
		VSwitch: field("vswitch"), PrivateNetwork: field("network"), DiskPolicy: (*fleet.DiskPolicy)(field("disks")), Why: form.Get("why"),
	}
	if text := field("mtu"); text != nil {
		mtu := 0
		if *text != "" {
			if mtu, err = strconv.Atoi(*text); err != nil {
				return c, fleet.Errorf(fleet.Invalid, "the MTU %q is no number", *text).WithHint("a vSwitch has 1400, a Cloud network 1450; empty means just that")
			}
		}
		c.PrivateMTU = &mtu
	}
	return c, nil
}

// changeCluster saves a change of a cluster's record, and shows the tab it came from.
func (s *site) changeCluster(w http.ResponseWriter, r *http.Request) error {
	load, path := s.clusterSettings, "/settings"
	if r.PostFormValue("form") == "versions" {
		load, path = s.clusterVersions, "/versions"
	}
	change, err := changeFrom(r.PostForm)
	if err != nil {
		return s.again(w, r, load, err)
	}
	c, err := s.Manager.UpdateCluster(r.Context(), access.Actor(r.Context()), r.PathValue("ref"), change)
	if err != nil {
		return s.again(w, r, load, err)
	}
	return s.done(w, r, "/clusters/"+c.ID+path, "Saved "+c.Name+"; machines keep what they have until they are installed or given a new config")
}

// planning says whether a page was asked what a change would do.
func planning(r *http.Request) bool { return r.URL.Query().Get("plan") == "yes" }

// planOf says what the change in a page's address would do, nil if it has none.
func (s *site) planOf(r *http.Request, c fleet.Cluster) *clusterPlan {
	if !planning(r) {
		return nil
	}
	change, err := changeFrom(r.URL.Query())
	if err == nil {
		var out clusterPlan
		out.Plan, err = s.Manager.Plan(r.Context(), manage.Change{Cluster: &manage.ClusterUpdate{Cluster: c.ID, ClusterChange: change}}, manage.PlanOptions{})
		if err == nil {
			return &out
		}
	}
	n := noticeOf(err)
	n.Hint = upper(n.Hint)
	return &clusterPlan{Problem: n}
}

// proposed is what a field of a change stands at: what a plan was asked for, or what is recorded.
func proposed(r *http.Request, name, recorded string) string {
	if q := r.URL.Query(); planning(r) && q.Has(name) {
		return q.Get(name)
	}
	return recorded
}

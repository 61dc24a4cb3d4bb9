package web

import (
	"cmp"
	"context"
	"net/http"
	"strconv"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// clusterSettingsData is the page of what a cluster's servers have in common: their network, and how they are installed.
type clusterSettingsData struct {
	Row       clusterRow
	VSwitch   string // as the forms have them
	Network   string
	MTU       string
	Config    string
	Disks     string
	VSwitches []option
	Configs   []option
	Members   []vswitchRow // of the recorded vSwitch
	Recorded  fleet.Cluster
	Named     string // of the recorded vSwitch, with its VLAN
	Gone      bool   // the recorded vSwitch is not listed any more
	URL       string
	Plan      *clusterPlan
}

// vswitchRow says whether a server is in the cluster's vSwitch.
type vswitchRow struct {
	ID, Name, PrivateIP string
	Status              status
}

// clusterSettings is the page of what a cluster's servers have in common.
func (s *site) clusterSettings(r *http.Request) (view, error) {
	ctx := r.Context()
	b, err := s.clusterBase(ctx, r.PathValue("ref"))
	if err != nil {
		return view{}, err
	}
	c := b.Cluster
	d := clusterSettingsData{
		Row: b.Row, Recorded: c, URL: s.About.URL, VSwitch: proposed(r, "vswitch", c.VSwitchID), Network: proposed(r, "network", c.PrivateNetwork),
		Config: proposed(r, "config", c.ConfigID), Disks: proposed(r, "disks", string(cmp.Or(c.DiskPolicy, fleet.CleanOnly))),
	}
	if c.PrivateMTU > 0 {
		d.MTU = strconv.Itoa(c.PrivateMTU)
	}
	d.MTU = proposed(r, "mtu", d.MTU)
	if err := s.networkOf(ctx, b, &d); err != nil {
		return view{}, err
	}
	if d.Configs, err = s.configOptions(ctx, option{"", "None"}); err != nil {
		return view{}, err
	}
	d.Plan = s.planOf(r, c)
	v := clusterView(b, "/settings")
	if d.Plan != nil {
		v.address, v.wants = v.address+"?"+r.URL.RawQuery, nil
	}
	v.body = func([]fleet.LogLine) templ.Component { return clusterSettingsTab(d) }
	v.parts = []part{
		{id: "cluster-head", key: keyOf(d.Row), piece: clusterHead(d.Row)},
		{id: "cluster-network", key: keyOf([]any{d.Recorded, d.VSwitches}), piece: networkCard(d)},
		{id: "cluster-members", key: keyOf([]any{d.Members, d.Named}), piece: membersCard(d)},
		{id: "cluster-defaults", key: keyOf([]any{d.Recorded, d.Configs}), piece: defaultsCard(d)},
	}
	at := "/api/v1/clusters/" + b.Row.Name
	v.same = []command{
		{"Set its private network", "cluster update " + b.Row.Name + " --private-network 10.0.0.0/16 --private-mtu 1400 --dry-run", "PATCH " + at + ` {"privateNetwork": "10.0.0.0/16", "privateMTU": 1400}`},
		{"Say what installs may overwrite without asking", "cluster update " + b.Row.Name + " --disk-policy wipe-ours", "PATCH " + at + ` {"diskPolicy": "wipe-ours"}`},
		{"Move a dedicated server into a vSwitch", "server vswitch SERVER VSWITCH", `PATCH /api/v1/servers/SERVER {"vSwitch": "ID"}`},
	}
	return v, nil
}

// networkOf reads the vSwitches there are, and who is in the cluster's.
func (s *site) networkOf(ctx context.Context, b clusterBase, d *clusterSettingsData) error {
	all, err := s.store.VSwitches(ctx, "")
	if err != nil {
		return err
	}
	d.VSwitches = []option{{"", "None"}}
	for _, v := range all {
		name := v.Name + ", VLAN " + strconv.Itoa(v.VLAN)
		if v.ID == b.Cluster.VSwitchID {
			d.Named, d.Gone = name, !v.MissingAt.IsZero()
		}
		if v.MissingAt.IsZero() || v.ID == b.Cluster.VSwitchID {
			d.VSwitches = append(d.VSwitches, option{v.ID, name})
		}
	}
	if b.Cluster.VSwitchID == "" {
		return nil
	}
	for _, v := range b.Nodes {
		d.Members = append(d.Members, vswitchRow{ID: v.ID, Name: v.Name, PrivateIP: v.Assignment.PrivateIP, Status: vswitchStatus(v, b.Cluster.VSwitchID)})
	}
	return nil
}

func vswitchStatus(v fleet.Server, id string) status {
	switch {
	case v.Provider != fleet.HetznerRobot:
		return status{"", "Not a dedicated server", ""}
	case v.VSwitchID == id:
		return status{ok, "In it", ""}
	case v.VSwitchID == "":
		return status{attention, "In none", ""}
	}
	return status{attention, "In another", ""}
}

func diskPolicies() []option {
	return []option{
		{string(fleet.CleanOnly), "Blank disks only"},
		{string(fleet.WipeOurs), "Blank disks, and what an install of ours wrote on that server"},
		{string(fleet.WipeAll), "Whatever is on the chosen disk"},
	}
}

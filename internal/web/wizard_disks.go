package web

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
)

// wizardDisksData is the step of the disks.
type wizardDisksData struct {
	wizardData

	Standing fleet.DiskPolicy // chosen, or what the servers' clusters have
	Rows     []diskRow
}

// diskRow is one server with its disks.
type diskRow struct {
	Server  fleet.Server
	Outlook []operation.DiskOutlook // none: its disks are not known
	Single  bool                    // one disk of 10 GB or more: none need be chosen
}

// unknown are servers that never said what disks they have.
func (d wizardDisksData) unknown() []string {
	var all []string
	for _, row := range d.Rows {
		if row.Server.Facts.At.IsZero() && row.Server.Provider != fleet.Manual {
			all = append(all, row.Server.ID)
		}
	}
	return all
}

// chosen is what the choice of disks stands at: a disk, byRule, or "" for the only one.
func (d diskRow) chosen(ctx context.Context) string {
	standing := d.Server.Assignment.InstallDisk
	switch {
	case strings.HasPrefix(standing, fleet.RulePrefix):
		standing = byRule
	case standing == "" && !d.Single:
		standing = d.best()
	}
	return typed(ctx, "wizard-disks", "disk-"+d.Server.ID, standing)
}

// best is the disk that is proposed where several will do: none, if they are alike.
func (d diskRow) best() string {
	disk, err := fleet.ChooseDisk(d.Server.Name, fleet.RulePrefix+"smallest", d.Server.Facts.Disks)
	if err != nil {
		return ""
	}
	return disk.ID()
}

// rule is what the field for a rule shows.
func (d diskRow) rule() string {
	if strings.HasPrefix(d.Server.Assignment.InstallDisk, fleet.RulePrefix) {
		return d.Server.Assignment.InstallDisk
	}
	return ""
}

// wizardDisks is the step of the disks: what is on each, and what may be overwritten.
func (s *site) wizardDisks(r *http.Request) (view, error) {
	ctx := r.Context()
	var d wizardDisksData
	var err error
	if d.wizardData, err = s.wizardServers(ctx, wizardOf(r), "/install/disks"); err != nil {
		return view{}, err
	}
	policies, err := s.policies(ctx)
	if err != nil {
		return view{}, err
	}
	d.Standing = fleet.DiskPolicy(d.Policy)
	for _, v := range d.Servers {
		row := diskRow{Server: v}
		if v.Assignment.Assigned() {
			if row.Outlook, err = s.Operations.DiskOutlooks(ctx, v); err != nil {
				return view{}, err
			}
		}
		_, err := fleet.ChooseDisk(v.Name, "", v.Facts.Disks)
		row.Single = err == nil
		d.Rows = append(d.Rows, row)
		if d.Policy == "" {
			d.Standing = careful(d.Standing, policies.of(v))
		}
	}
	return d.view(view{
		body: func([]fleet.LogLine) templ.Component { return wizardDisksPage(d) }, parts: diskParts(d), wants: changeOf("servers"),
		sheet: func() (sheet, error) { return disksSheet(d), nil },
		same:  disksSame(d),
	}), nil
}

// clusterPolicies are the disk policies of clusters, by id.
type clusterPolicies map[string]fleet.DiskPolicy

func (s *site) policies(ctx context.Context) (clusterPolicies, error) {
	all, err := s.store.Clusters(ctx)
	out := clusterPolicies{}
	for _, c := range all {
		out[c.ID] = c.DiskPolicy
	}
	return out, err
}

// of is the policy that an install of a server goes by if none is asked for.
func (c clusterPolicies) of(v fleet.Server) fleet.DiskPolicy {
	return cmp.Or(v.Assignment.DiskPolicy, c[v.Assignment.ClusterID], fleet.CleanOnly)
}

// careful is the one of two policies that overwrites less; "" is no policy yet.
func careful(a, b fleet.DiskPolicy) fleet.DiskPolicy {
	for _, p := range operation.DiskPolicies() {
		if a == p || b == p {
			return p
		}
	}
	return fleet.CleanOnly
}

// diskParts are renewed when a rescue system has read the disks.
func diskParts(d wizardDisksData) []part {
	parts := make([]part, 0, len(d.Rows))
	for _, row := range d.Rows {
		key := keyOf([]any{row.Server.Facts.Disks, row.Server.Assignment, row.Outlook})
		parts = append(parts, part{id: "disks-" + row.Server.ID, key: key, piece: disksOfServer(row)})
	}
	return parts
}

func disksSheet(d wizardDisksData) sheet {
	out := sheet{name: "disks", columns: []string{"server", "disk", "id", "serial", "model", "bytes", "contents", "clean-only", "wipe-ours", "wipe-all"}}
	for _, row := range d.Rows {
		for _, l := range row.Outlook {
			line := []string{row.Server.Name, l.Disk.Name, l.Disk.ID(), l.Disk.Serial, l.Disk.Model, diskSize(l.Disk.SizeBytes), contents(l.Disk)}
			for _, p := range operation.DiskPolicies() {
				line = append(line, verdict(l, p).Text)
			}
			out.rows = append(out.rows, line)
		}
	}
	return out
}

func disksSame(d wizardDisksData) []command {
	if len(d.Servers) == 0 {
		return nil
	}
	v := d.Servers[0]
	return []command{
		{What: "Read the disks in the rescue system", CLI: "server rescue " + d.names(), API: "POST /api/v1/servers/" + v.ID + "/rescue"},
		{What: "Choose the disk of " + v.Name, CLI: "server assign " + v.Name + " --disk 'rule:smallest,transport=nvme'", API: "PATCH /api/v1/servers/" + v.ID + `/assignment {"installDisk": "rule:smallest,transport=nvme"}`},
	}
}

// consequence is what a policy would do if Talos went to a disk.
type consequence struct {
	Tone tone
	Word string
	Text string // one sentence
}

// verdict says what a policy does to the disks of a machine, as they are known now.
func verdict(l operation.DiskOutlook, p fleet.DiskPolicy) consequence {
	if l.Problem != "" {
		return consequence{attention, "Cannot", upper(l.Problem)}
	}
	c := l.Outcome(p)
	own := cmp.Or(l.Disk.Serial, l.Disk.WWID, l.Disk.Name)
	var others []string
	for _, loss := range c.Losses {
		if loss.Disk != own {
			others = append(others, loss.Disk)
		}
	}
	asked, also := strings.Join(c.Asks, " and "), ""
	if len(others) > 0 {
		also = " " + upper(strings.Join(others, " and ")) + " changes, too."
	}
	switch {
	case len(c.Losses) == 0:
		return consequence{ok, "Nothing is lost", "The disk is blank."}
	case len(c.Asks) > 0 && len(c.Notes) > 0:
		return consequence{attention, "Asks", "It stops and asks before it touches " + asked + ": " + strings.Join(c.Notes, "; ") + "."}
	case len(c.Asks) > 0:
		return consequence{attention, "Asks", "It stops and asks before it touches " + asked + "."}
	case l.Disk.Blank():
		return consequence{attention, "Hides", "The disk is blank. What would be booted from " + strings.Join(others, " and ") + " is hidden; nothing of it is lost."}
	case p == fleet.WipeOurs:
		return consequence{broken, "Overwrites", "An install of ours wrote " + own + ": it is overwritten without a question." + also}
	}
	return consequence{broken, "Overwrites", "Everything on " + own + " is lost without a question." + also}
}

// policyTitle and policyText are what a disk policy is called, and what it does.
func policyTitle(p fleet.DiskPolicy) string {
	return map[fleet.DiskPolicy]string{fleet.CleanOnly: "Blank disks only", fleet.WipeOurs: "Also what we installed", fleet.WipeAll: "Whatever is there"}[p]
}

func policyText(p fleet.DiskPolicy) string {
	return map[fleet.DiskPolicy]string{
		fleet.CleanOnly: "An install stops and asks before it writes to a disk that is not blank.",
		fleet.WipeOurs:  "A disk that an install of ours wrote on this server is overwritten; of others it asks.",
		fleet.WipeAll:   "The chosen disk is overwritten, whatever is on it. Nobody is asked.",
	}[p]
}

// wizardChooseDisks keeps which disk of each server Talos goes to.
func (s *site) wizardChooseDisks(w http.ResponseWriter, r *http.Request) error {
	next := wizardOf(r)
	if err := fleet.DiskPolicy(next.Policy).Check(); err != nil {
		return s.again(w, r, s.wizardDisks, err)
	}
	all := strings.TrimSpace(r.PostFormValue("rule"))
	refused := s.each(r, next.Refs, func(v fleet.Server) error {
		disk := strings.TrimSpace(r.PostFormValue("disk-" + v.ID))
		if disk == byRule {
			disk = strings.TrimSpace(r.PostFormValue("rule-" + v.ID))
		}
		disk = cmp.Or(all, disk)
		if v.Assignment.InstallDisk == disk {
			return nil
		}
		_, err := s.Manager.Assign(r.Context(), access.Actor(r.Context()), v.ID, manage.AssignmentChange{InstallDisk: &disk})
		return err
	})
	if refused.why != nil {
		return s.again(w, withRefusals(r, refused.rows), s.wizardDisks, refused.why)
	}
	http.Redirect(w, r, next.address("/install/boot"), http.StatusSeeOther)
	return nil
}

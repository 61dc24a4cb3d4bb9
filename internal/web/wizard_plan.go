package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/store"
)

// wizardPlanData is the last step: how it would go, what would be lost, what would be run.
type wizardPlanData struct {
	wizardData

	Plan     operation.InstallPlan
	Rows     []planRow // in the order of the plan
	Previews []operation.InstallPreview
	Scripts  []operation.PreviewScript // each once
}

// planRow is one server of the plan.
type planRow struct {
	operation.PlannedInstall

	Loss foreseen
}

// may are those that can be ordered now.
func (d wizardPlanData) may() []planRow {
	return slices.DeleteFunc(slices.Clone(d.Rows), func(row planRow) bool { return len(row.Problems) > 0 })
}

// Up to rowsShown servers, the tables of a plan have all; of more the first ones, and those that somebody has to look at.
const (
	rowsShown = 60
	firstRows = 40
)

// shown are the servers in the table of times: of more than it has room for, some that cannot be ordered besides.
func (d wizardPlanData) shown() []planRow {
	return d.some(func(row planRow, so int) bool { return so < rowsShown && len(row.Problems) > 0 })
}

// losing are the servers in the table of what is lost: all that lose something without a question are among them.
func (d wizardPlanData) losing() []planRow {
	return d.some(func(row planRow, _ int) bool { return row.Loss.Unasked })
}

// some are all of a few servers; of many the first, and those that a table needs, given how many it has so far.
func (d wizardPlanData) some(needs func(row planRow, so int) bool) []planRow {
	if len(d.Rows) <= rowsShown {
		return d.Rows
	}
	all := slices.Clone(d.Rows[:firstRows])
	for _, row := range d.Rows[firstRows:] {
		if needs(row, len(all)) {
			all = append(all, row)
		}
	}
	return all
}

// order is what the button sends: those that can be ordered, in the plan's order.
func (d wizardPlanData) order() []carried {
	w := d.wizard
	w.Refs, w.Cluster = nil, ""
	for _, row := range d.may() {
		w.Refs = append(w.Refs, row.ServerID)
	}
	return w.fields()
}

// typeNames are the servers whose names have to be typed: data goes there without a question.
func (d wizardPlanData) typeNames() []string {
	var all []string
	for _, row := range d.may() {
		if row.Loss.Unasked {
			all = append(all, row.Server)
		}
	}
	return all
}

// fewPreviews is up to how many servers a page shows the dry run of all; of more, it is of one.
const fewPreviews = 6

// wizardPlan is the last step. What cannot be chosen leads back to the step where it was.
func (s *site) wizardPlan(r *http.Request) (view, error) {
	if wizardOf(r).options().Check() != nil {
		return s.wizardBoot(r)
	}
	ctx := r.Context()
	var d wizardPlanData
	var err error
	if d.wizardData, err = s.wizardServers(ctx, wizardOf(r), "/install/plan"); err != nil {
		return view{}, err
	}
	if len(d.Servers) > 0 {
		if err := s.planned(ctx, &d); err != nil {
			return view{}, err
		}
	}
	if err := s.dryRun(ctx, &d, r.FormValue("dry")); err != nil {
		return view{}, err
	}
	return d.view(view{
		body:  func([]fleet.LogLine) templ.Component { return wizardPlanPage(d) },
		sheet: func() (sheet, error) { return planSheet(d), nil },
		same:  planSame(d),
	}), nil
}

func (s *site) planned(ctx context.Context, d *wizardPlanData) (err error) {
	if d.Plan, err = s.Operations.PlanInstalls(ctx, d.Refs, d.options()); err != nil {
		return err
	}
	policies, err := s.policies(ctx)
	if err != nil {
		return err
	}
	for i, p := range d.Plan.Servers {
		row := planRow{PlannedInstall: p}
		v := d.Servers[i]
		if row.Loss, err = s.foreseen(ctx, v, cmp.Or(fleet.DiskPolicy(d.Policy), policies.of(v))); err != nil {
			return err
		}
		d.Rows = append(d.Rows, row)
	}
	return nil
}

// dryRunOf is the id of the server whose dry run is shown.
func (d wizardPlanData) dryRunOf() string {
	for _, v := range d.Servers {
		if len(d.Previews) > 0 && v.Name == d.Previews[0].Server {
			return v.ID
		}
	}
	return ""
}

// dryRun reads what would be run: for all servers if they are few, else for one of them.
func (s *site) dryRun(ctx context.Context, d *wizardPlanData, of string) error {
	refs := d.Refs
	if len(refs) > fewPreviews {
		if !slices.Contains(refs, of) {
			of = refs[0]
		}
		refs = []string{of}
	}
	seen := map[string]bool{}
	for _, ref := range refs {
		p, err := s.Operations.DryRunInstall(ctx, ref, d.options())
		if err != nil {
			return err
		}
		d.Previews = append(d.Previews, p)
		for _, script := range p.Scripts {
			if !seen[script.Name] {
				d.Scripts = append(d.Scripts, script)
			}
			seen[script.Name] = true
		}
	}
	return nil
}

// foreseen is what an install would do to the disks of a server, as they are known now.
type foreseen struct {
	consequence

	Policy  fleet.DiskPolicy
	Disk    string   // what it is called, "" if that cannot be told
	Lines   []string // what is on it
	Unasked bool     // data may be lost without a question
}

func (s *site) foreseen(ctx context.Context, v fleet.Server, policy fleet.DiskPolicy) (foreseen, error) {
	f := foreseen{Policy: policy}
	if v.Facts.At.IsZero() {
		f.consequence, f.Unasked = unread(v, policy)
		return f, nil
	}
	disk, err := fleet.ChooseDisk(v.Name, v.Assignment.InstallDisk, v.Facts.Disks)
	if err != nil || !v.Assignment.Assigned() {
		f.consequence = consequence{attention, "Cannot", "Which disk is meant cannot be told."}
		return f, nil
	}
	all, err := s.Operations.DiskOutlooks(ctx, v)
	if err != nil {
		return f, err
	}
	i := slices.IndexFunc(all, func(l operation.DiskOutlook) bool { return l.Disk.Name == disk.Name })
	f.consequence, f.Lines = verdict(all[i], policy), onDisk(all[i])
	f.Disk = joined(diskSize(disk.SizeBytes), disk.Model, "serial "+cmp.Or(disk.Serial, "unknown"))
	c := all[i].Outcome(policy)
	f.Unasked = len(c.Losses) > len(c.Asks) && !disk.Blank()
	return f, nil
}

// unread is what can be said of disks that nobody has read yet.
func unread(v fleet.Server, policy fleet.DiskPolicy) (c consequence, unasked bool) {
	switch {
	case policy == fleet.WipeAll:
		return consequence{broken, "Overwrites", "Its disks are not known yet. Whatever is on the one that is chosen is lost without a question."}, true
	case policy == fleet.WipeOurs && !v.Installed.At.IsZero():
		return consequence{broken, "Overwrites", "Its disks are not known yet. If " + cmp.Or(v.Installed.Serial, v.Installed.Disk) + " still has what our install wrote, that is lost without a question; else it asks."}, true
	}
	return consequence{attention, "Asks", "Its disks are not known yet: they are read first, and it asks if the chosen one holds data."}, false
}

func planSheet(d wizardPlanData) sheet {
	out := sheet{name: "install-plan", columns: []string{"server", "cluster", "role", "account", "phase", "starts", "works", "ends", "waits for", "problem"}}
	stamp := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	for _, row := range d.Rows {
		var why []string
		for _, p := range row.Problems {
			why = append(why, byForm.String(p.Text))
		}
		problem, phases := strings.Join(why, "; "), row.Phases
		if len(phases) == 0 { // it does not begin
			phases = []operation.PlannedPhase{{}}
		}
		for _, p := range phases {
			out.rows = append(out.rows, []string{row.Server, row.Cluster, string(row.Role), row.Account, p.Name, stamp(p.Start), stamp(p.Works), stamp(p.End), p.WaitsFor, problem})
		}
	}
	return out
}

// wizardStart orders the installs. One that is refused does not keep the others from it.
func (s *site) wizardStart(w http.ResponseWriter, r *http.Request) error {
	order := wizardOf(r)
	if len(order.Refs) == 0 {
		return s.again(w, r, s.wizardPlan, fleet.Errorf(fleet.Invalid, "no server was chosen"))
	}
	if err := s.insistOnNames(r, order); err != nil {
		return s.again(w, r, s.wizardPlan, err)
	}
	refused := s.each(r, order.Refs, func(v fleet.Server) error {
		op, err := s.Operations.Install(r.Context(), access.Actor(r.Context()), v.ID, order.options())
		if err == nil {
			order.Started = append(order.Started, op.ID)
		}
		return s.twice(r.Context(), v, err)
	})
	if refused.why != nil {
		for _, v := range refused.done { // the page shows those that are left
			r.PostForm["server"] = slices.DeleteFunc(r.PostForm["server"], func(ref string) bool { return ref == v.ID || ref == v.Name })
		}
		r.PostForm["started"] = order.Started
		return s.again(w, withRefusals(r, refused.rows), s.wizardPlan, refused.why)
	}
	return s.done(w, r, installsAddress(order.Started...), "Installing Talos on "+count(len(refused.done), "server"))
}

// twice says of an install that was refused because there is one already, who asked for that.
func (s *site) twice(ctx context.Context, v fleet.Server, err error) error {
	if fleet.KindOf(err) != fleet.Conflict {
		return err
	}
	active, e := s.activeByServer(ctx, store.OperationFilter{ServerID: v.ID})
	if op := active[v.ID]; e == nil && op != nil && op.Kind == operation.KindInstall {
		return fleet.Errorf(fleet.Conflict, "Talos is being installed on %s already: %s asked for it %s", v.Name, op.Actor, age(time.Since(op.CreatedAt))).
			WithHint("it is not begun a second time; nothing was changed")
	}
	return err
}

// insistOnNames refuses what loses data without a question until the servers' names were typed.
func (s *site) insistOnNames(r *http.Request, order wizard) error {
	policies, err := s.policies(r.Context())
	if err != nil {
		return err
	}
	var names []string
	for _, ref := range order.Refs {
		v, err := s.store.Server(r.Context(), ref)
		if err != nil {
			return err
		}
		f, err := s.foreseen(r.Context(), v, cmp.Or(fleet.DiskPolicy(order.Policy), policies.of(v)))
		if err != nil {
			return err
		}
		if f.Unasked {
			names = append(names, v.Name)
		}
	}
	words := strings.FieldsFunc(r.PostFormValue("confirm"), func(c rune) bool { return c == ' ' || c == ',' || c == '\n' || c == '\r' || c == '\t' })
	for _, name := range names {
		if !slices.Contains(words, name) {
			return fleet.Errorf(fleet.Invalid, "overwrite the disk of server %s: its name was not typed", name).WithHint("type %s into the field to go on", strings.Join(names, " "))
		}
	}
	return nil
}

// planSame are the commands for what the plan shows.
func planSame(d wizardPlanData) []command {
	if len(d.Rows) == 0 {
		return nil
	}
	var names, quoted []string
	for _, row := range d.Rows {
		names, quoted = append(names, row.Server), append(quoted, `"`+row.Server+`"`)
	}
	flags, fields := d.flags()
	body := func(first ...string) string {
		return " {" + strings.Join(append(first, fields...), ", ") + "}"
	}
	all, one := strings.Join(names, " ")+flags, "/api/v1/servers/"+d.Rows[0].ServerID
	return []command{
		{What: "Show the plan", CLI: "server install " + all + " --plan", API: "POST /api/v1/servers/install-plan" + body(`"servers": [`+strings.Join(quoted, ", ")+`]`)},
		{What: "Show the dry run", CLI: "server install " + all + " --dry-run", API: "POST " + one + "/install/preview" + body()},
		{What: "Install Talos", CLI: "server install " + all, API: "POST " + one + "/install" + body()},
	}
}

// flags are the chosen options, as the command line and the API write them.
func (w wizard) flags() (flags string, fields []string) {
	for _, f := range []struct{ flag, field, value string }{
		{"--disk-policy", "diskPolicy", w.Policy},
		{"--delivery", "delivery", w.Delivery},
		{"--boot", "boot", w.Boot},
		{"--image-sha256", "imageSHA256", w.SHA256},
	} {
		if f.value != "" {
			flags, fields = flags+" "+f.flag+" "+f.value, append(fields, `"`+f.field+`": "`+f.value+`"`)
		}
	}
	for _, f := range []struct {
		flag, field string
		set         bool
	}{
		{"--via-manager", "viaManager", w.ViaManager},
		{"--static-network", "staticNetwork", w.StaticNetwork},
		{"--override-uuid", "overrideUUID", w.OverrideUUID},
	} {
		if f.set {
			flags, fields = flags+" "+f.flag, append(fields, `"`+f.field+`": true`)
		}
	}
	return flags, fields
}

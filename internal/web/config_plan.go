package web

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// configPlanData is what a change does to servers, before it is saved.
type configPlanData struct {
	configHead
	Change  configChange
	Plan    manage.Plan
	Preview *manage.Preview // for the server that was chosen
	Server  string
}

// planConfig shows what a change does to the config of every server that uses the layer. One that would break a server
// is refused, with the line that does.
func (s *site) planConfig(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	c, err := s.changeFrom(r)
	if err != nil {
		return err
	}
	contents, err := s.contentsAfter(ctx, c)
	if err == nil {
		err = s.Manager.CheckLayer(ctx, c.ref, contents)
	}
	if err != nil {
		return s.again(w, r, s.pageOf(c.do), err)
	}
	d := configPlanData{Change: c}
	if d.configHead, err = s.layer(ctx, c.ref, "/plan"); err != nil {
		return err
	}
	change := manage.Change{Layers: []manage.LayerChange{{LayerRef: c.ref, Contents: contents}}}
	if d.Plan, err = s.Manager.Plan(ctx, change, manage.PlanOptions{}); err != nil {
		return err
	}
	if id := r.PostFormValue("server"); id != "" {
		p, err := s.Manager.Preview(ctx, change, id)
		if err != nil {
			return err
		}
		d.Server, d.Preview = id, &p
	}
	v := d.view(
		c.title(), configPlanPage(d),
		command{"Plan it", "", `POST /api/v1/plan {"layers": [{"scope": "` + string(d.Ref.Scope) + `", "owner": "` + d.Ref.Owner + `", "patches": []}]}`},
		command{"See what nodes run instead", "plan --running", `POST /api/v1/plan {"running": true}`},
	)
	v.address = d.at("")
	return s.show(w, r, http.StatusOK, v)
}

// changing counts the servers whose configs change.
func (d configPlanData) changing() (n int) {
	for _, g := range d.Plan.Groups {
		n += len(g.Servers)
	}
	return n
}

// rebooting counts the nodes that reboot when the change is applied to them.
func (d configPlanData) rebooting() (n int) {
	for _, g := range d.Plan.Groups {
		if g.Verdict != nil && g.Verdict.Reboots {
			n += len(g.Servers)
		}
	}
	return n
}

// sentence says how much the change does.
func (d configPlanData) sentence() string {
	switch n := d.changing(); {
	case len(d.Users) == 0:
		return "No server uses it yet: it was tried on made-up ones, and Talos takes it."
	case n == 0:
		return "The machine config of no server changes."
	case d.rebooting() > 0:
		return "The machine configs of " + count(n, "server") + " change; " + count(d.rebooting(), "node") + " would reboot when it is applied."
	default:
		return "The machine configs of " + count(n, "server") + " change; no node would reboot when it is applied."
	}
}

// verb is what the button says.
func (d configPlanData) verb() string {
	switch {
	case d.Change.do == "publish":
		return "Publish the draft for " + count(d.changing(), "server")
	case d.Change.draft:
		return "Save the draft"
	case d.changing() == 0:
		return "Save it"
	}
	return "Save it for " + count(d.changing(), "server")
}

func groupTone(g manage.PlanGroup) tone {
	switch {
	case g.Verdict == nil:
		return ok
	case g.Verdict.Refused != "":
		return broken
	case g.Verdict.Reboots || g.Verdict.Pending:
		return attention
	}
	return ok
}

func groupEffect(g manage.PlanGroup) string {
	if g.Verdict == nil {
		return "They have no config that works so far."
	}
	return g.Verdict.Summary()
}

// lineOfDiff is a line of a diff as it is written for people.
type lineOfDiff struct{ Class, Text string }

// linesOfDiff are what differs, without the sentence at the end.
func linesOfDiff(g manage.PlanGroup) []lineOfDiff {
	text := diff.Text(g.Diff, g.Verdict)
	if g.Verdict != nil {
		text = strings.TrimSuffix(text, g.Verdict.Summary()+"\n")
	}
	var out []lineOfDiff
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		out = append(out, lineOfDiff{Class: classOf(line), Text: line})
	}
	return out
}

func classOf(line string) string {
	switch rest := strings.TrimLeft(line, " "); {
	case strings.HasPrefix(rest, "+"):
		return "added"
	case strings.HasPrefix(rest, "-"):
		return "removed"
	}
	return ""
}

func planNames(servers []manage.PlanServer) []string {
	names := make([]string, len(servers))
	for i, v := range servers {
		names[i] = v.Name
	}
	return names
}

// fewServers names a few, and how many more there are.
func fewServers(names []string) string {
	const few = 8
	if len(names) <= few+1 {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:few], ", ") + " and " + count(len(names)-few, "more server")
}

// tried names the server of the preview.
func (d configPlanData) tried() string {
	if d.Preview == nil {
		return ""
	}
	return cmp.Or(d.Preview.Server.Name, d.Server)
}

// layerPatch is the patch of this layer that set a line, "" for all else.
func (h configHead) layerPatch(by string) string {
	name, of := strings.CutPrefix(by, h.what()+`, patch "`)
	if !of {
		return ""
	}
	name = strings.TrimSuffix(name, `"`)
	if h.Layer.Patch(name) < 0 {
		return ""
	}
	return name
}

// origin is a line of a preview, and who set it.
type origin struct {
	Number int
	Text   string
	By     string // for people
	First  bool   // of the lines that one after the other are of the same patch
	Own    bool   // this layer set it
	Patch  string // of this layer
}

func (h configHead) origins(p *manage.Preview) []origin {
	var out []origin
	last := "-"
	for i, text := range strings.Split(strings.TrimSuffix(p.YAML, "\n"), "\n") {
		by := ""
		if i < len(p.Lines) {
			by = p.Lines[i]
		}
		own := strings.HasPrefix(by, h.what()+", patch ")
		out = append(out, origin{Number: i + 1, Text: text, By: cmp.Or(by, "Talos"), First: by != last, Own: own, Patch: h.layerPatch(by)})
		last = by
	}
	return out
}

// unused are patches of this layer that change nothing on a server.
func (h configHead) unused(p *manage.Preview) []string {
	var out []string
	for _, by := range p.Idle {
		if name, of := strings.CutPrefix(by, h.what()+`, patch "`); of {
			out = append(out, strings.TrimSuffix(name, `"`))
		}
	}
	return out
}

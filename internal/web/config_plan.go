package web

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// configPlanData is what a change does to servers, before it is saved.
type configPlanData struct {
	configHead
	Change  configChange
	Plan    manage.Plan
	Preview *manage.Preview // for the server that was chosen
	Server  string
	Patches []patchSides // that change, before and after
	Running *manage.Plan // compared with what the nodes run; nil: they were not asked
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
	if d.Patches, err = s.patchesBeside(ctx, c, contents); err != nil {
		return err
	}
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
	if r.PostFormValue("running") == "true" {
		p, err := s.Manager.Plan(ctx, change, manage.PlanOptions{Running: s.runningUntil(time.Now().Add(askingTakes))})
		if err != nil {
			return err
		}
		d.Running = &p
	}
	v := d.view(
		c.title(), configPlanPage(d),
		command{"Plan it", "", `POST /api/v1/plan {"layers": [{"scope": "` + string(d.Ref.Scope) + `", "owner": "` + d.Ref.Owner + `", "patches": []}]}`},
		command{"Compare it with what the nodes run", "plan --running", `POST /api/v1/plan {"running": true, "layers": [{"scope": "` + string(d.Ref.Scope) + `", "owner": "` + d.Ref.Owner + `", "patches": []}]}`},
	)
	v.address = d.at("")
	return s.show(w, r, http.StatusOK, v)
}

// patchesBeside are the patches that change, as they are and as they would be, without secrets.
func (s *site) patchesBeside(ctx context.Context, c configChange, contents fleet.Contents) ([]patchSides, error) {
	before, after := c.shown, contents.Clone()
	if c.do == "publish" || c.do == "revert" {
		l, _, err := s.Manager.Layer(ctx, c.ref)
		if err != nil {
			return nil, err
		}
		before = l.Contents
	}
	if _, err := s.Manager.Hide(ctx, &before, &after); err != nil {
		return nil, err
	}
	return changedPatches(before, after, c.patch, c.value("name")), nil
}

// askingTakes is how long a page may take to ask nodes what they run. Of thousands that do not answer, some are not asked.
const askingTakes = 30 * time.Second

// runningUntil asks nodes what they run, as long as there is time.
func (s *site) runningUntil(end time.Time) manage.Running {
	return func(ctx context.Context, v fleet.Server) ([]byte, error) {
		if time.Now().After(end) {
			return nil, fleet.Errorf(fleet.Unavailable, "after %s there was no time left to ask it", span(askingTakes)).WithHint("talos-manager plan SERVER --running asks fewer of them")
		}
		return s.Operations.RunningConfig(ctx, v)
	}
}

// nodes counts the servers of the plan that run as nodes, and can be asked.
func (d configPlanData) nodes() (n int) {
	count := func(all []manage.PlanServer) {
		for _, v := range all {
			if v.Node {
				n++
			}
		}
	}
	count(d.Plan.Unchanged)
	for _, g := range d.Plan.Groups {
		count(g.Servers)
	}
	return n
}

// answered says how many nodes told what they run.
func (d configPlanData) answered() string {
	silent := 0
	for _, g := range d.Running.Silent {
		silent += len(g.Servers)
	}
	if silent == 0 {
		return count(d.nodes(), "node") + " told what they run."
	}
	return strconv.Itoa(d.nodes()-silent) + " of " + count(d.nodes(), "node") + " told what they run; the others are compared with what the records gave them."
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

// shown is the plan as the page shows it: what could not be made before is not for this change to answer.
func (d configPlanData) shown() manage.Plan {
	p := d.Plan
	p.Broken = nil
	return p
}

// sentence says how much the change does.
func (d configPlanData) sentence() string {
	switch n := d.changing(); {
	case d.Users == 0:
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

// lines are those of a preview; the layer's own are marked.
func (h configHead) lines(p *manage.Preview) []configLine {
	var out []configLine
	for i, text := range strings.Split(strings.TrimSuffix(p.YAML, "\n"), "\n") {
		by := ""
		if i < len(p.Lines) {
			by = p.Lines[i]
		}
		l := configLine{Number: i + 1, Text: text, By: cmp.Or(by, "Talos"), Own: strings.HasPrefix(by, h.what()+", patch ")}
		if patch := h.layerPatch(by); patch != "" {
			l.Href = editAddress(h, patch, false)
		}
		out = append(out, l)
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

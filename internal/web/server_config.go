package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// serverConfigData is the machine config of a server: what it is made of, and who set what.
type serverConfigData struct {
	serverTop
	By      string // only the lines of this patch; "" for all
	Made    manage.Explained
	Problem notice // why it cannot be made; zero if it can
	Sources []configSource
	Own     fleet.Layer // of the server itself, without secrets
	Draft   fleet.Contents
	Blame   []manage.PatchBlame
	Running *runningConfig // nil: the node was not asked
}

// configSource is who set lines of a config.
type configSource struct {
	Name  string // as in the lines; "" is Talos
	Where string // address of what it comes from, "" for none
	Lines int
	Idle  bool
}

// Title is the source in words.
func (c configSource) Title() string { return sourceTitle(c.Name) }

func sourceTitle(name string) string {
	if name == "" {
		return "Talos’ defaults and the cluster’s secrets"
	}
	return name
}

// runningConfig is what the node runs, compared with what the records give it.
type runningConfig struct {
	Silent notice // why the node could not be asked; zero if it could
	Plan   manage.Plan
}

// serverConfig is the page of a server's machine config.
func (s *site) serverConfig(r *http.Request) (view, error) {
	ctx, q := r.Context(), r.URL.Query()
	top, err := s.serverTop(ctx, r.PathValue("ref"), "/config")
	if err != nil {
		return view{}, err
	}
	d := serverConfigData{serverTop: top, By: q.Get("by")}
	if err := s.ownLayer(ctx, &d); err != nil {
		return view{}, err
	}
	if top.Server.Assignment.Assigned() {
		if err := s.explainConfig(ctx, &d); err != nil {
			return view{}, err
		}
	}
	v := top.view()
	if d.By != "" {
		v.address += "?" + url.Values{"by": {d.By}}.Encode()
	}
	v.parts, v.wants = []part{top.part(), {id: "server-config", key: keyOf([]any{d.Made, d.Problem, d.By}), piece: configCard(d)}}, changeOf("servers", "clusters", "configs", "schematics")
	if q.Get("running") == "true" && top.Server.Assignment.Assigned() { // the node is asked for every look: it is not live
		if d.Running, err = s.compareRunning(ctx, top.Server); err != nil {
			return view{}, err
		}
		v.address, v.wants = top.href("/config?running=true"), nil
	}
	v.body = func([]fleet.LogLine) templ.Component { return serverConfigPage(d) }
	v.same = configCommands(top.Server)
	if len(d.Made.Lines) > 0 {
		v.sheet = func() (sheet, error) { return configSheet(d), nil }
	}
	return v, nil
}

// explainConfig makes the config. That it cannot be made is something to show, with what it is made of.
func (s *site) explainConfig(ctx context.Context, d *serverConfigData) (err error) {
	d.Made, err = s.Manager.Explain(ctx, d.Server)
	if err != nil {
		d.Problem = noticeOf(err)
		return ctx.Err()
	}
	d.Sources = sourcesOf(d.Made, d.Server.ID)
	return nil
}

// sourcesOf lists who set lines: Talos and this program first, then the patches in the order they are applied.
func sourcesOf(e manage.Explained, server string) []configSource {
	lines, first := map[string]int{}, []string{}
	for _, l := range e.Lines {
		if lines[l.By]++; lines[l.By] == 1 {
			first = append(first, l.By)
		}
	}
	patches := []configSource{}
	for _, p := range e.Patches {
		patches = append(patches, configSource{Name: p.Name, Where: patchAddress(p, server), Lines: lines[p.Name], Idle: p.Idle})
		first = slices.DeleteFunc(first, func(name string) bool { return name == p.Name })
	}
	slices.Sort(first) // "" comes first
	all := make([]configSource, 0, len(first)+len(patches))
	for _, name := range first {
		all = append(all, configSource{Name: name, Lines: lines[name]})
	}
	return append(all, patches...)
}

// patchAddress is where a patch is changed: that of the server itself on its own page, all others in the editor.
func patchAddress(p manage.ExplainedPatch, server string) string {
	of := p.Layer
	if of.Scope == fleet.ScopeServer {
		if p.Patch == fleet.PatchOwn {
			return "#own-patches"
		}
		of.Owner = server // names of servers need not be unique
	}
	return layerPage(of, "/edit", url.Values{"patch": {p.Patch}})
}

// lines are those of the source chosen, or all; what a patch set is marked.
func (d serverConfigData) lines() []configLine {
	where := map[string]string{}
	for _, source := range d.Sources {
		where[source.Name] = source.Where
	}
	var out []configLine
	for i, l := range d.Made.Lines {
		if d.By == "" || d.By == l.By {
			out = append(out, configLine{Number: i + 1, Text: l.Text, By: sourceTitle(l.By), Href: where[l.By], Own: l.By != ""})
		}
	}
	return out
}

// ownLayer reads the server's own patches and variables, and who brought each line.
func (s *site) ownLayer(ctx context.Context, d *serverConfigData) (err error) {
	ref := ownLayerOf(d.Server.ID)
	if d.Own, d.Draft, err = s.Manager.Layer(ctx, ref); err != nil {
		return err
	}
	if _, err = s.Manager.Hide(ctx, &d.Own.Contents, &d.Draft); err != nil {
		return err
	}
	d.Blame, err = s.Manager.Blame(ctx, ref)
	return err
}

func ownLayerOf(server string) manage.LayerRef {
	return manage.LayerRef{Scope: fleet.ScopeServer, Owner: server}
}

// compareRunning asks the node what it runs.
func (s *site) compareRunning(ctx context.Context, v fleet.Server) (*runningConfig, error) {
	p, err := s.Manager.Plan(ctx, manage.Change{}, manage.PlanOptions{Servers: []string{v.ID}, Running: s.Operations.RunningConfig})
	if err != nil {
		return &runningConfig{Silent: noticeOf(err)}, ctx.Err()
	}
	out := &runningConfig{Plan: p}
	for _, silent := range p.Silent {
		out.Silent = notice{Tone: attention, Text: "The node did not say what it runs: " + silent.Reason, Hint: silent.Hint}
	}
	return out, nil
}

// same says that the node runs what the records give it.
func (c runningConfig) same() bool {
	return c.Silent.Text == "" && len(c.Plan.Groups) == 0 && len(c.Plan.Broken) == 0
}

func configSheet(d serverConfigData) sheet {
	out := sheet{name: "machine-config-" + d.Server.ID, columns: []string{"line", "text", "set by"}}
	for i, l := range d.Made.Lines {
		out.rows = append(out.rows, []string{strconv.Itoa(i + 1), l.Text, sourceTitle(l.By)})
	}
	return out
}

// savesOf puts lines together that follow one another and came with one save.
func savesOf(lines []manage.BlameLine) []manage.BlameLine {
	var all []manage.BlameLine
	for _, line := range lines {
		if n := len(all); n > 0 && all[n-1].Revision == line.Revision {
			all[n-1].Text += "\n" + line.Text
			continue
		}
		all = append(all, line)
	}
	return all
}

// variables lists the names of own variables in order.
func (d serverConfigData) variables() []string {
	var all []string
	for name := range d.Own.Variables {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func saveOf(r *http.Request) manage.Save {
	return manage.Save{Why: strings.TrimSpace(r.PostFormValue("why")), Base: r.PostFormValue("base"), Draft: r.PostFormValue("draft") == "true"}
}

// editOwn changes the server's own layer, and says what was done.
func (s *site) editOwn(w http.ResponseWriter, r *http.Request, text string, edit func(ctx context.Context, actor string, ref manage.LayerRef) error) error {
	v, err := s.store.Server(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	if err := edit(r.Context(), access.Actor(r.Context()), ownLayerOf(v.ID)); err != nil {
		return s.again(w, r, s.serverConfig, err)
	}
	return s.done(w, r, "/servers/"+v.ID+"/config", text)
}

// patchServer changes the patch of the server that is named "own".
func (s *site) patchServer(w http.ResponseWriter, r *http.Request) error {
	how, text := saveOf(r), strings.ReplaceAll(r.PostFormValue("patch"), "\r\n", "\n")
	said := "Its patch is saved, and in effect in the records"
	if how.Draft {
		said = "Its patch is kept as a draft"
	}
	return s.editOwn(w, r, said, func(ctx context.Context, actor string, ref manage.LayerRef) error {
		_, err := s.Manager.EditLayer(ctx, actor, ref, how, func(c *fleet.Contents) error {
			c.SetText(fleet.PatchOwn, text)
			return nil
		})
		return err
	})
}

// setServerVariable sets a variable of the server.
func (s *site) setServerVariable(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimSpace(r.PostFormValue("name"))
	return s.editOwn(w, r, "Variable "+name+" is set", func(ctx context.Context, actor string, ref manage.LayerRef) error {
		_, err := s.Manager.SetVariable(ctx, actor, ref, name, r.PostFormValue("value"), saveOf(r))
		return err
	})
}

// unsetServerVariable takes a variable away from the server.
func (s *site) unsetServerVariable(w http.ResponseWriter, r *http.Request) error {
	name := r.PostFormValue("name")
	return s.editOwn(w, r, "Variable "+name+" is gone", func(ctx context.Context, actor string, ref manage.LayerRef) error {
		_, err := s.Manager.UnsetVariable(ctx, actor, ref, name, saveOf(r))
		return err
	})
}

// publishServerDraft makes the draft of the server's own layer effective.
func (s *site) publishServerDraft(w http.ResponseWriter, r *http.Request) error {
	return s.editOwn(w, r, "The draft is in effect in the records", func(ctx context.Context, actor string, ref manage.LayerRef) error {
		_, err := s.Manager.Publish(ctx, actor, ref, saveOf(r))
		return err
	})
}

// discardServerDraft throws the draft away.
func (s *site) discardServerDraft(w http.ResponseWriter, r *http.Request) error {
	return s.editOwn(w, r, "The draft was thrown away", func(ctx context.Context, actor string, ref manage.LayerRef) error {
		_, err := s.Manager.Discard(ctx, actor, ref, saveOf(r))
		return err
	})
}

// downloadMachineConfig hands out the config with its secrets; that is noted before.
func (s *site) downloadMachineConfig(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	v, err := s.store.Server(ctx, r.PathValue("ref"))
	if err != nil {
		return err
	}
	made, err := s.Manager.Renderer.MachineConfig(ctx, v)
	if err != nil {
		return s.again(w, r, s.serverConfig, err)
	}
	if err := manage.Audit(ctx, s.store, access.Actor(ctx), "server.machine-config", "server", v.ID, "machine config of "+v.Name+" shown with secrets"); err != nil {
		return err
	}
	download(w, "text/yaml; charset=utf-8", "machine-config-"+v.ID+".yaml", made.YAML)
	return nil
}

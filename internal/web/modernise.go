package web

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/modernise"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// moderniseData is the page that rewrites patches: what could be, and one patch or text with what it would become.
type moderniseData struct {
	Old        []oldPatch
	Alone      bool // patches of single servers are listed too
	Layer      string
	Patch      string
	Version    string
	All        bool
	Versions   []option
	Schematics []option
	Rewriting  *modernised
}

// oldPatch is a patch in the list.
type oldPatch struct {
	Layer, In  string // as in addresses, in words
	Patch      string
	Version    string
	Off        bool
	Deprecated bool
	Problem    string
}

// modernised is an old text beside a new one. That of a layer holds no secrets; a pasted one is as it was given.
type modernised struct {
	Result     modernise.Result
	Old, New   string
	Version    string
	Lines      []sideLine
	In         string // layer and patch in words; "" for pasted text
	Plan       *manage.Plan
	Patches    []string // that the old one becomes
	Schematics []string
	Base       string
}

// moderniseForm and pasteForm name the forms: for the patch of a layer, and for any text.
const (
	moderniseForm = "modernise"
	pasteForm     = "paste"
)

// modernise is the page: all that is old, or one patch of a layer.
func (s *site) modernise(r *http.Request) (view, error) {
	d, err := s.moderniseData(r)
	if err != nil {
		return view{}, err
	}
	if d.Layer != "" {
		if d.Rewriting, err = s.rewriting(r.Context(), d); err != nil {
			return view{}, err
		}
	} else if d.Old, err = s.oldPatches(r.Context(), d); err != nil {
		return view{}, err
	}
	return s.moderniseView(d), nil
}

func (s *site) moderniseView(d moderniseData) view {
	v := view{
		title: "Modernise", section: "/configs", crumbs: []crumb{{"Configs", "/configs"}}, address: d.address(), wants: changeOf(),
		body: func([]fleet.LogLine) templ.Component { return modernisePage(d) },
		same: []command{{
			What: "Rewrite a file, without a manager", CLI: "config modernise FILE --talos-version " + cmp.Or(d.Version, machineconfig.NewestTalos()),
			API: "POST /api/v1/modernise " + jsonOf(map[string]any{"text": "machine: {}", "talosVersion": cmp.Or(d.Version, machineconfig.NewestTalos())}),
		}},
	}
	if d.Layer != "" {
		v.title, v.crumbs = d.Patch, append(v.crumbs, crumb{"Modernise", "/modernise"})
		v.same = d.commands()
		return v
	}
	if d.Rewriting == nil {
		v.parts, v.wants = []part{partOf("modernise-list", d, moderniseList)}, changeOf("clusters", "configs")
		v.sheet = func() (sheet, error) { return d.sheet(), nil }
	}
	return v
}

func (d *moderniseData) address() string {
	q := url.Values{}
	if d.Alone {
		q.Set("servers", "true")
	}
	if d.Version != "" {
		q.Set("version", d.Version)
	}
	if d.Layer != "" {
		q.Set("layer", d.Layer)
		q.Set("patch", d.Patch)
		if d.All {
			q.Set("all", "true")
		}
	}
	if len(q) == 0 {
		return "/modernise"
	}
	return "/modernise?" + q.Encode()
}

// commands are what does the same for the patch of a layer.
func (d *moderniseData) commands() []command {
	l, err := readLayer(d.Layer)
	if err != nil {
		return nil
	}
	cli, body := "patch modernise "+shellWord(d.Layer)+" "+shellWord(d.Patch), map[string]any{}
	if d.Version != "" {
		cli += " --talos-version " + shellWord(d.Version)
		body["talosVersion"] = d.Version
	}
	if d.All {
		cli += " --all"
		body["all"] = true
	}
	path, query := layerAPI(l)
	path = "POST " + path + "/patches/" + url.PathEscape(d.Patch) + "/modernise" + query + " "
	apply := path + jsonOf(body)
	body["dryRun"] = true
	return []command{
		{What: "Only look", CLI: cli + " --dry-run", API: path + jsonOf(body)},
		{What: "Rewrite it", CLI: cli, API: apply},
	}
}

func (d *moderniseData) sheet() sheet {
	out := sheet{name: "old-patches", columns: []string{"layer", "patch", "talos", "what can be done", "off", "problem"}}
	for _, p := range d.Old {
		out.rows = append(out.rows, []string{p.Layer, p.Patch, p.Version, p.status().Word, yesNo(p.Off), p.Problem})
	}
	return out
}

func (s *site) moderniseData(r *http.Request) (d moderniseData, err error) {
	ctx := r.Context()
	value := func(name string) string { return r.FormValue(name) }
	d = moderniseData{Layer: value("layer"), Patch: value("patch"), Version: value("version"), All: value("all") == "true", Alone: value("servers") == "true"}
	if d.Versions, err = s.talosVersions(ctx, option{"", "That of its clusters"}); err != nil {
		return d, err
	}
	d.Schematics, err = s.schematicOptions(ctx, option{"", "None"})
	return d, err
}

func (s *site) oldPatches(ctx context.Context, d moderniseData) ([]oldPatch, error) {
	all, err := s.Manager.OldPatches(ctx, d.Version, d.Alone)
	var out []oldPatch
	for _, p := range all {
		out = append(out, oldPatch{Layer: writeLayer(p.Layer), In: sayLayer(p.Layer), Patch: p.Patch, Version: p.TalosVersion, Off: p.Off, Deprecated: p.Deprecated, Problem: p.Problem})
	}
	return out, err
}

// status says what can be done for a patch of the list.
func (p oldPatch) status() status {
	switch {
	case p.Problem != "":
		return status{attention, "Cannot be read", p.Problem}
	case p.Deprecated:
		return status{"", "Deprecated form", "Talos " + p.Version + " takes it as it is"}
	}
	return status{attention, "There is a newer form", "Talos " + p.Version + " does not take it as it is"}
}

// to is where a patch of the list is rewritten.
func (p oldPatch) to() string {
	d := moderniseData{Layer: p.Layer, Patch: p.Patch, Version: p.Version, All: p.Deprecated}
	return d.address()
}

// rewriting tries the patch of a layer.
func (s *site) rewriting(ctx context.Context, d moderniseData) (*modernised, error) {
	ref, err := readLayer(d.Layer)
	if err != nil {
		return nil, err
	}
	l, _, err := s.Manager.Layer(ctx, ref)
	if err != nil {
		return nil, err
	}
	made, err := s.Manager.Modernise(ctx, access.Actor(ctx), ref, d.Patch, manage.Modernising{TalosVersion: d.Version, All: d.All, DryRun: true}, manage.Save{})
	if err != nil {
		return nil, err
	}
	shown := l.Clone()
	if _, err := s.Manager.Hide(ctx, &shown); err != nil {
		return nil, err
	}
	out := rewritten(shown.Text(d.Patch), made.TalosVersion, &made.Result)
	out.In, out.Plan, out.Patches, out.Schematics, out.Base = "Patch "+d.Patch+" of "+sayLayer(ref), &made.Plan, made.Patches, made.Schematics, l.Revision
	return out, nil
}

// rewritten puts an old text and what it became side by side.
func rewritten(old, version string, made *modernise.Result) *modernised {
	out := &modernised{Result: *made, Version: version, Old: old, New: made.Text}
	if strings.TrimSpace(made.ControlPlane) != "" {
		if strings.TrimSpace(made.Text) != "" {
			out.New = strings.TrimRight(made.Text, "\n") + "\n---\n"
		}
		out.New += "# For control planes only: a patch of its own.\n" + strings.TrimPrefix(made.ControlPlane, "---\n")
	}
	out.Lines = sideBySide(out.Old, out.New)
	return out
}

// moderniseText rewrites a text that was pasted. Nothing is kept.
func (s *site) moderniseText(w http.ResponseWriter, r *http.Request) error {
	text := strings.ReplaceAll(r.PostFormValue("text"), "\r\n", "\n")
	version := cmp.Or(r.PostFormValue("version"), machineconfig.NewestTalos())
	made, err := manage.Modern(text, version, modernise.Options{Role: fleet.Role(r.PostFormValue("role")), All: r.PostFormValue("all") == "true"})
	if err == nil && strings.TrimSpace(text) == "" {
		err = fleet.Errorf(fleet.Invalid, "there is no text to rewrite").WithHint("paste a patch, or choose one of the list")
	}
	if err != nil {
		return s.again(w, r, s.modernise, err)
	}
	r = r.WithContext(withTyped(r.Context(), r.PostForm))
	d, err := s.moderniseData(r)
	if err != nil {
		return err
	}
	d.Rewriting, d.Version = rewritten(text, version, made), ""
	return s.show(w, r, http.StatusOK, s.moderniseView(d))
}

// modernisePatch puts the new form of a patch in the place of the old one.
func (s *site) modernisePatch(w http.ResponseWriter, r *http.Request) error {
	ctx, value := r.Context(), func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	ref, err := readLayer(value("layer"))
	if err != nil {
		return err
	}
	how := manage.Modernising{TalosVersion: value("version"), All: value("all") == "true", Schematic: value("schematic")}
	save := manage.Save{Why: value("why"), Base: value("base"), Draft: value("draft") == "true"}
	made, err := s.Manager.Modernise(ctx, access.Actor(ctx), ref, value("patch"), how, save)
	if err != nil {
		return s.again(w, r, s.modernise, err)
	}
	return s.done(w, r, layerPage(ref, "", nil), saidOfModernising(value("patch"), ref, made, save.Draft))
}

func saidOfModernising(patch string, ref manage.LayerRef, made manage.Modernised, draft bool) string {
	text := "Patch " + patch + " of " + sayLayer(ref)
	switch {
	case !made.Saved:
		return text + " stays: there is nothing to do for Talos " + made.TalosVersion
	case draft:
		text += ": its new form is kept as a draft"
	case len(made.Patches) == 0:
		text += " is gone: nothing was left in it"
	default:
		text += " has its new form for Talos " + made.TalosVersion
	}
	if made.Schematic != nil {
		text += "; added to schematic " + made.Schematic.Name
	}
	return text
}

// proofStatus says what the proof found.
func proofStatus(w *modernised) status {
	p := w.Result.Proof
	switch p.Verdict {
	case modernise.Equal:
		return status{ok, "Proven equal", "Nodes do the same with both."}
	case modernise.EqualOlder:
		return status{ok, "Proven equal", "Nodes with " + w.Version + " do with the new one what Talos " + p.Against + " did with the old one, which " + w.Version + " refuses."}
	case modernise.Differs:
		return status{attention, "Differs", "Nodes would do something else in " + count(len(p.Differences), "place") + ": see below."}
	case modernise.Unproven:
		return status{attention, "Not proven", "No Talos version takes the old one, so there is nothing to compare with: " + p.Problem}
	}
	return status{broken, "Refused", "Talos " + w.Version + " refuses the new one: " + p.Problem}
}

// mayApply says whether the new form may be saved: at once, or as a draft.
func (w *modernised) mayApply() (now, draft bool) {
	if !w.Result.Changed || w.Result.Proof.Verdict == modernise.Refused {
		return false, false
	}
	proven := w.Result.Proof.Verdict == modernise.Equal || w.Result.Proof.Verdict == modernise.EqualOlder
	return proven && w.Plan != nil && len(w.Plan.Broken) == 0, true
}

// atLine says where in the old text something stands.
func atLine(line int, path string) string {
	if line == 0 {
		return path
	}
	return strings.TrimSpace("line " + strconv.Itoa(line) + " " + path)
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

// noteStatus says how much a note matters.
func noteStatus(kind modernise.NoteKind) status {
	switch kind {
	case modernise.ByHand:
		return status{attention, "To do by hand", ""}
	case modernise.ToSchematic:
		return status{attention, "Into the schematic", ""}
	}
	return status{"", "Hint", ""}
}

package web

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// configEditData is the page that a patch is written on.
type configEditData struct {
	configHead
	New       bool
	OfDraft   bool
	Patch     fleet.Patch // without secrets, unless somebody asked for them
	Hidden    bool        // secrets were taken out of this one
	Shown     bool        // it is shown with its secrets
	Server    string      // name of the one whose values are shown; "" for none
	Variables []manage.VariableValue
	Line      int // that a refusal led to; 0: none
}

type secretsKey struct{}

// configEdit is the page that a patch is written on: a new one, or one of what is in effect or of the draft.
func (s *site) configEdit(r *http.Request) (view, error) {
	ctx := r.Context()
	h, err := s.layer(ctx, layerRef(r), "/edit")
	if err != nil {
		return view{}, err
	}
	d := configEditData{configHead: h, OfDraft: r.FormValue("of") == "draft"}
	name := r.FormValue("patch")
	if d.New = name == ""; !d.New {
		if err := s.editedPatch(ctx, &d, name); err != nil {
			return view{}, err
		}
	}
	s.exampleValues(ctx, &d)
	d.Line, _ = strconv.Atoi(r.FormValue("line"))
	v := h.view(cmp.Or(d.Patch.Name, "New patch"), configEditPage(d), patchCommands(d)...)
	v.address = editAddress(h, d.Patch.Name, d.OfDraft)
	if d.New {
		v.address = h.at("/edit")
	}
	v.scripts, v.edits = []string{"editor.min.js"}, d.edited(ctx)
	return v, nil
}

// editedPatch finds the patch that is edited.
func (s *site) editedPatch(ctx context.Context, d *configEditData, name string) error {
	c := d.contents(d.OfDraft)
	i := c.Patch(name)
	if i < 0 {
		return fleet.Errorf(fleet.NotFound, "%s has no patch %s", d.what(), name).WithHint("it may have been renamed or removed; its page lists those that there are")
	}
	d.Patch = c.Patches[i]
	whole, err := s.Manager.Edited(ctx, d.Ref, d.OfDraft, func(*fleet.Contents) error { return nil })
	if err != nil {
		return err
	}
	secret := whole.Text(name) != d.Patch.Text
	if asked, _ := ctx.Value(secretsKey{}).(bool); asked {
		d.Patch.Text, d.Shown = whole.Text(name), secret
		return nil
	}
	d.Hidden = secret
	return nil
}

// exampleValues shows what variables stand for on one of the servers. Where they cannot be told, the page does without.
func (s *site) exampleValues(ctx context.Context, d *configEditData) {
	const few = 3 // tries
	for _, v := range d.Some[:min(len(d.Some), few)] {
		values, err := s.Manager.Variables(ctx, v.Value)
		if err == nil {
			d.Server, d.Variables = v.Name, values
			return
		}
	}
}

func patchCommands(d configEditData) []command {
	if d.New {
		return []command{{"Add a patch", "patch add " + d.cli() + " NAME @FILE --dry-run", "POST " + d.api("/patches") + ` {"patch": {"name": "NAME", "text": "…"}}`}}
	}
	name := d.Patch.Name
	return []command{
		{"Say what a change would do", "patch update " + d.cli() + " " + name + " @FILE --dry-run", `POST /api/v1/plan {"layers": [{"scope": "` + string(d.Ref.Scope) + `", "owner": "` + d.Ref.Owner + `", "patches": []}]}`},
		{"Change it", "patch update " + d.cli() + " " + name + " @FILE", "PATCH " + d.api("/patches/"+name) + ` {"text": "…", "why": "…"}`},
		{"Say what Talos would refuse of it", "", `POST /api/v1/lint {"text": "…", "talosVersion": "` + d.Versions[0] + `"}`},
	}
}

// showSecrets shows the editor with the secrets of the patch, which is noted in the events first.
func (s *site) showSecrets(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	ref := layerRef(r)
	c, err := s.Manager.Edited(ctx, ref, r.PostFormValue("of") == "draft", func(*fleet.Contents) error { return nil })
	if err != nil {
		return err
	}
	if _, err := s.Manager.Show(ctx, access.Actor(ctx), ref, true, &c); err != nil {
		return err
	}
	r = r.WithContext(context.WithValue(ctx, secretsKey{}, true))
	v, err := s.configEdit(r)
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, v)
}

// editAgain goes back from the plan to the editor, with what was typed.
func (s *site) editAgain(w http.ResponseWriter, r *http.Request) error {
	load := s.pageOf(r.PostFormValue("do"))
	r = r.WithContext(withTyped(r.Context(), r.PostForm))
	v, err := load(r)
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, v)
}

// refusedLine is a line that a refusal names, or one around it.
type refusedLine struct {
	Number int
	Text   string
	Here   bool
}

// line is the one that the page's notice names of what was typed, or that a refusal elsewhere led to; 0 for none.
func (d configEditData) line(ctx context.Context) int {
	if !refused(ctx, "patch") {
		return d.Line
	}
	n, _ := noticeFrom(ctx)
	edited := d.edited(ctx)
	for _, p := range placesIn(n.Text) {
		if p.isOf(edited.Layer, edited.Name) {
			return p.Line
		}
	}
	return 0
}

// edited is the patch that the page is the editor of, as errors name it.
func (d configEditData) edited(ctx context.Context) editedPatch {
	return d.patchOf(typed(ctx, "patch", "name", d.Patch.Name))
}

// linesAround are some lines of a text; none if it has no such line.
func linesAround(text string, at int) []refusedLine {
	const around = 2
	if at == 0 {
		return nil
	}
	lines := strings.Split(plainText(text), "\n")
	var out []refusedLine
	for i := max(1, at-around); i <= min(len(lines), at+around); i++ {
		out = append(out, refusedLine{Number: i, Text: lines[i-1], Here: i == at})
	}
	return out
}

// plainText is a text as it was before a form sent it.
func plainText(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }

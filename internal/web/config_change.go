package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// configChange is what somebody wants to change of a layer, as a form says it. Every change is planned by /plan, which
// shows what it does to servers and sends the same form on to /save.
type configChange struct {
	ref   manage.LayerRef
	do    string // patch, add, move, switch, remove, variable, unset, settings, publish or revert
	patch string // that it is about
	draft bool   // of the draft
	form  url.Values
	shown fleet.Contents // as the page showed it
}

// changeFrom reads a change from a form.
func (s *site) changeFrom(r *http.Request) (configChange, error) {
	c := configChange{ref: layerRef(r), do: r.PostFormValue("do"), patch: r.PostFormValue("patch"), draft: r.PostFormValue("of") == "draft", form: r.PostForm}
	var err error
	if c.shown, err = s.Manager.Edited(r.Context(), c.ref, c.draft, func(*fleet.Contents) error { return nil }); err != nil {
		return c, err
	}
	_, err = s.Manager.Hide(r.Context(), &c.shown)
	return c, err
}

func (c configChange) value(name string) string { return strings.TrimSpace(c.form.Get(name)) }

// text is what was typed as a text of several lines.
func (c configChange) text(name string) string { return plainText(c.form.Get(name)) }

// title says in a few words what is changed.
func (c configChange) title() string {
	switch c.do {
	case "add":
		return "Add patch " + c.value("name")
	case "move":
		return "Move patch " + c.patch
	case "switch":
		return "Switch patch " + c.patch + " " + c.value("value")
	case "remove":
		return "Remove patch " + c.patch
	case "variable":
		return "Set variable " + c.value("name")
	case "unset":
		return "Take variable " + c.value("name") + " away"
	case "settings":
		return "Change the settings"
	case "publish":
		return "Publish the draft"
	case "revert":
		return "Go back to revision " + short(c.value("revision"))
	}
	return "Change patch " + c.patch
}

// edit is the change as manage makes it; nil for those that replace all of a layer.
func (c configChange) edit() (manage.Edit, error) {
	switch c.do {
	case "add":
		p := fleet.Patch{}
		c.fill(&p)
		return manage.Adding(p, -1), nil
	case "patch":
		return manage.Changing(c.ref, c.patch, c.fill), nil
	case "move":
		place, err := strconv.Atoi(c.value("value"))
		if err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "patch %s: %q is no place", c.patch, c.value("value"))
		}
		return manage.Moving(c.ref, c.patch, place), nil
	case "switch":
		return manage.Changing(c.ref, c.patch, func(p *fleet.Patch) { p.Off = c.value("value") == "off" }), nil
	case "remove":
		return manage.Removing(c.ref, c.patch), nil
	case "variable":
		return c.setVariable(), nil
	case "unset":
		return manage.Unsetting(c.ref, c.value("name")), nil
	case "settings":
		return func(to *fleet.Contents) error {
			to.InstallImage, to.KubernetesVersion, to.KubeSpan = c.value("installImage"), c.value("kubernetes"), c.value("kubespan") == "true"
			return nil
		}, nil
	}
	return nil, fleet.Errorf(fleet.Invalid, "there is no change %q of a layer", c.do)
}

// fill writes what the editor's form says into a patch. A text that is as it was shown keeps its secrets.
func (c configChange) fill(p *fleet.Patch) {
	p.Name, p.Role, p.Architecture = c.value("name"), fleet.Role(c.value("role")), fleet.Architecture(c.value("architecture"))
	p.Provider, p.Off = fleet.Provider(c.value("provider")), c.value("off") == "true"
	text := c.text("text")
	if i := c.shown.Patch(c.patch); c.do == "patch" && i >= 0 && c.shown.Patches[i].Text == text {
		return
	}
	p.Text = text
}

// setVariable sets a variable; one that is as it was shown keeps its secret.
func (c configChange) setVariable() manage.Edit {
	name, value := c.value("name"), c.text("value")
	if was, there := c.shown.Variables[name]; there && was == value {
		return func(*fleet.Contents) error { return nil }
	}
	return manage.Setting(name, value)
}

// contents are those of the layer after the change.
func (s *site) contentsAfter(ctx context.Context, c configChange) (fleet.Contents, error) {
	switch c.do {
	case "publish":
		contents, _, err := s.Manager.Revision(ctx, c.ref, manage.RevisionDraft)
		return contents, err
	case "revert":
		contents, _, err := s.Manager.Revision(ctx, c.ref, c.value("revision"))
		return contents, err
	}
	edit, err := c.edit()
	if err != nil {
		return fleet.Contents{}, err
	}
	return s.Manager.Edited(ctx, c.ref, c.draft, edit)
}

// write saves the change, or keeps it as a draft.
func (s *site) write(ctx context.Context, c configChange, draft bool) error {
	actor, how := access.Actor(ctx), manage.Save{Why: c.value("why"), Base: c.value("base"), Draft: draft}
	var err error
	switch c.do {
	case "publish":
		_, err = s.Manager.Publish(ctx, actor, c.ref, how)
		return err
	case "revert":
		_, err = s.Manager.Revert(ctx, actor, c.ref, c.value("revision"), how)
		return err
	}
	edit, err := c.edit()
	if err != nil {
		return err
	}
	_, err = s.Manager.EditLayer(ctx, actor, c.ref, how, edit)
	return err
}

// pageOf is the page that a change is made on: it is shown again when the change is refused.
func (s *site) pageOf(do string) loader {
	switch do {
	case "add", "patch":
		return s.configEdit
	case "variable", "unset":
		return s.configVariables
	case "settings":
		return s.configSettings
	case "revert":
		return s.configHistory
	}
	return s.configPatches
}

// saveConfig makes a change effective. Of a draft, it is the draft that is saved.
func (s *site) saveConfig(w http.ResponseWriter, r *http.Request) error {
	return s.saved(w, r, r.PostFormValue("of") == "draft" && r.PostFormValue("do") != "publish")
}

// draftConfig keeps a change beside what is in effect.
func (s *site) draftConfig(w http.ResponseWriter, r *http.Request) error {
	return s.saved(w, r, true)
}

func (s *site) saved(w http.ResponseWriter, r *http.Request, draft bool) error {
	c, err := s.changeFrom(r)
	if err != nil {
		return err
	}
	if err := s.write(r.Context(), c, draft); err != nil {
		return s.again(w, r, s.pageOf(c.do), err)
	}
	to := layerPage(c.ref, "", nil)
	if c.do == "variable" || c.do == "unset" {
		to = layerPage(c.ref, "/variables", nil)
	}
	said := "Saved: " + c.title()
	if draft {
		said = "Kept as a draft, in effect nowhere until it is published: " + c.title()
	}
	return s.done(w, r, to, said)
}

// discardConfig throws the draft away.
func (s *site) discardConfig(w http.ResponseWriter, r *http.Request) error {
	ref := layerRef(r)
	how := manage.Save{Why: strings.TrimSpace(r.PostFormValue("why")), Base: r.PostFormValue("base")}
	if _, err := s.Manager.Discard(r.Context(), access.Actor(r.Context()), ref, how); err != nil {
		return s.again(w, r, s.configPatches, err)
	}
	return s.done(w, r, layerPage(ref, "", nil), "The draft was thrown away; the history has it")
}

// rebaseConfig keeps a draft on what is in effect now: somebody has looked at what was changed since it was made.
func (s *site) rebaseConfig(w http.ResponseWriter, r *http.Request) error {
	ctx, ref := r.Context(), layerRef(r)
	l, _, err := s.Manager.Layer(ctx, ref)
	if err != nil {
		return err
	}
	if l.Draft != r.PostFormValue("base") {
		return s.again(w, r, s.configPatches, fleet.Errorf(fleet.Conflict, "the draft was changed by somebody else meanwhile").WithHint("look at it again"))
	}
	how := manage.Save{Draft: true, Base: l.Revision, Why: "made on what is in effect now"}
	if _, err := s.Manager.EditLayer(ctx, access.Actor(ctx), ref, how, func(*fleet.Contents) error { return nil }); err != nil {
		return s.again(w, r, s.configPatches, err)
	}
	return s.done(w, r, layerPage(ref, "", nil), "The draft is made on what is in effect now: publish it when it is right")
}

// hidden are the fields of the change for another form, but those that the form has itself.
func (c configChange) hidden(but ...string) []option {
	var all []option
	for name, values := range c.form {
		if !slices.Contains(but, name) && len(values) > 0 {
			all = append(all, option{name, values[0]})
		}
	}
	slices.SortFunc(all, func(a, b option) int { return strings.Compare(a.Value, b.Value) })
	return all
}

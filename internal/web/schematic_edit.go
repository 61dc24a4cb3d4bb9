package web

import (
	"cmp"
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

// schematicForm names the form of a schematic.
const schematicForm = "schematic"

// schematicEdit is the page on which a schematic is made or changed.
type schematicEdit struct {
	ID, Name   string // "" for a new one
	Based      string // what the factory calls it now
	Parts      fleet.Customization
	YAML       string
	AsYAML     bool
	Search     string
	Version    string // of the list
	Versions   []option
	Extensions []offeredExtension
	Overlays   []option
	Silent     string // why there is no list
}

// offeredExtension is one that the factory has, or that is chosen although it has not.
type offeredExtension struct {
	Name, Tag, About      string
	Chosen, Shown, Absent bool
}

// newSchematic is the page that makes one.
func (s *site) newSchematic(r *http.Request) (view, error) {
	d := schematicEdit{}
	if err := s.schematicOffers(r, &d); err != nil {
		return view{}, err
	}
	return s.schematicEditView(d), nil
}

// editedSchematic is the page that changes one.
func (s *site) editedSchematic(r *http.Request) (view, error) {
	v, err := s.store.Schematic(r.Context(), r.PathValue("ref"))
	if err != nil {
		return view{}, err
	}
	d := schematicEdit{ID: v.ID, Name: v.Name, YAML: v.YAML}
	if id, err := s.Manager.Factory.SchematicID(v.YAML); err == nil {
		d.Based = id
	}
	if d.Parts, err = s.Manager.Customization(v); err != nil {
		d.AsYAML = true // by parts it cannot be shown
	}
	if err := s.schematicOffers(r, &d); err != nil {
		return view{}, err
	}
	return s.schematicEditView(d), nil
}

func (s *site) schematicEditView(d schematicEdit) view {
	v := view{
		title: "Create a schematic", section: "/configs", crumbs: []crumb{{"Configs", "/configs"}, {"Schematics", "/schematics"}}, address: "/schematics/new",
		body: func([]fleet.LogLine) templ.Component { return schematicEditPage(d) }, scripts: []string{"gallery.js"}, wants: changeOf(),
		same: []command{
			{What: "Create it", CLI: "schematic create NAME --extension EXTENSION --kernel-arg ARGUMENT", API: `POST /api/v1/schematics {"name":"NAME","parts":{"extensions":["EXTENSION"]}}`},
			{What: "Search the extensions", CLI: "schematic extensions --search TEXT", API: "GET /api/v1/factory/extensions?search=TEXT"},
			{What: "List the overlays", CLI: "schematic overlays", API: "GET /api/v1/factory/overlays"},
		},
	}
	if d.ID != "" {
		v.title, v.address = "Change "+d.Name, d.action()+"/edit"
		v.crumbs = append(v.crumbs, crumb{d.Name, d.action()})
		v.same[0] = command{What: "Change it", CLI: "schematic update " + shellWord(d.Name) + " --extension EXTENSION --remove-extension OTHER", API: "PUT /api/v1" + d.action() + ` {"parts":{"extensions":["EXTENSION"]}}`}
	}
	if d.AsYAML {
		v.address += "?as=yaml"
	}
	return v
}

// action is where the form is sent.
func (d *schematicEdit) action() string {
	if d.ID == "" {
		return "/schematics"
	}
	return "/schematics/" + d.ID
}

// page is where the form is; asYAML is its other form.
func (d *schematicEdit) page(asYAML bool) string {
	to := "/schematics/new"
	if d.ID != "" {
		to = d.action() + "/edit"
	}
	if asYAML {
		to += "?as=yaml"
	}
	return to
}

// schematicOffers reads what there is to choose from, and what is chosen: what was typed, or what it has.
func (s *site) schematicOffers(r *http.Request, d *schematicEdit) (err error) {
	ctx := r.Context()
	if d.Versions, err = s.talosVersions(ctx); err != nil {
		return err
	}
	d.AsYAML = d.AsYAML || typed(ctx, schematicForm, "as", r.URL.Query().Get("as")) == "yaml"
	d.Search = typed(ctx, schematicForm, "search", r.URL.Query().Get("search"))
	d.Version = cmp.Or(typed(ctx, schematicForm, "version", r.URL.Query().Get("version")), d.Versions[0].Value)
	asking, cancel := context.WithTimeout(ctx, factoryPatience)
	defer cancel()
	s.offerExtensions(asking, d, typedAll(ctx, schematicForm, "extension", d.Parts.Extensions))
	s.offerOverlays(asking, d, typed(ctx, schematicForm, "overlay", d.Parts.Overlay.Name))
	return nil
}

// offerExtensions lists what the factory has, and what is chosen although it has not; what is chosen comes first.
func (s *site) offerExtensions(ctx context.Context, d *schematicEdit, chosen []string) {
	_, all, err := s.Manager.Extensions(ctx, d.Version, "")
	if err != nil {
		d.Silent = byForm.Error(err).Error()
	}
	known := map[string]bool{}
	for _, e := range all {
		known[e.Name] = true
		_, tag, _ := strings.Cut(e.Ref[strings.LastIndex(e.Ref, "/")+1:], ":")
		d.offer(offeredExtension{Name: e.Name, Tag: tag, About: oneLine(e.Description), Chosen: slices.Contains(chosen, e.Name)})
	}
	for _, name := range chosen {
		if !known[name] {
			known[name] = true
			d.offer(offeredExtension{Name: name, Chosen: true, Absent: err == nil})
		}
	}
	slices.SortStableFunc(d.Extensions, func(a, b offeredExtension) int { return strings.Compare(yesNo(b.Chosen), yesNo(a.Chosen)) })
}

func (s *site) offerOverlays(ctx context.Context, d *schematicEdit, chosen string) {
	d.Overlays = []option{{"", "None"}}
	_, all, err := s.Manager.Overlays(ctx, d.Version, "")
	if err != nil && d.Silent == "" {
		d.Silent = byForm.Error(err).Error()
	}
	for _, o := range all {
		d.Overlays = append(d.Overlays, option{o.Name, o.Name})
	}
	if !slices.ContainsFunc(d.Overlays, func(o option) bool { return o.Value == chosen }) {
		d.Overlays = append(d.Overlays, option{chosen, chosen})
	}
}

// offer adds an extension to the list. All are in the page, so that none that is chosen is lost by a search.
func (d *schematicEdit) offer(e offeredExtension) {
	e.Shown = e.Chosen || matches(d.Search, e.Name+" "+e.About)
	d.Extensions = append(d.Extensions, e)
}

// matches says whether a text has all words of a search, in any case.
func matches(search, text string) bool {
	text = strings.ToLower(text)
	for word := range strings.FieldsSeq(strings.ToLower(search)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// none says that a search finds nothing.
func (d schematicEdit) none() bool {
	return !slices.ContainsFunc(d.Extensions, func(e offeredExtension) bool { return e.Shown })
}

// typedAll is typed for a field that can be sent several times.
func typedAll(ctx context.Context, form, field string, standing []string) []string {
	if !refused(ctx, form) {
		return standing
	}
	values, _ := ctx.Value(typedKey{}).(url.Values)
	return slices.Concat(values[field], wordsOf(values.Get("otherExtensions")))
}

// wordsOf splits at white space and commas.
func wordsOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n,", r) })
}

// createSchematic keeps a new schematic.
func (s *site) createSchematic(w http.ResponseWriter, r *http.Request) error {
	if r.PostFormValue("do") == "filter" {
		return s.showTyped(w, r, s.newSchematic)
	}
	edit, err := schematicEditOf(r.PostForm, fleet.Customization{})
	if err != nil {
		return s.again(w, r, s.newSchematic, err)
	}
	v, err := s.Manager.CreateSchematic(r.Context(), access.Actor(r.Context()), edit)
	if err != nil {
		return s.again(w, r, s.newSchematic, err)
	}
	return s.done(w, r, "/schematics/"+v.ID, "Created schematic "+v.Name)
}

// updateSchematic changes a schematic.
func (s *site) updateSchematic(w http.ResponseWriter, r *http.Request) error {
	if r.PostFormValue("do") == "filter" {
		return s.showTyped(w, r, s.editedSchematic)
	}
	v, err := s.store.Schematic(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	standing, err := s.Manager.Customization(v)
	if err != nil && r.PostFormValue("as") != "yaml" {
		return s.again(w, r, s.editedSchematic, err)
	}
	edit, err := schematicEditOf(r.PostForm, standing)
	if err != nil {
		return s.again(w, r, s.editedSchematic, err)
	}
	if v, err = s.Manager.UpdateSchematic(r.Context(), access.Actor(r.Context()), v.ID, edit); err != nil {
		return s.again(w, r, s.editedSchematic, err)
	}
	return s.done(w, r, "/schematics/"+v.ID, "Changed schematic "+v.Name+": machines get it with their next install or upgrade")
}

// showTyped shows a page once more with what was typed; nothing was done.
func (s *site) showTyped(w http.ResponseWriter, r *http.Request, load loader) error {
	r = r.WithContext(withTyped(r.Context(), r.PostForm))
	v, err := load(r)
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, v)
}

// schematicEditOf reads the form. What it does not show of a schematic stays.
func schematicEditOf(form url.Values, standing fleet.Customization) (manage.SchematicEdit, error) {
	value := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	edit := manage.SchematicEdit{Name: value("name"), Based: value("based"), Unchecked: value("unchecked") == "true"}
	if value("as") == "yaml" {
		text := strings.ReplaceAll(form.Get("yaml"), "\r\n", "\n")
		edit.YAML = &text
		return edit, nil
	}
	c := standing
	c.Extensions = slices.Compact(slices.Sorted(slices.Values(slices.Concat(form["extension"], wordsOf(value("otherExtensions"))))))
	c.KernelArgs = nil
	for line := range strings.Lines(strings.ReplaceAll(form.Get("kernelArgs"), "\r\n", "\n")) {
		if line = strings.TrimSpace(line); line != "" {
			c.KernelArgs = append(c.KernelArgs, line)
		}
	}
	if name := value("overlay"); name != c.Overlay.Name {
		c.Overlay = fleet.Overlay{Name: name}
	}
	c.Bootloader = value("bootloader")
	c.SecureBoot = fleet.SecureBoot{WellKnownCertificates: value("wellKnown") == "true", EnrollKeys: value("enrollKeys")}
	c.SectorSize = 0
	if size := value("sectorSize"); size != "" {
		n, err := strconv.ParseUint(size, 10, 32)
		if err != nil {
			return edit, fleet.Errorf(fleet.Invalid, "sector size %q is no number", size).WithHint("choose 512 or 4096")
		}
		c.SectorSize = uint(n)
	}
	edit.Parts = &c
	return edit, nil
}

// bootloaders, enrollments and sectorSizes are what a schematic can say.
func bootloaders() []option {
	return []option{{"", "Talos chooses"}, {"dual-boot", "GRUB and systemd-boot"}, {"sd-boot", "systemd-boot"}, {"grub", "GRUB"}}
}

func enrollments() []option {
	return []option{{"", "In virtual machines only"}, {"off", "Never"}, {"manual", "When asked at boot"}, {"if-safe", "If safe"}, {"force", "Always"}}
}

func sectorSizes() []option { return []option{{"", "512 bytes"}, {"4096", "4096 bytes"}} }

func sectorSize(n uint) string {
	if n == 0 || n == 512 {
		return ""
	}
	return strconv.Itoa(int(n))
}

package web

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// factoryPatience is how long a page waits for the image factory: what it says is kept, so that few have to.
const factoryPatience = 4 * time.Second

// schematicData is the page of one schematic.
type schematicData struct {
	Schematic fleet.Schematic
	Row       schematicRow
	Parts     fleet.Customization
	Unread    string // why it cannot be read, "" if it can
	Clusters  []fleet.Cluster
	Servers   []schematicServer
	Version   string // that is shown
	Versions  []option
	Reports   []fleet.SchematicReport
	Silent    string // why the factory could not be asked
	Images    []schematicImage
}

// schematicServer is a server that gets the schematic.
type schematicServer struct {
	ID, Name, Cluster string
	Own               bool // it was given to it itself
}

// schematicImage is what machines of a platform boot and are installed from.
type schematicImage struct {
	ID, Title, Installer, Image string
}

// shownServers is how many servers a page lists beside something; its sheet has all.
const shownServers = 100

// schematic is the page of one schematic.
func (s *site) schematic(r *http.Request) (view, error) {
	d, err := s.schematicData(r.Context(), r.PathValue("ref"), r.URL.Query().Get("version"))
	if err != nil {
		return view{}, err
	}
	address := "/schematics/" + d.Schematic.ID
	if d.Version != "" {
		address += "?version=" + d.Version
	}
	name := shellWord(d.Schematic.Name)
	return view{
		title: d.Schematic.Name, section: "/configs", crumbs: []crumb{{"Configs", "/configs"}, {"Schematics", "/schematics"}}, address: address,
		body: func([]fleet.LogLine) templ.Component { return schematicPage(d) },
		parts: []part{
			partOf("schematic-facts", d, schematicFacts), partOf("schematic-check", d, schematicCheck),
			partOf("schematic-users", d, schematicUsers),
		},
		wants: changeOf("schematics", "clusters", "servers"),
		sheet: func() (sheet, error) { return d.sheet(), nil },
		same: []command{
			{What: "Show it", CLI: "schematic show " + name, API: "GET /api/v1/schematics/" + d.Schematic.ID},
			{What: "Check it against Talos versions", CLI: "schematic check " + name, API: "GET /api/v1/schematics/" + d.Schematic.ID + "/check"},
			{What: "Delete it", CLI: "schematic delete " + name, API: "DELETE /api/v1/schematics/" + d.Schematic.ID},
		},
	}, nil
}

func (s *site) schematicData(ctx context.Context, ref, version string) (d schematicData, err error) {
	if d.Schematic, err = s.store.Schematic(ctx, ref); err != nil {
		return d, err
	}
	uses, err := s.Manager.SchematicUses(ctx)
	if err != nil {
		return d, err
	}
	twins, err := s.Manager.SchematicTwins(ctx)
	if err != nil {
		return d, err
	}
	use := uses[d.Schematic.ID]
	d.Version, d.Clusters, d.Row = version, use.Clusters, s.schematicRow(d.Schematic, use, twins[d.Schematic.ID])
	if d.Parts, err = s.Manager.Customization(d.Schematic); err != nil {
		d.Unread = err.Error()
	}
	clusters, err := s.clusterNames(ctx)
	if err != nil {
		return d, err
	}
	for _, v := range use.Servers {
		d.Servers = append(d.Servers, schematicServer{v.ID, v.Name, clusters[v.Assignment.ClusterID], v.Assignment.SchematicID != ""})
	}
	if d.Versions, err = s.talosVersions(ctx, option{"", "Those of the clusters that use it"}); err != nil {
		return d, err
	}
	d.report(ctx, s.Manager)
	if d.Row.FactoryID != "" {
		d.Images = s.imagesOf(d.Row.FactoryID, cmp.Or(version, d.newestUsed()))
	}
	return d, nil
}

// report asks the factory what the versions lack.
func (d *schematicData) report(ctx context.Context, m *manage.Manager) {
	if d.Unread != "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, factoryPatience)
	defer cancel()
	var err error
	if d.Reports, err = m.CheckSchematic(ctx, d.Schematic.ID, d.Version); err != nil {
		d.Silent = byForm.Error(err).Error()
	}
}

// newestUsed is the newest Talos version it is used with; the newest of all if it is not used.
func (d *schematicData) newestUsed() string {
	newest := ""
	for _, c := range d.Clusters {
		if newest == "" || machineconfig.Later(c.TalosVersion, newest) {
			newest = c.TalosVersion
		}
	}
	return cmp.Or(newest, machineconfig.NewestTalos())
}

// imagesOf are the addresses of what the factory builds of a schematic for the machines that Hetzner has.
func (s *site) imagesOf(id, version string) []schematicImage {
	f := s.Manager.Factory
	var out []schematicImage
	for _, p := range []struct{ platform, arch, title string }{
		{"metal", "amd64", "Dedicated server, amd64"},
		{"metal", "arm64", "Dedicated server, arm64"},
		{"hcloud", "amd64", "Cloud server, amd64"},
		{"hcloud", "arm64", "Cloud server, arm64"},
	} {
		out = append(out, schematicImage{
			ID: p.platform + "-" + p.arch, Title: p.title + ", Talos " + version,
			Installer: f.InstallerImage(id, version, p.platform), Image: f.ImageURL(id, version, p.platform, p.arch),
		})
	}
	return out
}

func (d *schematicData) sheet() sheet {
	out := sheet{name: "schematic-" + d.Schematic.Name, columns: []string{"server", "cluster", "given to"}}
	for _, v := range d.Servers {
		out.rows = append(out.rows, []string{v.Name, v.Cluster, v.givenTo()})
	}
	return out
}

func (v schematicServer) givenTo() string {
	if v.Own {
		return "the server"
	}
	return "its cluster"
}

// more are the parts of a schematic that are few words.
func (d schematicData) more() [][2]string {
	p := d.Parts
	var out [][2]string
	add := func(name, value string) {
		if value != "" {
			out = append(out, [2]string{name, value})
		}
	}
	add("Overlay", p.Overlay.Name)
	add("Bootloader", p.Bootloader)
	add("Enrolling of Secure Boot keys", p.SecureBoot.EnrollKeys)
	if p.SecureBoot.WellKnownCertificates {
		add("Secure Boot certificates", "Microsoft’s too")
	}
	if p.SectorSize > 0 {
		add("Sector size of disk images", strconv.Itoa(int(p.SectorSize))+" bytes")
	}
	for _, m := range p.Meta {
		add("META key "+strconv.Itoa(int(m.Key)), m.Value)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Overlay.Options)) {
		add("Option "+name+" of the overlay", flat(p.Overlay.Options[name]))
	}
	return out
}

// reportStatus says whether a version has all of a schematic.
func reportStatus(r fleet.SchematicReport) status {
	switch {
	case len(r.Missing) > 0:
		return status{broken, "Lacks " + count(len(r.Missing), "thing"), "images for it cannot be built"}
	case len(r.Renamed) > 0:
		return status{ok, "Has all", count(len(r.Renamed), "extension") + " by another name"}
	}
	return status{ok, "Has all", ""}
}

// missingWords are what there is to say of a thing that a version lacks.
func missingWords(m fleet.Missing) string {
	text := ""
	if m.Text != "" {
		text = ": " + m.Text
	}
	if len(m.Nearest) > 0 {
		text += ". There is " + strings.Join(m.Nearest, ", ")
	}
	return text
}

// deleteSchematic forgets a schematic.
func (s *site) deleteSchematic(w http.ResponseWriter, r *http.Request) error {
	v, err := s.store.Schematic(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	if err := insist(r, "delete schematic "+v.Name, v.Name); err != nil {
		return s.again(w, r, s.schematic, err)
	}
	if err := s.Manager.DeleteSchematic(r.Context(), access.Actor(r.Context()), v.ID); err != nil {
		return s.again(w, r, s.schematic, err)
	}
	return s.done(w, r, "/schematics", "Deleted schematic "+v.Name)
}

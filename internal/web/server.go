package web

import (
	"context"
	"net/http"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/store"
)

// serverData is the page of one server.
type serverData struct {
	Server     fleet.Server
	Patch      string // its own, without secrets
	Row        serverRow
	Account    string
	Config     string // name of the one it was given itself
	Active     *fleet.Operation
	Latest     *fleet.Operation // with its steps; active or not
	History    []operationRow
	Clusters   []option
	Configs    []option
	Schematics []option
	Changes    []fleet.Event // what was found changed in the machine, newest first
	BadUUID    string        // why its UUID will not do, "" if it will or is not known yet
}

// node says whether the server runs as a node of its cluster: it may not be changed then.
func (d serverData) node() bool {
	switch d.Server.State {
	case fleet.Configured, fleet.Ready, fleet.Unhealthy:
		return true
	}
	return false
}

func (d serverData) busy() bool { return d.Active != nil }

// blank says that the disk is known to hold nothing.
func (d serverData) blank() bool {
	disk, known := d.disk()
	return known && len(disk.Contents) == 0
}

// disk is the one that an install will write, where that is certain.
func (d serverData) disk() (fleet.Disk, bool) {
	disk, err := fleet.ChooseDisk(d.Server.Name, d.Server.Assignment.InstallDisk, d.Server.Facts.Disks)
	return disk, err == nil
}

const historyLength = 10

// server is the page of one server.
func (s *site) server(r *http.Request) (view, error) {
	d, err := s.serverData(r.Context(), r.PathValue("ref"))
	if err != nil {
		return view{}, err
	}
	v := view{
		title: d.Server.Name, section: "/servers", crumbs: []crumb{{"Servers", "/servers"}}, address: "/servers/" + d.Server.ID,
		body:  func(lines []fleet.LogLine) templ.Component { return serverPage(d, lines) },
		parts: serverPageParts(d), wants: changeOf("servers", "clusters", "configs", "schematics"),
	}
	if d.Latest != nil {
		v.log = d.Latest.ID
	}
	return v, nil
}

func (s *site) serverData(ctx context.Context, ref string) (d serverData, err error) {
	if d.Server, err = s.store.Server(ctx, ref); err != nil {
		return d, err
	}
	d.Server.SeenAt = d.Server.SeenAt.UTC()
	own, err := s.store.Layer(ctx, fleet.ScopeServer, d.Server.ID)
	if err != nil {
		return d, err
	}
	if _, err := s.Manager.Hide(ctx, &own.Contents); err != nil {
		return d, err
	}
	d.Patch = own.Text(fleet.PatchOwn)
	if err := s.serverOperations(ctx, &d); err != nil {
		return d, err
	}
	changed := store.EventFilter{Verb: "server.changed", Subject: "server", TargetID: d.Server.ID, Limit: historyLength}
	if d.Changes, err = s.store.Events(ctx, changed); err != nil {
		return d, err
	}
	account, err := s.store.Account(ctx, d.Server.AccountID)
	if err != nil && fleet.KindOf(err) != fleet.NotFound {
		return d, err
	}
	d.Account = account.Name
	if d.Clusters, err = s.clusterOptions(ctx); err != nil {
		return d, err
	}
	if d.Configs, err = s.configOptions(ctx, option{"", "The cluster’s"}); err != nil {
		return d, err
	}
	if d.Schematics, err = s.schematicOptions(ctx, option{"", "The cluster’s"}); err != nil {
		return d, err
	}
	active := map[string]*fleet.Operation{}
	if d.Active != nil {
		active[d.Server.ID] = d.Active
	}
	d.Row = serverRows([]fleet.Server{d.Server}, namesOf(d.Clusters), active)[0]
	if facts := d.Server.Facts; !facts.At.IsZero() {
		if err := fleet.CheckUUID(d.Server.Name, d.Server.NodeUUID()); err != nil {
			d.BadUUID = err.Error()
		}
	}
	return d, nil
}

// serverOperations reads what was done to the server, newest first, and all of the newest.
func (s *site) serverOperations(ctx context.Context, d *serverData) error {
	all, err := s.store.Operations(ctx, store.OperationFilter{ServerID: d.Server.ID, Limit: historyLength})
	if err != nil || len(all) == 0 {
		return err
	}
	n := names{d.Server.ID: d.Server.Name}
	if d.History, err = s.operationRows(ctx, all, n); err != nil {
		return err
	}
	latest, err := s.store.Operation(ctx, all[0].ID)
	if err != nil {
		return err
	}
	d.Latest = &latest
	if !latest.State.Final() {
		d.Active = &latest
	}
	return nil
}

func serverPageParts(d serverData) []part {
	v := d.Server
	return append(latestParts(d), []part{
		{id: "server-head", key: keyOf([]any{d.Row, v.MissingAt, v.Cancelled, v.Locked, v.Status}), piece: serverHead(d)},
		{id: "server-facts", key: keyOf([]any{v, d.Account, d.Row.Cluster, d.BadUUID, d.Changes}), piece: serverFacts(d)},
		{id: "server-actions", key: keyOf([]any{v.State, v.Name, v.Assignment, v.Facts.Disks, d.busy(), d.Clusters, d.Configs, d.Schematics}), piece: serverActions(d)},
		{id: "server-history", key: keyOf(d.History), piece: serverHistory(d)},
	}...)
}

// latestParts are the newest operation: all of it when another one begins, else its steps.
func latestParts(d serverData) []part {
	if d.Latest == nil {
		return []part{{id: "server-latest", key: "none", piece: serverLatest(d, nil)}}
	}
	return []part{
		{id: "server-latest", key: d.Latest.ID, log: true, piece: serverLatest(d, nil)},
		{id: "operation-steps", key: operationKey(*d.Latest), within: "server-latest", piece: operationSteps(*d.Latest)},
	}
}

// assignServer says what the server is to be.
func (s *site) assignServer(w http.ResponseWriter, r *http.Request) error {
	value := func(name string) *string {
		v := strings.TrimSpace(r.PostFormValue(name))
		return &v
	}
	role := fleet.Role(r.PostFormValue("role"))
	disk := value("installDisk")
	if other := value("otherDisk"); *disk == otherDisk {
		disk = other
	}
	patch := strings.ReplaceAll(r.PostFormValue("patch"), "\r\n", "\n")
	v, err := s.Manager.Assign(r.Context(), access.Actor(r.Context()), r.PathValue("ref"), manage.AssignmentChange{
		Cluster: value("cluster"), Config: value("config"), Schematic: value("schematic"), Role: &role,
		Hostname: value("hostname"), PrivateIP: value("privateIP"), InstallDisk: disk, EphemeralDisk: value("ephemeralDisk"), Patch: &patch,
	})
	if err != nil {
		return s.again(w, r, s.server, err)
	}
	return s.done(w, r, "/servers/"+v.ID, v.Name+" is to be a "+strings.ToLower(roleTitle(v.Assignment.Role))+" named "+v.Hostname())
}

// otherDisk is what the choice of disks calls one that is not listed.
const otherDisk = "other"

// releaseServer takes the server out of its cluster.
func (s *site) releaseServer(w http.ResponseWriter, r *http.Request) error {
	v, err := s.store.Server(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	if err := insist(r, "take server "+v.Name+" out of its cluster", v.Name); err != nil {
		return s.again(w, r, s.server, err)
	}
	nothing := ""
	if _, err := s.Manager.Assign(r.Context(), access.Actor(r.Context()), v.ID, manage.AssignmentChange{Cluster: &nothing}); err != nil {
		return s.again(w, r, s.server, err)
	}
	return s.done(w, r, "/servers/"+v.ID, v.Name+" belongs to no cluster now")
}

// renameServer names the server at its provider.
func (s *site) renameServer(w http.ResponseWriter, r *http.Request) error {
	v, err := s.Manager.RenameServer(r.Context(), access.Actor(r.Context()), r.PathValue("ref"), strings.TrimSpace(r.PostFormValue("name")))
	if err != nil {
		return s.again(w, r, s.server, err)
	}
	return s.done(w, r, "/servers/"+v.ID, "It is named "+v.Name+" at its provider now")
}

// rescueServer boots the server into the rescue system.
func (s *site) rescueServer(w http.ResponseWriter, r *http.Request) error {
	op, err := s.Operations.Rescue(r.Context(), access.Actor(r.Context()), r.PathValue("ref"))
	if err != nil {
		return s.again(w, r, s.server, err)
	}
	return s.done(w, r, "/servers/"+op.ServerID, "Booting the rescue system")
}

// installServer installs Talos. Overwriting a disk without being asked again wants the server's name.
func (s *site) installServer(w http.ResponseWriter, r *http.Request) error {
	v, err := s.store.Server(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	wipe := r.PostFormValue("wipe") == "true"
	if wipe {
		if err := insist(r, "overwrite the disk of server "+v.Name, v.Name); err != nil {
			return s.again(w, r, s.server, err)
		}
	}
	_, err = s.Operations.Install(r.Context(), access.Actor(r.Context()), v.ID, operation.InstallOptions{
		Wipe: wipe, ImageSHA256: strings.TrimSpace(r.PostFormValue("sha256")), ViaManager: r.PostFormValue("viaManager") == "true",
		OverrideUUID: r.PostFormValue("overrideUUID") == "true", StaticNetwork: r.PostFormValue("staticNetwork") == "true",
		Boot: fleet.BootMethod(r.PostFormValue("boot")), Delivery: fleet.Delivery(r.PostFormValue("delivery")),
	})
	if err != nil {
		return s.again(w, r, s.server, err)
	}
	return s.done(w, r, "/servers/"+v.ID, "Installing Talos on "+v.Name)
}

package web

import (
	"context"
	"net/http"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/store"
)

// serverArea is the pages of one server, each a tab, and what can be done to it.
func (s *site) serverArea() area {
	return area{
		pages: map[string]loader{
			"/servers/{ref}":            s.server,
			"/servers/{ref}/config":     s.serverConfig,
			"/servers/{ref}/operations": s.serverHistory,
			"/servers/{ref}/events":     s.serverEvents,
		},
		actions: map[string]handler{
			"POST /servers/{ref}/assign":  s.assignServer,
			"POST /servers/{ref}/release": s.releaseServer,
			"POST /servers/{ref}/rename":  s.renameServer,
			"POST /servers/{ref}/vswitch": s.moveToVSwitch,

			"POST /servers/{ref}/rescue":        s.rescueServer,
			"POST /servers/{ref}/install":       s.installServer,
			"POST /servers/{ref}/override-uuid": s.overrideUUID,
			"POST /servers/{ref}/recover-uuid":  s.recoverUUID,

			"POST /servers/{ref}/probe":  s.probeServer,
			"POST /servers/{ref}/move":   s.moveServer,
			"POST /servers/{ref}/remove": s.removeServer,

			"POST /servers/{ref}/config/patch":           s.patchServer,
			"POST /servers/{ref}/config/variable":        s.setServerVariable,
			"POST /servers/{ref}/config/variable/remove": s.unsetServerVariable,
			"POST /servers/{ref}/config/publish":         s.publishServerDraft,
			"POST /servers/{ref}/config/discard":         s.discardServerDraft,
			"POST /servers/{ref}/machine-config":         s.downloadMachineConfig,
		},
	}
}

// serverTab is one of the pages of a server.
type serverTab struct{ Name, Path string }

func serverTabs() []serverTab {
	return []serverTab{{"Overview", ""}, {"Machine config", "/config"}, {"Operations", "/operations"}, {"Events", "/events"}}
}

// serverTop is what all pages of a server begin with.
type serverTop struct {
	Server fleet.Server
	Row    serverRow
	Tab    serverTab
}

func (t serverTop) href(path string) string { return "/servers/" + t.Server.ID + path }

// view begins the view of the page.
func (t serverTop) view() view {
	v := view{title: t.Server.Name, section: "/servers", crumbs: []crumb{{"Servers", "/servers"}}, address: t.href(t.Tab.Path), wants: changeOf("servers", "clusters")}
	if t.Tab.Path != "" {
		v.title, v.crumbs = t.Tab.Name, append(v.crumbs, crumb{t.Server.Name, t.href("")})
	}
	return v
}

func (t serverTop) part() part {
	s := t.Server
	return part{id: "server-head", key: keyOf([]any{t.Row, t.Tab, s.MissingAt, s.Cancelled, s.Locked, s.Status}), piece: serverHead(t)}
}

// serverTop reads what a page of a server begins with.
func (s *site) serverTop(ctx context.Context, ref, path string) (t serverTop, err error) {
	for _, tab := range serverTabs() {
		if tab.Path == path {
			t.Tab = tab
		}
	}
	if t.Server, err = s.store.Server(ctx, ref); err != nil {
		return t, err
	}
	clusters, err := s.clusterNames(ctx)
	if err != nil {
		return t, err
	}
	active, err := s.activeByServer(ctx, store.OperationFilter{ServerID: t.Server.ID})
	if err != nil {
		return t, err
	}
	t.Row = serverRows([]fleet.Server{t.Server}, clusters, active)[0]
	return t, nil
}

// serverData is the first page of one server.
type serverData struct {
	Server     fleet.Server
	Patch      string // its own, without secrets
	Row        serverRow
	Account    string
	Config     string // name of the one that is in effect
	Active     *fleet.Operation
	Latest     *fleet.Operation // with its steps; active or not
	Clusters   []option
	Configs    []option
	Schematics []option
	VSwitches  []option      // it can be in; none for cloud servers
	Changes    []fleet.Event // what was found changed in the machine, newest first
	BadUUID    string        // why its UUID will not do, "" if it will or is not known yet
	Forecast   operation.DiskForecast
	Trial      *trial // what a form that was only tried would do
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

// historyLength is how much of what was is listed beside other things.
const historyLength = 10

// server is the first page of one server.
func (s *site) server(r *http.Request) (view, error) { return s.serverWith(r, nil) }

// serverWith is the first page of one server, with what a form that was only tried would do.
func (s *site) serverWith(r *http.Request, tried *trial) (view, error) {
	ctx := r.Context()
	d, err := s.serverData(ctx, r.PathValue("ref"))
	if err != nil {
		return view{}, err
	}
	if d.Forecast, err = s.Operations.ForecastDisks(ctx, d.Server); err != nil {
		return view{}, err
	}
	d.Trial = tried
	top := serverTop{Server: d.Server, Row: d.Row, Tab: serverTabs()[0]}
	v := top.view()
	v.body = func(lines []fleet.LogLine) templ.Component { return serverPage(top, d, lines) }
	v.parts, v.wants = serverPageParts(top, d), changeOf("servers", "clusters", "configs", "schematics")
	v.same = serverCommands(d)
	if len(d.Server.Facts.Disks) > 0 {
		v.sheet = func() (sheet, error) { return diskSheet(d.Server), nil }
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
	if err := s.latestOperation(ctx, &d); err != nil {
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
	if err := s.serverChoices(ctx, &d); err != nil {
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

// serverChoices reads what the forms of a server offer.
func (s *site) serverChoices(ctx context.Context, d *serverData) (err error) {
	if d.Clusters, err = s.clusterOptions(ctx); err != nil {
		return err
	}
	if d.Configs, err = s.configOptions(ctx, option{"", "The cluster’s"}); err != nil {
		return err
	}
	d.Config = namesOf(d.Configs[1:])[d.Server.Assignment.ConfigID]
	if d.Schematics, err = s.schematicOptions(ctx, option{"", "The cluster’s"}); err != nil {
		return err
	}
	if d.Server.Provider != fleet.HetznerRobot {
		return nil
	}
	all, err := s.store.VSwitches(ctx, d.Server.AccountID)
	if err != nil || len(all) == 0 {
		return err
	}
	d.VSwitches = []option{{"", "None"}}
	for _, v := range all {
		if v.MissingAt.IsZero() || v.ID == d.Server.VSwitchID {
			d.VSwitches = append(d.VSwitches, option{v.ID, vswitchTitle(v)})
		}
	}
	return nil
}

// latestOperation reads the newest operation on the server, all of it.
func (s *site) latestOperation(ctx context.Context, d *serverData) error {
	all, err := s.store.Operations(ctx, store.OperationFilter{ServerID: d.Server.ID, Limit: 1})
	if err != nil || len(all) == 0 {
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

func serverPageParts(top serverTop, d serverData) []part {
	v := d.Server
	return append(latestParts(d), []part{
		top.part(),
		{id: "server-facts", key: keyOf([]any{v, d.Account, d.Config, d.Row.Cluster, d.BadUUID, d.Changes, d.VSwitches}), piece: serverFacts(d)},
		{id: "server-disks", key: keyOf([]any{v.Facts, v.Assignment, v.Installed, d.Forecast}), piece: serverDisks(d)},
		{id: "server-actions", key: keyOf([]any{v.State, v.Name, v.MissingAt, v.Assignment, v.Facts, v.UUIDOverride, v.RanAs, v.VSwitchID, v.ProviderID, v.HostKey, d.busy(), d.Clusters, d.Configs, d.Schematics, d.VSwitches, d.Forecast}), piece: serverActions(d)},
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

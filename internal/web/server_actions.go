package web

import (
	"net/http"
	"strings"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
)

// trial is what a form of a server would do, when it was only tried.
type trial struct {
	Form    string // "assign" or "install"
	Plan    *manage.Plan
	Install *operation.InstallPreview
}

// tried shows a server's page once more with what a form would do; what was typed stays.
func (s *site) tried(w http.ResponseWriter, r *http.Request, t trial) error {
	r = r.WithContext(withTyped(r.Context(), r.PostForm))
	v, err := s.serverWith(r, &t)
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, v)
}

// onlyTried says whether a form asks what would be done, and nothing else.
func onlyTried(r *http.Request) bool { return r.PostFormValue("dry") == "true" }

// assignServer says what the server is to be.
func (s *site) assignServer(w http.ResponseWriter, r *http.Request) error {
	ctx, change := r.Context(), assignmentOf(r)
	if onlyTried(r) {
		plan, err := s.Manager.Plan(ctx, manage.Change{Assign: []manage.ServerAssign{{Server: r.PathValue("ref"), AssignmentChange: change}}}, manage.PlanOptions{})
		if err != nil {
			return s.again(w, r, s.server, err)
		}
		return s.tried(w, r, trial{Form: "assign", Plan: &plan})
	}
	v, err := s.Manager.Assign(ctx, access.Actor(ctx), r.PathValue("ref"), change)
	if err != nil {
		return s.again(w, r, s.server, err)
	}
	text := v.Name + " is to be a " + strings.ToLower(roleTitle(v.Assignment.Role)) + " named " + v.Hostname()
	if v.Assignment.Draft {
		text += "; it is a draft, which is not in effect"
	}
	return s.done(w, r, "/servers/"+v.ID, text)
}

// assignmentOf reads the form of an assignment.
func assignmentOf(r *http.Request) manage.AssignmentChange {
	value := func(name string) *string {
		v := strings.TrimSpace(r.PostFormValue(name))
		return &v
	}
	disk := value("installDisk")
	switch *disk {
	case otherDisk:
		disk = value("otherDisk")
	case byRule:
		*disk = fleet.RulePrefix + strings.TrimPrefix(*value("diskRule"), fleet.RulePrefix)
	}
	role, policy := fleet.Role(r.PostFormValue("role")), fleet.DiskPolicy(r.PostFormValue("diskPolicy"))
	patch := strings.ReplaceAll(r.PostFormValue("patch"), "\r\n", "\n")
	return manage.AssignmentChange{
		Cluster: value("cluster"), Config: value("config"), Schematic: value("schematic"), Role: &role, Hostname: value("hostname"), PrivateIP: value("privateIP"),
		InstallDisk: disk, EphemeralDisk: value("ephemeralDisk"), DiskPolicy: &policy, Patch: &patch, Draft: r.PostFormValue("draft") == "true",
	}
}

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
	change := manage.AssignmentChange{Cluster: &nothing, Force: r.PostFormValue("force") == "true"}
	if _, err := s.Manager.Assign(r.Context(), access.Actor(r.Context()), v.ID, change); err != nil {
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
	if v.Provider == fleet.Manual {
		return s.done(w, r, "/servers/"+v.ID, "It is named "+v.Name+" now")
	}
	return s.done(w, r, "/servers/"+v.ID, "It is named "+v.Name+" at its provider now")
}

// moveToVSwitch moves the server into a vSwitch.
func (s *site) moveToVSwitch(w http.ResponseWriter, r *http.Request) error {
	op, err := s.Operations.SetVSwitch(r.Context(), access.Actor(r.Context()), r.PathValue("ref"), r.PostFormValue("vswitch"))
	if err != nil {
		return s.again(w, r, s.server, err)
	}
	return s.done(w, r, "/servers/"+op.ServerID, "Robot is asked to change its vSwitch; that takes a minute or two")
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
	ctx := r.Context()
	v, err := s.store.Server(ctx, r.PathValue("ref"))
	if err != nil {
		return err
	}
	options := installOptionsOf(r)
	if onlyTried(r) {
		preview, err := s.Operations.DryRunInstall(ctx, v.ID, options)
		if err != nil {
			return s.again(w, r, s.server, err)
		}
		return s.tried(w, r, trial{Form: "install", Install: &preview})
	}
	if options.Wipe {
		if err := insist(r, "overwrite the disk of server "+v.Name, v.Name); err != nil {
			return s.again(w, r, s.server, err)
		}
	}
	if _, err = s.Operations.Install(ctx, access.Actor(ctx), v.ID, options); err != nil {
		return s.again(w, r, s.server, err)
	}
	return s.done(w, r, "/servers/"+v.ID, "Installing Talos on "+v.Name)
}

// installOptionsOf reads the form of an install.
func installOptionsOf(r *http.Request) operation.InstallOptions {
	yes := func(name string) bool { return r.PostFormValue(name) == "true" }
	return operation.InstallOptions{
		Wipe: yes("wipe"), ImageSHA256: strings.TrimSpace(r.PostFormValue("sha256")), ViaManager: yes("viaManager"),
		OverrideUUID: yes("overrideUUID"), StaticNetwork: yes("staticNetwork"),
		Boot: fleet.BootMethod(r.PostFormValue("boot")), Delivery: fleet.Delivery(r.PostFormValue("delivery")),
	}
}

// overrideUUID notes which UUID the next install gives to Talos.
func (s *site) overrideUUID(w http.ResponseWriter, r *http.Request) error {
	v, err := s.Operations.OverrideUUID(r.Context(), access.Actor(r.Context()), r.PathValue("ref"), r.PostFormValue("uuid"))
	if err != nil {
		return s.again(w, r, s.server, err)
	}
	if v.UUIDOverride == "" {
		return s.done(w, r, "/servers/"+v.ID, "The next install leaves Talos the UUID of the board")
	}
	return s.done(w, r, "/servers/"+v.ID, "The next install gives Talos UUID "+v.UUIDOverride)
}

// recoverUUID has META give Talos the UUID back by which it ran.
func (s *site) recoverUUID(w http.ResponseWriter, r *http.Request) error {
	op, err := s.Operations.RecoverUUID(r.Context(), access.Actor(r.Context()), r.PathValue("ref"), r.PostFormValue("uuid"))
	if err != nil {
		return s.again(w, r, s.server, err)
	}
	return s.done(w, r, "/servers/"+op.ServerID, "Giving Talos its UUID back")
}

// probeServer looks at what answers at the address of a server that was added by hand.
func (s *site) probeServer(w http.ResponseWriter, r *http.Request) error {
	p, err := s.Operations.Probe(r.Context(), access.Actor(r.Context()), r.PathValue("ref"))
	if err != nil {
		return s.again(w, r, s.server, err)
	}
	text := upper(p.Text)
	if p.HostKey != "" {
		text += "; its host key is " + p.HostKey
	}
	if p.Found == operation.FoundRescue || p.Found == operation.FoundMaintenance {
		return s.done(w, r, "/servers/"+r.PathValue("ref"), text)
	}
	v, err := s.server(r)
	if err != nil {
		return err
	}
	return s.show(w, r.WithContext(withNotice(r.Context(), notice{Tone: attention, Text: text, Hint: p.Hint})), http.StatusOK, v)
}

// moveServer tells where a server that was added by hand is now.
func (s *site) moveServer(w http.ResponseWriter, r *http.Request) error {
	address, key := strings.TrimSpace(r.PostFormValue("address")), r.PostFormValue("hostKey")
	v, err := s.Manager.ChangeServerAddress(r.Context(), access.Actor(r.Context()), r.PathValue("ref"), manage.AddressChange{Address: &address, HostKey: &key})
	if err != nil {
		return s.again(w, r, s.server, err)
	}
	return s.done(w, r, "/servers/"+v.ID, v.Name+" is reached at "+v.ProviderID+" now")
}

// removeServer forgets the server.
func (s *site) removeServer(w http.ResponseWriter, r *http.Request) error {
	v, err := s.store.Server(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	if err := insist(r, "forget server "+v.Name, v.Name); err != nil {
		return s.again(w, r, s.server, err)
	}
	if err := s.Manager.RemoveServer(r.Context(), access.Actor(r.Context()), v.ID); err != nil {
		return s.again(w, r, s.server, err)
	}
	return s.done(w, r, "/servers", "Forgot server "+v.Name)
}

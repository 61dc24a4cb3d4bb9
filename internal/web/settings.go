package web

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
)

// settingsData is the page of settings.
type settingsData struct {
	About      About
	Version    string
	Talos      string // newest it knows
	Kubernetes string
	Actor      string
	Key        sshKey
	Address    []operation.AddressCheck // nil: nobody asked
	Tokens     []tokenRow
	Made       *madeToken
	Counts     settingCounts
}

type settingCounts struct{ Accounts, Problems int }

// tokenRow is an API token, without its text.
type tokenRow struct {
	ID, Name, Actor        string
	Created, Used, Expires time.Time
}

// madeToken is a token that was made just now: its text is shown this once.
type madeToken struct{ Name, Text string }

// setting is a line of what is set: set where the program is started, not here.
type setting struct{ What, Value, Env string }

// settings is the page of settings.
func (s *site) settings(r *http.Request) (view, error) { return s.settingsWith(r, nil) }

func (s *site) settingsWith(r *http.Request, made *madeToken) (view, error) {
	d := settingsData{
		About: s.About, Version: s.Version, Talos: machineconfig.NewestTalos(), Kubernetes: machineconfig.DefaultKubernetes(),
		Actor: access.Actor(r.Context()), Key: sshKeyOf(s.Key), Made: made,
	}
	if err := s.readSettings(r.Context(), &d); err != nil {
		return view{}, err
	}
	v := view{
		title: "Settings", section: "/settings", address: "/settings",
		body:  func([]fleet.LogLine) templ.Component { return settingsPage(d) },
		parts: []part{{id: "settings-tokens", key: keyOf(d.Tokens), piece: tokensCard(d)}}, wants: changeOf("tokens"),
		sheet: func() (sheet, error) { return tokenSheet(d.Tokens), nil },
		same: []command{
			{"Print the versions of this program", "version", "GET /api/v1/version"},
			{"Test the public address", "address check", "POST /api/v1/address/check"},
			{"Show the SSH key of rescue systems", "ssh-key show", "GET /api/v1/ssh-key"},
			{"List the API tokens", "token list", "GET /api/v1/tokens"},
			{"Make an API token", "token create NAME", `POST /api/v1/tokens {"name": "NAME"}`},
			{"Revoke an API token", "token delete NAME", "DELETE /api/v1/tokens/NAME"},
			{"List what happened", "event list", "GET /api/v1/events"},
		},
	}
	if asking(r) {
		d.Address = s.Operations.CheckAddress(r.Context())
		v.address, v.wants = "/settings?ask=now", nil // what was answered is of one moment
	}
	if made != nil {
		v.wants = nil
	}
	return v, nil
}

func (s *site) readSettings(ctx context.Context, d *settingsData) error {
	tokens, err := s.store.Tokens(ctx)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		d.Tokens = append(d.Tokens, tokenRow{ID: t.ID, Name: t.Name, Actor: t.Actor, Created: t.CreatedAt, Used: t.UsedAt, Expires: t.ExpiresAt})
	}
	accounts, err := s.store.Accounts(ctx)
	for _, a := range accounts {
		d.Counts.Accounts++
		if a.Problem != "" {
			d.Counts.Problems++
		}
	}
	return err
}

func tokenSheet(rows []tokenRow) sheet {
	out := sheet{name: "tokens", columns: []string{"name", "made by", "created", "used"}}
	for _, row := range rows {
		used := ""
		if !row.Used.IsZero() {
			used = row.Used.UTC().Format(time.RFC3339)
		}
		out.rows = append(out.rows, []string{row.Name, row.Actor, row.Created.UTC().Format(time.RFC3339), used})
	}
	return out
}

// createToken makes an API token. The page that answers shows it this once, so it is not redirected to.
func (s *site) createToken(w http.ResponseWriter, r *http.Request) error {
	actor := access.Actor(r.Context())
	t, text, err := s.Access.NewToken(r.Context(), actor, strings.TrimSpace(r.PostFormValue("name")))
	if err != nil {
		return s.again(w, r, s.settings, err)
	}
	if err := manage.Audit(r.Context(), s.store, actor, "token.create", "token", t.ID, "created "+t.Name); err != nil {
		return err
	}
	v, err := s.settingsWith(r, &madeToken{t.Name, text})
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, v)
}

// revokeToken makes a token open nothing from now on.
func (s *site) revokeToken(w http.ResponseWriter, r *http.Request) error {
	ref := r.PathValue("ref")
	tokens, err := s.store.Tokens(r.Context())
	if err != nil {
		return err
	}
	name := ""
	for _, t := range tokens {
		if t.ID == ref {
			name = t.Name
		}
	}
	if name == "" {
		return s.again(w, r, s.settings, fleet.Errorf(fleet.NotFound, "there is no such token: it was revoked already"))
	}
	if err := insist(r, "revoke token "+name, name); err != nil {
		return s.again(w, r, s.settings, err)
	}
	if err := s.store.RemoveToken(r.Context(), ref); err != nil {
		return s.again(w, r, s.settings, err)
	}
	if err := manage.Audit(r.Context(), s.store, access.Actor(r.Context()), "token.delete", "token", ref, "revoked "+name); err != nil {
		return err
	}
	return s.done(w, r, "/settings", "Revoked "+name+": it opens nothing any more")
}

// images are where images of Talos come from, for people.
func (a About) images() []setting {
	all := []setting{{"Image factory", a.Factory, "FACTORY_URL"}}
	for _, arch := range slices.Sorted(maps.Keys(a.Images)) {
		if url := a.Images[arch]; url != "" {
			all = append(all, setting{"Image for " + string(arch) + " servers, instead of the factory’s", url, "TALOS_" + strings.ToUpper(string(arch)) + "_IMAGE_URL"})
		}
	}
	how := "Servers fetch images from the factory themselves, unless an install says otherwise"
	if a.ViaManager {
		how = "Servers get images from this program, which fetches each once"
	}
	return append(all, setting{"Way of an image", how, "IMAGE_VIA_MANAGER"}, setting{"Room for images kept here", diskSize(a.ImageBytes), "IMAGE_CACHE_SIZE"})
}

// data is where things are kept.
func (a About) data() []setting {
	all := []setting{{"Database", a.Database, "DATABASE_URL"}, {"Folder of its data", a.DataDir, "DATA_DIR"}}
	seal := setting{"Key that seals secrets", "set, not kept in a file here", "SEAL_KEY"}
	if a.SealKey != "" {
		seal.Value = "in the file " + a.SealKey + ": back it up, apart from the database"
	}
	password := setting{"Password of this page", "set, not kept in a file here", "BASIC_AUTH_PASSWORD"}
	if a.PasswordFile != "" {
		password.Value = "generated, in the file " + a.PasswordFile
	}
	return append(all, seal, password)
}

// looks is how often the world is looked at, and where.
func (a About) looks() []setting {
	proxies := setting{"Proxies that are believed", a.Proxies, "TRUSTED_PROXIES"}
	if a.Proxies == "" {
		proxies.Value = "none: the address of a request is its peer’s"
	}
	listen := setting{"Listens on", a.Listen + ", plain HTTP: a proxy before it does TLS", "LISTEN"}
	if a.TLS {
		listen.Value = a.Listen + ", TLS"
	}
	return []setting{
		listen, proxies,
		{"Accounts are listed every", fleet.InWords(a.SyncEvery), "SYNC_EVERY"},
		{"Nodes are looked at every", fleet.InWords(a.LookEvery), "LOOK_EVERY"},
		{"Robot webservice", a.Robot, "ROBOT_URL"},
		{"Cloud API", a.Cloud, "HCLOUD_ENDPOINT"},
	}
}

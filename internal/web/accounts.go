package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// accountsData is the page of all accounts. It never holds credentials.
type accountsData struct {
	Rows []accountRow
	Key  sshKey
}

// accountRow is one account.
type accountRow struct {
	ID, Name        string
	Provider        fleet.Provider
	Status          status
	Problem         string
	Servers         int
	Checked, Synced time.Time
}

// accounts is the page of all accounts.
func (s *site) accounts(r *http.Request) (view, error) {
	all, err := s.store.Accounts(r.Context())
	if err != nil {
		return view{}, err
	}
	d := accountsData{Key: sshKeyOf(s.Key)}
	for _, a := range all {
		n, err := s.store.CountServers(r.Context(), store.ServerFilter{AccountID: a.ID})
		if err != nil {
			return view{}, err
		}
		d.Rows = append(d.Rows, accountRow{
			ID: a.ID, Name: a.Name, Provider: a.Provider, Status: accountStatus(a), Problem: a.Problem, Servers: n, Checked: a.CheckedAt, Synced: a.SyncedAt,
		})
	}
	return view{
		title: "Accounts", section: "/accounts", address: "/accounts",
		body:  func([]fleet.LogLine) templ.Component { return accountsPage(d) },
		parts: []part{partOf("accounts-table", d.Rows, accountsTable)}, wants: changeOf("accounts"),
	}, nil
}

func accountStatus(a fleet.Account) status {
	if a.Problem != "" {
		return status{broken, "Problem", a.Problem}
	}
	if a.SyncedAt.IsZero() {
		return status{attention, "Not synced", "Sync it to list its servers"}
	}
	return status{ok, "Works", ""}
}

// addAccount tries the credentials, keeps the account and lists what it has.
func (s *site) addAccount(w http.ResponseWriter, r *http.Request) error {
	ctx, value := r.Context(), func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	a := fleet.Account{Name: value("name"), Provider: fleet.Provider(value("provider"))}
	if a.Provider == fleet.HetznerRobot {
		a.User, a.Password = value("user"), value("password")
	} else {
		a.Token = value("token")
	}
	r.PostForm.Del("password") // what was typed is shown again when it is refused, secrets are not
	r.PostForm.Del("token")
	a, err := s.Manager.AddAccount(ctx, access.Actor(ctx), a)
	if err != nil {
		return s.again(w, r, s.accounts, err)
	}
	if a.Problem != "" {
		return s.done(w, r, "/accounts", "Added "+a.Name+"; its servers could not be listed yet: "+a.Problem)
	}
	n, err := s.store.CountServers(ctx, store.ServerFilter{AccountID: a.ID})
	if err != nil {
		return err
	}
	return s.done(w, r, "/accounts", "Added "+a.Name+": it lists "+count(n, "server"))
}

// checkAccount tries the credentials once more.
func (s *site) checkAccount(w http.ResponseWriter, r *http.Request) error {
	a, err := s.Manager.CheckAccount(r.Context(), r.PathValue("ref"))
	if err != nil {
		return s.again(w, r, s.accounts, err)
	}
	return s.done(w, r, "/accounts", "The credentials of "+a.Name+" work")
}

// syncAccount lists the account's servers.
func (s *site) syncAccount(w http.ResponseWriter, r *http.Request) error {
	a, err := s.store.Account(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	if _, err := s.Reconciler.Sync(r.Context(), a.ID); err != nil {
		return s.again(w, r, s.accounts, err)
	}
	n, err := s.store.CountServers(r.Context(), store.ServerFilter{AccountID: a.ID})
	if err != nil {
		return err
	}
	return s.done(w, r, "/accounts", a.Name+" lists "+count(n, "server"))
}

// removeAccount forgets an account.
func (s *site) removeAccount(w http.ResponseWriter, r *http.Request) error {
	a, err := s.store.Account(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	if err := insist(r, "forget account "+a.Name, a.Name); err != nil {
		return s.again(w, r, s.accounts, err)
	}
	if err := s.Manager.RemoveAccount(r.Context(), access.Actor(r.Context()), a.ID); err != nil {
		return s.again(w, r, s.accounts, err)
	}
	return s.done(w, r, "/accounts", "Forgot account "+a.Name)
}

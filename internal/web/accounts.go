package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
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
	Missing         int    // that it does not list any more
	User            string // of the webservice, "" at the Cloud
	Checked, Synced time.Time
	Created         time.Time
	Budgets         []budgetRow
}

// budgetRow is a group of calls that the provider counts.
type budgetRow struct {
	What, Group string
	Calls, Left int
	Back        time.Time // when all are back; zero while none is used
	Evenly      bool      // they come back one by one
	Status      status
}

// percent is how much is left of it, for the drawing.
func (b budgetRow) percent() int {
	if b.Calls == 0 {
		return 0
	}
	return b.Left * 100 / b.Calls
}

// manual says that its servers were added by hand: there is nobody to ask.
func (a accountRow) manual() bool { return a.Provider == fleet.Manual }

// accounts is the page of all accounts.
func (s *site) accounts(r *http.Request) (view, error) {
	all, err := s.store.Accounts(r.Context())
	if err != nil {
		return view{}, err
	}
	d := accountsData{Key: sshKeyOf(s.Key)}
	for _, a := range all {
		row, err := s.accountRow(r.Context(), a)
		if err != nil {
			return view{}, err
		}
		d.Rows = append(d.Rows, row)
	}
	return view{
		title: "Accounts", section: "/settings", crumbs: []crumb{{"Settings", "/settings"}}, address: "/accounts",
		body:  func([]fleet.LogLine) templ.Component { return accountsPage(d) },
		parts: []part{partOf("accounts-table", d.Rows, accountsTable)}, wants: changeOf("accounts"),
		sheet: func() (sheet, error) { return budgetSheet(d.Rows), nil },
		same: []command{
			{"List the accounts", "account list", "GET /api/v1/accounts"},
			{"Add an account", "account add --name NAME --token-stdin < token", `POST /api/v1/accounts {"name": "NAME", "provider": "hetzner_cloud", "token": "…"}`},
			{"Try the credentials of accounts", "account check ACCOUNT", "POST /api/v1/accounts/ACCOUNT/check"},
			{"Say how many calls are left, and when used ones are back", "account budgets", "GET /api/v1/accounts/ACCOUNT/budgets"},
			{"Give an account other credentials", "account rotate ACCOUNT --token-stdin < token", `PUT /api/v1/accounts/ACCOUNT/credentials {"token": "…"}`},
			{"List their servers now", "server sync", "POST /api/v1/servers/sync"},
			{"Forget an account", "account remove ACCOUNT", "DELETE /api/v1/accounts/ACCOUNT"},
		},
	}, nil
}

// accountRow reads one account, without what opens it.
func (s *site) accountRow(ctx context.Context, a fleet.Account) (row accountRow, err error) {
	row = accountRow{
		ID: a.ID, Name: a.Name, Provider: a.Provider, Status: accountStatus(a), Problem: a.Problem, User: a.User, Checked: a.CheckedAt, Synced: a.SyncedAt, Created: a.CreatedAt,
	}
	if row.Servers, err = s.store.CountServers(ctx, store.ServerFilter{AccountID: a.ID}); err != nil {
		return row, err
	}
	known, err := s.store.CountServers(ctx, store.ServerFilter{AccountID: a.ID, IncludeMissing: true})
	if err != nil {
		return row, err
	}
	row.Missing = known - row.Servers
	budgets, err := s.Manager.Budgets(ctx, a.ID)
	for _, b := range budgets {
		row.Budgets = append(row.Budgets, budgetRow{
			What: b.What, Group: b.Group, Calls: b.Limit.Calls, Left: b.Left(), Back: b.Back, Evenly: b.Limit.Refill,
			Status: budgetStatus(b.Left(), b.Limit.Calls),
		})
	}
	return row, err
}

// budgetStatus says whether calls run short: below a fifth, what is under way may use up the rest.
func budgetStatus(left, calls int) status {
	switch {
	case left == 0:
		return status{broken, "Used up", ""}
	case left*5 < calls:
		return status{attention, "Running short", ""}
	}
	return status{ok, "Enough", ""}
}

// budgetSheet is the table of budgets for other programs.
func budgetSheet(rows []accountRow) sheet {
	out := sheet{name: "budgets", columns: []string{"account", "provider", "group", "calls", "left", "all back at"}}
	for _, row := range rows {
		for _, b := range row.Budgets {
			back := ""
			if !b.Back.IsZero() {
				back = b.Back.UTC().Format(time.RFC3339)
			}
			out.rows = append(out.rows, []string{row.Name, string(row.Provider), b.Group, strconv.Itoa(b.Calls), strconv.Itoa(b.Left), back})
		}
	}
	return out
}

func accountStatus(a fleet.Account) status {
	if a.Provider == fleet.Manual {
		return status{ok, "By hand", ""}
	}
	if a.Problem != "" {
		return status{broken, "Problem", a.Problem}
	}
	if a.SyncedAt.IsZero() {
		return status{attention, "Not synced", "Sync it to list its servers"}
	}
	return status{ok, "Works", ""}
}

// accountOf reads a new account from its form. What was typed is shown again when it is refused, secrets are not.
func accountOf(r *http.Request) fleet.Account {
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	a := fleet.Account{Name: value("name"), Provider: fleet.Provider(value("provider"))}
	if a.Provider == fleet.HetznerRobot {
		a.User, a.Password = value("user"), value("password")
	} else {
		a.Token = value("token")
	}
	r.PostForm.Del("password")
	r.PostForm.Del("token")
	return a
}

// addAccount tries the credentials, keeps the account and lists what it has.
func (s *site) addAccount(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	a, err := s.Manager.AddAccount(ctx, access.Actor(ctx), accountOf(r))
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

// rotateAccount gives an account other credentials, once they work.
func (s *site) rotateAccount(w http.ResponseWriter, r *http.Request) error {
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	to := manage.Credentials{Token: value("token"), User: value("user"), Password: value("password")}
	r.PostForm.Del("password")
	r.PostForm.Del("token")
	a, err := s.Manager.RotateAccount(r.Context(), access.Actor(r.Context()), r.PathValue("ref"), to)
	if err != nil {
		return s.again(w, r, s.accounts, err)
	}
	return s.done(w, r, "/accounts", a.Name+" has its new credentials: revoke the old ones at Hetzner now")
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

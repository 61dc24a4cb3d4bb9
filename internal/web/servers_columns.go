package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// column is one that the table of servers can have, besides the name, which it always has.
type column struct {
	Name   string // in addresses and in the cookie
	Title  string
	Sort   string // what the store calls the order by it, "" if there is none
	Class  string // of its cells
	Chosen bool   // unless somebody chose otherwise
	text   func(serverRow) string
}

// serverColumns are all columns, in their order.
func serverColumns() []column {
	return []column{
		{"state", "State", "state", "state", true, func(r serverRow) string { return r.Status.Word }},
		{"power", "Power", "power", "short", true, func(r serverRow) string { return powerStatus(r.Power) }},
		{"product", "Product", "product", "product", true, func(r serverRow) string { return r.Product }},
		{"location", "Location", "location", "short", true, func(r serverRow) string { return r.Location }},
		{"address", "Address", "", "mono address", true, func(r serverRow) string { return r.Address }},
		{"private", "Private network", "private", "private", false, func(r serverRow) string { return r.PrivateIP }},
		{"cluster", "Cluster", "", "", true, func(r serverRow) string { return r.Cluster }},
		{"role", "Role", "role", "short", true, func(r serverRow) string { return string(r.Role) }},
		{"config", "Config", "", "", false, func(r serverRow) string { return r.Config }},
		{"cores", "Cores", "cores", "number", false, func(r serverRow) string { return figure(int64(r.Cores)) }},
		{"memory", "Memory", "memory", "number", false, func(r serverRow) string { return figure(r.Memory) }},
		{"disks", "Disks", "disks", "number", false, func(r serverRow) string { return figure(r.Disks) }},
		{"uuid", "UUID", "", "mono wrap", false, func(r serverRow) string { return r.UUID }},
		{"account", "Account", "", "", false, func(r serverRow) string { return r.Account }},
		{"number", "Number", "", "mono", false, func(r serverRow) string { return r.Number }},
		{"seen", "Listed", "seen", "short", false, func(r serverRow) string { return instant(r.Seen) }},
	}
}

// figure and instant are what a sheet says: bare figures, and nothing where nothing is known.
func figure(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// columnCookie keeps which columns somebody chose, as names between dots; it is no secret.
const columnCookie = "server-columns"

// columnsOf are the columns that a browser wants.
func columnsOf(r *http.Request) []column {
	wanted := map[string]bool{}
	c, err := r.Cookie(columnCookie)
	for name := range strings.SplitSeq(cookieValue(c), ".") {
		wanted[name] = true
	}
	return slices.DeleteFunc(serverColumns(), func(o column) bool {
		if err != nil {
			return !o.Chosen
		}
		return !wanted[o.Name]
	})
}

func cookieValue(c *http.Cookie) string {
	if c == nil {
		return ""
	}
	return c.Value
}

// chooseColumns keeps which columns the table is to have.
func (s *site) chooseColumns(w http.ResponseWriter, r *http.Request) error {
	var names []string
	for _, c := range serverColumns() {
		if slices.Contains(r.PostForm["column"], c.Name) {
			names = append(names, c.Name)
		}
	}
	cookie := http.Cookie{Name: columnCookie, Value: strings.Join(names, "."), Path: "/", MaxAge: int((365 * 24 * time.Hour).Seconds()), HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if r.PostFormValue("usual") != "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, &cookie)
	http.Redirect(w, r, ownAddress(r.PostFormValue("next")), http.StatusSeeOther)
	return nil
}

// ofFacts says that a column needs what the machine said of itself.
func (c column) ofFacts() bool {
	return c.Name == "cores" || c.Name == "memory" || c.Name == "disks" || c.Name == "uuid"
}

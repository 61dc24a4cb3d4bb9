package robot

import (
	"net/http"

	"github.com/talos-manager/talos-manager/internal/provider"
)

// Meters implements provider.Meter: the groups of endpoints that this driver calls.
func (d *Driver) Meters() []provider.Metered {
	var all []provider.Metered
	for _, g := range []struct{ method, path, what string }{
		{http.MethodPost, "/wol/1", "Wake-on-LAN"},
		{http.MethodPost, "/reset/1", "Restarts"},
		{http.MethodPost, "/vswitch/1/server", "Moves between vSwitches"},
		{http.MethodGet, "/server", "Listings and names of servers"},
		{http.MethodPost, "/key", "Uploads of the SSH key"},
		{http.MethodGet, "/reset/1", "Questions how a server restarts"},
		{http.MethodGet, "/boot/1/rescue", "Rescue system: asked and armed"},
		{http.MethodGet, "/vswitch", "Questions about vSwitches"},
		{http.MethodGet, "/key", "Questions about SSH keys"},
		{http.MethodGet, "/ip/1", "Questions about IP addresses"},
	} {
		group, limit := budgetOf(g.method, g.path)
		all = append(all, provider.Metered{Group: group, What: g.what, Limit: limit})
	}
	return all
}

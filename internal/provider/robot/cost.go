package robot

import (
	"net/http"

	"github.com/talos-manager/talos-manager/internal/provider"
)

var _ provider.Costly = (*Driver)(nil)

// RescueCosts implements provider.Costly: 50 resets an hour are what installs wait for.
func (d *Driver) RescueCosts() []provider.Cost {
	cost := func(method, path string) provider.Cost {
		group, limit := budgetOf(method, path)
		return provider.Cost{Group: group, Limit: limit}
	}
	reset := cost(http.MethodPost, "/reset/1")
	reset.Restart, reset.Scarce = 1, true
	look := cost(http.MethodGet, "/reset/1")
	look.Restart = 2
	boot := cost(http.MethodGet, "/boot/1/rescue")
	boot.Arm, boot.Arrive = 2, 1
	key := cost(http.MethodGet, "/key")
	key.Arm = 1
	return []provider.Cost{reset, look, boot, key}
}

package hcloud

import "github.com/talos-manager/talos-manager/internal/provider"

var _ provider.Costly = (*Driver)(nil)

// RescueCosts implements provider.Costly. How often an action is looked at depends on how long it takes.
func (d *Driver) RescueCosts() []provider.Cost {
	return []provider.Cost{{Group: budgetGroup, Limit: budgetLimit(), Arm: 6, Restart: 4, Scarce: true}}
}

package hcloud

import "github.com/talos-manager/talos-manager/internal/provider"

// Meters implements provider.Meter: a project has one counter for everything.
func (d *Driver) Meters() []provider.Metered {
	return []provider.Metered{{Group: budgetGroup, What: "All calls of the project", Limit: budgetLimit()}}
}

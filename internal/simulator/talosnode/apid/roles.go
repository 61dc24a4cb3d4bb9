package apid

import (
	"context"

	"github.com/siderolabs/talos/pkg/machinery/role"
)

type rolesKey struct{}

// Roles gives the roles of the caller whose call ctx belongs to; none for a context of something else.
func Roles(ctx context.Context) role.Set {
	roles, ok := ctx.Value(rolesKey{}).(role.Set)
	if !ok {
		return role.Zero
	}
	return roles
}

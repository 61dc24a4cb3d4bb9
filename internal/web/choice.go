package web

import "context"

// chosenDisk is the install disk that the assignment form shows as chosen.
func chosenDisk(ctx context.Context, d serverData) string {
	return typed(ctx, "assign", "installDisk", d.Server.Assignment.InstallDisk)
}

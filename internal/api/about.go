package api

import (
	"context"
	"runtime/debug"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/operation"
)

func (a *api) version(context.Context, *nothing) (*body[client.Version], error) {
	return &body[client.Version]{client.Version{Version: a.Version, Commit: commit(), Talos: machineconfig.NewestTalos(), Kubernetes: machineconfig.DefaultKubernetes()}}, nil
}

// commit is what the toolchain stamped into the binary, "" if it could not.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

func (a *api) sshKey(context.Context, *nothing) (*body[client.SSHKey], error) {
	k := a.Key.PublicKey()
	line := string(ssh.MarshalAuthorizedKey(k))
	return &body[client.SSHKey]{client.SSHKey{Public: line[:len(line)-1] + " talos-manager", SHA256: ssh.FingerprintSHA256(k), MD5: ssh.FingerprintLegacyMD5(k)}}, nil
}

func (a *api) checkAddress(ctx context.Context, _ *nothing) (*body[client.List[client.AddressCheck]], error) {
	return answer(items(a.Operations.CheckAddress(ctx), func(c operation.AddressCheck) client.AddressCheck {
		return client.AddressCheck{What: c.What, Problem: c.Problem, Hint: c.Hint, Warning: c.Warning}
	}), ctx.Err())
}

func (a *api) listVSwitches(ctx context.Context, _ *nothing) (*body[client.List[client.VSwitch]], error) {
	all, err := a.store.VSwitches(ctx, "")
	if err != nil {
		return nil, err
	}
	n, err := a.names(ctx)
	return answer(items(all, func(v fleet.VSwitch) client.VSwitch {
		return client.VSwitch{ID: v.ID, Account: n.ref(v.AccountID), ProviderID: v.ProviderID, Name: v.Name, VLAN: v.VLAN, MissingSince: v.MissingAt}
	}), err)
}

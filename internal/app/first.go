package app

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// sshKey gives the key of rescue systems: the setting's, or one that is generated at the first start and kept.
func (a *App) sshKey(ctx context.Context) (ssh.Signer, error) {
	if a.Settings.SSHKey != nil {
		return a.Settings.SSHKey, nil
	}
	kept, err := a.Store.EnsureSSHKey(ctx, generateKey)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(kept.Private)
	if err != nil {
		return nil, fmt.Errorf("SSH key of the database: %w", err)
	}
	return signer, nil
}

func generateKey() (store.SSHKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return store.SSHKey{}, err
	}
	block, err := ssh.MarshalPrivateKey(key, "talos-manager")
	if err != nil {
		return store.SSHKey{}, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return store.SSHKey{}, err
	}
	return store.SSHKey{Public: string(ssh.MarshalAuthorizedKey(signer.PublicKey())), Private: pem.EncodeToMemory(block)}, nil
}

// accountsOfSettings keeps the accounts that the settings name, as the reference application takes them from the
// environment. They are not tried here: a provider that is down must not keep the program from starting.
func (a *App) accountsOfSettings(ctx context.Context) error {
	for _, want := range []fleet.Account{
		{Name: "hetzner-cloud", Provider: fleet.HetznerCloud, Token: a.Settings.CloudToken},
		{Name: "hetzner-robot", Provider: fleet.HetznerRobot, User: a.Settings.RobotUser, Password: a.Settings.RobotPass},
	} {
		if want.Validate() != nil {
			continue // not set
		}
		if err := a.keepAccount(ctx, want); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) keepAccount(ctx context.Context, want fleet.Account) error {
	have, err := a.Store.Account(ctx, want.Name)
	if fleet.KindOf(err) == fleet.NotFound {
		want.ID, want.CreatedAt = fleet.NewID(), a.Manager.Now()
		_, err = a.Store.CreateAccount(ctx, want)
		if fleet.KindOf(err) == fleet.Conflict {
			return nil // another replica was faster
		}
		return err
	}
	if err != nil || have.Token == want.Token && have.User == want.User && have.Password == want.Password {
		return err
	}
	have.Token, have.User, have.Password = want.Token, want.User, want.Password
	return a.Store.UpdateAccount(ctx, have)
}

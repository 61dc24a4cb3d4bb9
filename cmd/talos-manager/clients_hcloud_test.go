package main

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"golang.org/x/crypto/ssh"
)

// hcloudReads: server list and describe, pages, what does not exist, a wrong token.
func (g *tour) hcloudReads(t *testing.T) {
	all, err := g.hcloud.Server.All(g.ctx)
	if err != nil || len(all) != 3 {
		t.Fatalf("%d servers, %v", len(all), err)
	}
	for _, s := range all {
		if s.ID == 0 || s.Status != hcloud.ServerStatusRunning || !s.PublicNet.IPv4.IP.IsLoopback() || s.PublicNet.IPv6.Network == nil ||
			s.ServerType == nil || s.ServerType.Name == "" || s.ServerType.Cores == 0 || s.Location == nil || s.Location.Name == "" ||
			s.Location.NetworkZone == "" || s.Created.IsZero() || s.Labels == nil || s.RescueEnabled || s.Locked || s.PrimaryDiskSize == 0 {
			t.Errorf("%+v", s)
		}
	}
	first, response, err := g.hcloud.Server.List(g.ctx, hcloud.ServerListOpts{ListOpts: hcloud.ListOpts{PerPage: 2}, Sort: []string{"name:desc"}})
	if p := response.Meta.Pagination; err != nil || len(first) != 2 || p == nil || p.TotalEntries != 3 || p.LastPage != 2 || p.NextPage != 2 || p.Page != 1 {
		t.Errorf("page 1: %d servers, %+v, %v", len(first), p, err)
	}
	if !slices.IsSortedFunc(first, func(a, b *hcloud.Server) int { return cmp.Compare(b.Name, a.Name) }) {
		t.Error("it does not sort")
	}
	second, response, err := g.hcloud.Server.List(g.ctx, hcloud.ServerListOpts{ListOpts: hcloud.ListOpts{PerPage: 2, Page: 2}})
	if p := response.Meta.Pagination; err != nil || len(second) != 1 || p.NextPage != 0 {
		t.Errorf("page 2: %d servers, %+v, %v", len(second), p, err)
	}
	one, _, err := g.hcloud.Server.GetByName(g.ctx, "worker-2")
	if err != nil || one == nil {
		t.Fatalf("describe: %v, %v", one, err)
	}
	if byID, _, err := g.hcloud.Server.GetByID(g.ctx, one.ID); err != nil || byID.Name != one.Name {
		t.Errorf("describe by id: %v, %v", byID, err)
	}
	if none, response, err := g.hcloud.Server.GetByID(g.ctx, 1); none != nil || err != nil || response.StatusCode != 404 {
		t.Errorf("of nothing: %v, %v", none, err)
	}
	if response.Header.Get("RateLimit-Limit") == "" || response.Header.Get("RateLimit-Remaining") == "" {
		t.Errorf("no budget in %v", response.Header)
	}
	stranger := hcloud.NewClient(hcloud.WithEndpoint(g.values["HCLOUD_ENDPOINT"]), hcloud.WithToken("wrong"))
	if _, err := stranger.Server.All(g.ctx); !hcloud.IsError(err, hcloud.ErrorCodeUnauthorized) {
		t.Errorf("a wrong token: %v", err)
	}
	g.rename(t, one)
}

// rename is server update.
func (g *tour) rename(t *testing.T, s *hcloud.Server) {
	renamed, _, err := g.hcloud.Server.Update(g.ctx, s, hcloud.ServerUpdateOpts{Name: "renamed", Labels: map[string]string{"a": "b"}})
	if err != nil || renamed.Name != "renamed" || renamed.Labels["a"] != "b" {
		t.Errorf("update: %+v, %v", renamed, err)
	}
	labelled, err := g.hcloud.Server.AllWithOpts(g.ctx, hcloud.ServerListOpts{ListOpts: hcloud.ListOpts{LabelSelector: "a=b"}})
	if err != nil || len(labelled) != 1 || labelled[0].ID != s.ID {
		t.Errorf("by label: %v, %v", labelled, err)
	}
	if _, _, err := g.hcloud.Server.Update(g.ctx, s, hcloud.ServerUpdateOpts{Name: "control-plane-2"}); !hcloud.IsError(err, hcloud.ErrorCodeUniquenessError) {
		t.Errorf("another one's name: %v", err)
	}
	if _, _, err := g.hcloud.Server.Update(g.ctx, s, hcloud.ServerUpdateOpts{Name: "not a name!"}); !hcloud.IsError(err, hcloud.ErrorCodeInvalidInput) {
		t.Errorf("no name: %v", err)
	}
	if _, _, err := g.hcloud.Server.Update(g.ctx, s, hcloud.ServerUpdateOpts{Name: s.Name, Labels: map[string]string{}}); err != nil {
		t.Error(err)
	}
}

// hcloudKeys: ssh-key list and create, with its errors.
func (g *tour) hcloudKeys(t *testing.T) {
	all, err := g.hcloud.SSHKey.All(g.ctx)
	if err != nil || len(all) != 1 || all[0].Name != "talos-manager" || all[0].Fingerprint == "" {
		t.Fatalf("%+v, %v", all, err)
	}
	public, _ := keyPair(t)
	text := string(ssh.MarshalAuthorizedKey(public))
	made, response, err := g.hcloud.SSHKey.Create(g.ctx, hcloud.SSHKeyCreateOpts{Name: "visitor", PublicKey: text, Labels: map[string]string{"of": "test"}})
	if err != nil || response.StatusCode != 201 || made.ID == 0 || made.Fingerprint != ssh.FingerprintLegacyMD5(public) || made.Created.IsZero() || made.Labels["of"] != "test" {
		t.Fatalf("%+v, %v", made, err)
	}
	_, _, err = g.hcloud.SSHKey.Create(g.ctx, hcloud.SSHKeyCreateOpts{Name: "again", PublicKey: text})
	if !hcloud.IsError(err, hcloud.ErrorCodeUniquenessError) {
		t.Errorf("the same key: %v", err)
	}
	_, _, err = g.hcloud.SSHKey.Create(g.ctx, hcloud.SSHKeyCreateOpts{Name: "garbage", PublicKey: "garbage"})
	var refusal hcloud.Error
	if !errors.As(err, &refusal) || refusal.Code != hcloud.ErrorCodeInvalidInput {
		t.Errorf("no key: %v", err)
	}
	if details, ok := refusal.Details.(hcloud.ErrorDetailsInvalidInput); !ok || len(details.Fields) != 1 || details.Fields[0].Name != "public_key" {
		t.Errorf("it does not say which field is wrong: %+v", refusal.Details)
	}
	if same, _, err := g.hcloud.SSHKey.GetByFingerprint(g.ctx, made.Fingerprint); err != nil || same == nil || same.ID != made.ID {
		t.Errorf("by fingerprint: %v, %v", same, err)
	}
	if _, err := g.hcloud.SSHKey.Delete(g.ctx, made); err != nil {
		t.Error(err)
	}
}

// keyPair makes a key and a file of its private half.
func keyPair(t *testing.T) (ssh.PublicKey, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key, file
}

// hcloudPower: reboot, reset, poweroff, poweron, each an action that ends; a node comes back after each.
func (g *tour) hcloudPower(t *testing.T) {
	s, _, err := g.hcloud.Server.GetByName(g.ctx, "worker-2")
	if err != nil || s == nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what   string
		action func() (*hcloud.Action, *hcloud.Response, error)
		then   hcloud.ServerStatus
	}{
		{"reboot_server", func() (*hcloud.Action, *hcloud.Response, error) { return g.hcloud.Server.Reboot(g.ctx, s) }, hcloud.ServerStatusRunning},
		{"reset_server", func() (*hcloud.Action, *hcloud.Response, error) { return g.hcloud.Server.Reset(g.ctx, s) }, hcloud.ServerStatusRunning},
		{"stop_server", func() (*hcloud.Action, *hcloud.Response, error) { return g.hcloud.Server.Poweroff(g.ctx, s) }, hcloud.ServerStatusOff},
		{"start_server", func() (*hcloud.Action, *hcloud.Response, error) { return g.hcloud.Server.Poweron(g.ctx, s) }, hcloud.ServerStatusRunning},
	} {
		a, response, err := c.action()
		if err != nil || response.StatusCode != 201 || a.Command != c.what || a.ID == 0 || a.Started.IsZero() || len(a.Resources) != 1 || a.Resources[0].ID != s.ID {
			t.Fatalf("%s: %+v, %v", c.what, a, err)
		}
		g.done(t, a)
		if now, _, err := g.hcloud.Server.GetByID(g.ctx, s.ID); err != nil || now.Status != c.then {
			t.Errorf("after %s it is %s, %v", c.what, now.Status, err)
		}
	}
	eventually(t, 15*time.Second, "the node is back", func() bool { return ready(node(t, g, g.kube(t), "worker-2")) })
}

func (g *tour) done(t *testing.T, all ...*hcloud.Action) {
	t.Helper()
	if err := g.hcloud.Action.WaitFor(g.ctx, all...); err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if now, _, err := g.hcloud.Action.GetByID(g.ctx, a.ID); err != nil || now.Status != hcloud.ActionStatusSuccess || now.Progress != 100 || now.Finished.IsZero() {
			t.Errorf("%s: %+v, %v", a.Command, now, err)
		}
	}
}

// rescue boots a server into its rescue system with a key of ours.
func (g *tour) rescue(t *testing.T, name string) (keyFile string) {
	t.Helper()
	public, file := keyPair(t)
	key, _, err := g.hcloud.SSHKey.Create(g.ctx, hcloud.SSHKeyCreateOpts{Name: "rescuer", PublicKey: string(ssh.MarshalAuthorizedKey(public))})
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := g.hcloud.Server.GetByName(g.ctx, name)
	if err != nil || s == nil {
		t.Fatal(err)
	}
	armed, _, err := g.hcloud.Server.EnableRescue(g.ctx, s, hcloud.ServerEnableRescueOpts{Type: hcloud.ServerRescueTypeLinux64, SSHKeys: []*hcloud.SSHKey{key}})
	if err != nil || armed.RootPassword == "" {
		t.Fatalf("enable rescue: %+v, %v", armed, err)
	}
	g.done(t, armed.Action)
	if now, _, err := g.hcloud.Server.GetByID(g.ctx, s.ID); err != nil || !now.RescueEnabled {
		t.Errorf("rescue is not enabled: %v", err)
	}
	reset, _, err := g.hcloud.Server.Reset(g.ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	g.done(t, reset)
	return file
}

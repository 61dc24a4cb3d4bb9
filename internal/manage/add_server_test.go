package manage_test

import (
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

const hostKey = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"

func TestAServerIsAddedByAddress(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := ok(l.AddServer(t.Context(), "ada", manage.NewServer{Name: "db-1", Address: "192.0.2.10:2222", HostKey: hostKey}))(t)
	kept := ok(l.Store.Server(t.Context(), "db-1"))(t)
	if kept.ID != s.ID || kept.Provider != fleet.Manual || kept.ProviderID != "192.0.2.10:2222" || kept.Address() != "192.0.2.10" || kept.SSHPort() != 2222 ||
		kept.HostKey != hostKey || kept.State != fleet.Known || kept.Power != fleet.PowerUnknown || kept.Architecture != fleet.AMD64 || kept.SeenAt.IsZero() {
		t.Errorf("kept is %+v", kept)
	}
	if got := l.said(t, "server.add"); got != "ada: added db-1 at 192.0.2.10:2222" {
		t.Error(got)
	}
	if a := ok(l.Store.Account(t.Context(), "manual"))(t); a.Provider != fleet.Manual || a.ID != kept.AccountID {
		t.Errorf("its account is %+v", a)
	}
	other := ok(l.AddServer(t.Context(), "ada", manage.NewServer{Name: "db-2", Address: "2001:db8::2", Architecture: fleet.ARM64, Account: "basement"}))(t)
	if a := ok(l.Store.Account(t.Context(), "basement"))(t); a.ID != other.AccountID || other.Address() != "2001:db8::2" {
		t.Errorf("in account %+v: %+v", a, other)
	}
	if again := ok(l.AddServer(t.Context(), "ada", manage.NewServer{Name: "db-3", Address: "192.0.2.12"}))(t); again.AccountID != kept.AccountID {
		t.Error("another account was made")
	}
}

func TestAServerThatCannotBeAddedIsRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "rented")
	rented := ok(l.Store.Server(t.Context(), "rented"))(t)
	ok(l.AddServer(t.Context(), "ada", manage.NewServer{Name: "db-1", Address: "192.0.2.10"}))(t)
	ok(l.AddServer(t.Context(), "ada", manage.NewServer{Name: "vm-1", Address: "127.0.0.1:2201"}))(t)
	ok(l.AddServer(t.Context(), "ada", manage.NewServer{Name: "vm-2", Address: "127.0.0.1:2202"}))(t)
	for _, tc := range []struct {
		why        string
		n          manage.NewServer
		kind       fleet.Kind
		text, hint string
	}{
		{"no name", manage.NewServer{Address: "192.0.2.11"}, fleet.Invalid, "DNS label", "63"},
		{"a name that is no host name", manage.NewServer{Name: "Bad_Name", Address: "192.0.2.11"}, fleet.Invalid, "DNS label", "63"},
		{"the name is taken", manage.NewServer{Name: "db-1", Address: "192.0.2.11"}, fleet.Conflict, "there is a server db-1 already, at 192.0.2.10", "another name"},
		{"the name is a rented server's", manage.NewServer{Name: "rented", Address: "192.0.2.11"}, fleet.Conflict, "there is a server rented", "another name"},
		{"the address is taken", manage.NewServer{Name: "db-2", Address: "192.0.2.10"}, fleet.Conflict, "server db-1 has the address 192.0.2.10", "server show db-1"},
		{"the address is taken, at another port", manage.NewServer{Name: "db-2", Address: "192.0.2.10:2222"}, fleet.Conflict, "server db-1 has the address", "server show db-1"},
		{"the address is a rented server's", manage.NewServer{Name: "db-2", Address: rented.IPv4}, fleet.Conflict, "server rented has the address", "server show rented"},
		{"a forwarded port is taken", manage.NewServer{Name: "vm-3", Address: "127.0.0.1:2201"}, fleet.Conflict, "server vm-1 has the address", "server show vm-1"},
		{"a DNS name", manage.NewServer{Name: "db-2", Address: "db-2.example.com"}, fleet.Invalid, "is no address", "look its address up"},
		{"an unknown architecture", manage.NewServer{Name: "db-2", Address: "192.0.2.11", Architecture: "riscv64"}, fleet.Invalid, "riscv64", "amd64"},
		{"a host key that is none", manage.NewServer{Name: "db-2", Address: "192.0.2.11", HostKey: "MD5:16:27"}, fleet.Invalid, "MD5:16:27", "ssh-keygen"},
		{"an account of Robot", manage.NewServer{Name: "db-2", Address: "192.0.2.11", Account: "robot"}, fleet.Invalid, "account robot is one of hetzner_robot", "provider manual"},
		{"an account whose name is none", manage.NewServer{Name: "db-2", Address: "192.0.2.11", Account: "my basement"}, fleet.Invalid, "DNS label", "63"},
	} {
		_, err := l.AddServer(t.Context(), "ada", tc.n)
		refused(t, tc.why, err, tc.kind, tc.text, tc.hint)
	}
	if n := len(ok(l.Store.Accounts(t.Context()))(t)); n != 2 {
		t.Errorf("%d accounts: a refusal made one", n)
	}
	_, err := l.RenameServer(t.Context(), "ada", "vm-1", "db-1")
	refused(t, "a rename to a name that is taken", err, fleet.Conflict, "there is a server db-1 already", "another name")
	if s := ok(l.RenameServer(t.Context(), "ada", "vm-1", "vm-9"))(t); s.Name != "vm-9" {
		t.Errorf("renamed to %s", s.Name)
	}
}

func TestAnAddressIsChangedWhereItDoesNoHarm(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "rented")
	ok(l.AddServer(t.Context(), "ada", manage.NewServer{Name: "db-1", Address: "192.0.2.10"}))(t)
	ok(l.AddServer(t.Context(), "ada", manage.NewServer{Name: "db-2", Address: "192.0.2.12"}))(t)
	l.cluster(t, "home", "db-1")
	s := ok(l.ChangeServerAddress(t.Context(), "ada", "db-1", manage.AddressChange{Address: ptr("2001:db8::7"), HostKey: ptr(hostKey)}))(t)
	if kept := ok(l.Store.Server(t.Context(), "db-1"))(t); kept.Address() != "2001:db8::7" || kept.ProviderID != "[2001:db8::7]:22" || kept.HostKey != hostKey || kept.ID != s.ID || !kept.Assignment.Assigned() {
		t.Errorf("kept is %+v", kept)
	}
	if got := l.said(t, "server.move"); got != "ada: moved db-1 from 192.0.2.10:22 to [2001:db8::7]:22" {
		t.Error(got)
	}
	ok(l.ChangeServerAddress(t.Context(), "ada", "db-1", manage.AddressChange{HostKey: ptr("")}))(t)
	if kept := ok(l.Store.Server(t.Context(), "db-1"))(t); kept.HostKey != "" || kept.Address() != "2001:db8::7" {
		t.Errorf("kept is %+v", kept)
	}
	_, err := l.ChangeServerAddress(t.Context(), "ada", "db-1", manage.AddressChange{Address: ptr("192.0.2.12")})
	refused(t, "another server is there", err, fleet.Conflict, "server db-2 has the address", "server show db-2")
	_, err = l.ChangeServerAddress(t.Context(), "ada", "rented", manage.AddressChange{Address: ptr("192.0.2.77")})
	refused(t, "a rented server", err, fleet.Invalid, "is one of hetzner_robot", "server sync")
}

func TestAServerIsRemovedOnlyIfNothingIsLost(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "rented")
	s := ok(l.AddServer(t.Context(), "ada", manage.NewServer{Name: "db-1", Address: "192.0.2.10"}))(t)
	c := l.cluster(t, "home", "db-1")
	refused(t, "it belongs to a cluster", l.RemoveServer(t.Context(), "ada", "db-1"), fleet.Conflict, "belongs to a cluster", "--cluster ''")
	ok(l.Assign(t.Context(), "ada", "db-1", manage.AssignmentChange{Cluster: ptr("")}))(t)
	op := fleet.Operation{ID: fleet.NewID(), Kind: "server.rescue", ServerID: s.ID, ClusterID: c.ID, State: fleet.Waiting, CreatedAt: s.CreatedAt, UpdatedAt: s.CreatedAt}
	must(t, l.Store.CreateOperation(t.Context(), op, []byte("{}")))
	refused(t, "an operation works on it", l.RemoveServer(t.Context(), "ada", "db-1"), fleet.Conflict, "has an operation that is not finished", itself)
	_, err := l.ChangeServerAddress(t.Context(), "ada", "db-1", manage.AddressChange{Address: ptr("192.0.2.77")})
	refused(t, "an operation works on it", err, fleet.Conflict, "has an operation that is not finished", "cancel it")
	refused(t, "a rented server", l.RemoveServer(t.Context(), "ada", "rented"), fleet.Conflict, "still listed by its account", itself)
	ok(l.AddServer(t.Context(), "ada", manage.NewServer{Name: "db-2", Address: "192.0.2.12"}))(t)
	must(t, l.RemoveServer(t.Context(), "ada", "db-2"))
	refused(t, "it is gone", l.RemoveServer(t.Context(), "ada", "db-2"), fleet.NotFound, "db-2", "")
	if got := l.said(t, "server.remove"); got != "ada: removed db-2 (192.0.2.12:22)" {
		t.Error(got)
	}
	ok(l.AddServer(t.Context(), "ada", manage.NewServer{Name: "db-2", Address: "192.0.2.12"}))(t)
}

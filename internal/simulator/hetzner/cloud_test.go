package hetzner_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"

	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

var ctx = context.Background()

// cloudOf makes an API of one project, and the official client for it.
func cloudOf(t *testing.T, w *world.World, o hetzner.CloudOptions) (*hetzner.Cloud, *hcloud.Client, *http.Client) {
	t.Helper()
	if o.Projects == nil {
		o.Projects = []hetzner.Project{{Token: hetzner.Token("one"), ReadOnly: []string{hetzner.Token("reader")}}}
	}
	cl := hetzner.NewCloud(w, o)
	plain := serve(t, w, "cloud.sim:80", cl)
	return cl, clientFor(plain, o.Projects[0].Token), plain
}

func clientFor(plain *http.Client, token string) *hcloud.Client {
	return hcloud.NewClient(hcloud.WithEndpoint("http://cloud.sim/v1"), hcloud.WithToken(token), hcloud.WithHTTPClient(plain),
		hcloud.WithPollOpts(hcloud.PollOpts{BackoffFunc: hcloud.ConstantBackoff(5 * time.Millisecond)}),
		hcloud.WithRetryOpts(hcloud.RetryOpts{BackoffFunc: hcloud.ConstantBackoff(time.Millisecond), MaxRetries: 3}))
}

// do awaits an action that must not fail.
func do(t *testing.T, c *hcloud.Client, a *hcloud.Action, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Action.WaitFor(ctx, a); err != nil {
		t.Fatal(err)
	}
}

func server(t *testing.T, c *hcloud.Client, idOrName string) *hcloud.Server {
	t.Helper()
	s, _, err := c.Server.Get(ctx, idOrName)
	if err != nil || s == nil {
		t.Fatalf("server %s: %v, %v", idOrName, s, err)
	}
	return s
}

func TestCloudListsAllServersOverPages(t *testing.T) {
	w := newWorld(t)
	_, c, _ := cloudOf(t, w, hetzner.CloudOptions{})
	addMachines(w, world.Cloud, hetzner.Token("one"), 120)
	addMachines(w, world.Cloud, hetzner.Token("other"), 3)

	all, err := c.Server.AllWithOpts(ctx, hcloud.ServerListOpts{Sort: []string{"name:desc"}})
	if err != nil || len(all) != 120 {
		t.Fatalf("%d servers, %v; want the 120 of the project", len(all), err)
	}
	if !slices.IsSortedFunc(all, func(a, b *hcloud.Server) int { return strings.Compare(b.Name, a.Name) }) {
		t.Error("not sorted by name, descending")
	}
	s := all[slices.IndexFunc(all, func(s *hcloud.Server) bool { return s.ID == 321 })]
	if s.ServerType.Name != "cx23" || s.ServerType.Cores != 2 || s.Location.Name != "fsn1" || s.Status != hcloud.ServerStatusOff ||
		s.PublicNet.IPv4.IP.String() != "203.0.113.10" || s.PublicNet.IPv6.Network.String() != "2001:db8:10:20::/64" || s.Created.IsZero() {
		t.Errorf("server = %+v", s)
	}
	page, resp, err := c.Server.List(ctx, hcloud.ServerListOpts{ListOpts: hcloud.ListOpts{Page: 3, PerPage: 50}})
	if p := resp.Meta.Pagination; err != nil || len(page) != 20 || p.NextPage != 0 || p.PreviousPage != 2 || p.LastPage != 3 || p.TotalEntries != 120 {
		t.Errorf("last page: %d servers, %+v, %v", len(page), p, err)
	}
}

func TestCloudFindsByNumberThenByName(t *testing.T) {
	w := newWorld(t)
	_, c, _ := cloudOf(t, w, hetzner.CloudOptions{})
	m := addMachines(w, world.Cloud, hetzner.Token("one"), 1)[0]
	if s := server(t, c, "321"); s.Name != m.Name {
		t.Errorf("by id: %s", s.Name)
	}
	if s := server(t, c, "node-1"); s.ID != 321 {
		t.Errorf("by name: %d", s.ID)
	}
	if s, _, err := c.Server.Get(ctx, "4712"); s != nil || err != nil {
		t.Errorf("unknown number: %v, %v; want neither", s, err)
	}
}

func TestCloudRescueIsOneBoot(t *testing.T) {
	w := newWorld(t)
	_, c, _ := cloudOf(t, w, hetzner.CloudOptions{})
	m := addMachines(w, world.Cloud, hetzner.Token("one"), 1)[0]
	line, public := publicKey(t)
	key, _, err := c.SSHKey.Create(ctx, hcloud.SSHKeyCreateOpts{Name: "ops", PublicKey: line})
	if err != nil {
		t.Fatal(err)
	}
	s := server(t, c, "321")
	a, _, err := c.Server.Poweron(ctx, s)
	do(t, c, a, err)
	until(t, "the installed system", func() bool { return m.System() != nil })

	r, _, err := c.Server.EnableRescue(ctx, s, hcloud.ServerEnableRescueOpts{Type: hcloud.ServerRescueTypeLinux64, SSHKeys: []*hcloud.SSHKey{key}})
	if err != nil || r.RootPassword == "" {
		t.Fatalf("enable rescue: %+v, %v", r, err)
	}
	do(t, c, r.Action, err)
	if s := server(t, c, "321"); !s.RescueEnabled || m.Boots() != 1 {
		t.Errorf("rescue enabled %v after %d boots; want armed, not rebooted", s.RescueEnabled, m.Boots())
	}
	a, _, err = c.Server.Reset(ctx, s)
	do(t, c, a, err)
	until(t, "the rescue system", func() bool { sys, ok := m.System().(*system); return ok && sys.rescue != nil })
	got := m.System().(*system).rescue
	if got.Password != r.RootPassword || len(got.Keys) != 1 || string(got.Keys[0].Marshal()) != string(public.Marshal()) || len(got.HostKeys) != 3 {
		t.Errorf("the machine boots %+v", got)
	}
	if s := server(t, c, "321"); s.RescueEnabled || s.Status != hcloud.ServerStatusRunning {
		t.Errorf("after the boot: rescue %v, %s", s.RescueEnabled, s.Status)
	}
	a, _, err = c.Server.Reset(ctx, s)
	do(t, c, a, err)
	until(t, "the installed system again", func() bool { sys, ok := m.System().(*system); return ok && sys.rescue == nil })
}

func TestCloudRescueLapses(t *testing.T) {
	w, now := newWorld(t), newClock()
	_, c, _ := cloudOf(t, w, hetzner.CloudOptions{Now: now.Now})
	m := addMachines(w, world.Cloud, hetzner.Token("one"), 1)[0]
	s := server(t, c, "321")
	r, _, err := c.Server.EnableRescue(ctx, s, hcloud.ServerEnableRescueOpts{})
	do(t, c, r.Action, err)
	now.Add(61 * time.Minute)
	if s := server(t, c, "321"); s.RescueEnabled || m.Armed() != nil {
		t.Error("still armed after an hour")
	}
	r, _, err = c.Server.EnableRescue(ctx, s, hcloud.ServerEnableRescueOpts{})
	do(t, c, r.Action, err)
	a, _, err := c.Server.DisableRescue(ctx, s)
	do(t, c, a, err)
	if s := server(t, c, "321"); s.RescueEnabled || m.Armed() != nil {
		t.Error("still armed after disable_rescue")
	}
}

func TestCloudPower(t *testing.T) {
	w := newWorld(t)
	_, c, _ := cloudOf(t, w, hetzner.CloudOptions{})
	m := addMachines(w, world.Cloud, hetzner.Token("one"), 1)[0]
	s := server(t, c, "321")
	is := func(want hcloud.ServerStatus) {
		t.Helper()
		until(t, string(want), func() bool { return server(t, c, "321").Status == want })
	}
	up := func() { until(t, "a system", func() bool { return m.System() != nil }) }

	a, _, err := c.Server.Reset(ctx, s) // does nothing to a server that is off
	do(t, c, a, err)
	a, _, err = c.Server.Reboot(ctx, s)
	do(t, c, a, err)
	is(hcloud.ServerStatusOff)
	a, _, err = c.Server.Poweron(ctx, s)
	do(t, c, a, err)
	is(hcloud.ServerStatusRunning)
	up()
	a, _, err = c.Server.Reboot(ctx, s)
	do(t, c, a, err)
	until(t, "the second boot", func() bool { return m.Boots() == 2 })
	up()
	a, _, err = c.Server.Shutdown(ctx, s)
	do(t, c, a, err)
	is(hcloud.ServerStatusOff)
	a, _, err = c.Server.Poweron(ctx, s)
	do(t, c, a, err)
	a, _, err = c.Server.Poweroff(ctx, s)
	do(t, c, a, err)
	is(hcloud.ServerStatusOff)
}

func TestCloudLocksTheServerOfAnAction(t *testing.T) {
	w := world.New(world.Options{Speed: 10})
	t.Cleanup(w.Close)
	_, c, _ := cloudOf(t, w, hetzner.CloudOptions{})
	addMachines(w, world.Cloud, hetzner.Token("one"), 2)
	s := server(t, c, "321")
	a, _, err := c.Server.Poweron(ctx, s)
	if err != nil || a.Status != hcloud.ActionStatusRunning {
		t.Fatalf("%+v, %v", a, err)
	}
	if !server(t, c, "321").Locked {
		t.Error("not shown as locked")
	}
	if _, resp, err := c.Server.Reset(ctx, s); !hcloud.IsError(err, hcloud.ErrorCodeLocked) || resp.StatusCode != 423 {
		t.Errorf("reset meanwhile: %v; want 423 locked", err)
	}
	if _, err := c.Server.Delete(ctx, s); !hcloud.IsError(err, hcloud.ErrorCodeLocked) {
		t.Errorf("delete meanwhile: %v; want 423 locked", err)
	}
	if a, _, err := c.Server.Reset(ctx, server(t, c, "322")); err != nil {
		t.Errorf("the other server: %v", err)
	} else {
		do(t, c, a, err)
	}
	do(t, c, a, nil)
	if server(t, c, "321").Locked {
		t.Error("locked for ever")
	}
	done, err := c.Server.Action.AllFor(ctx, s, hcloud.ActionListOpts{})
	if err != nil || len(done) != 1 || done[0].Command != "start_server" || done[0].Progress != 100 || done[0].Finished.IsZero() {
		t.Errorf("its actions: %+v, %v", done, err)
	}
}

func TestCloudServersAreCreatedAndDeleted(t *testing.T) {
	w := newWorld(t)
	cl, c, _ := cloudOf(t, w, hetzner.CloudOptions{})
	kind, _, err := c.ServerType.GetByName(ctx, "cx23")
	if err != nil {
		t.Fatal(err)
	}
	img, _, err := c.Image.GetByNameAndArchitecture(ctx, "ubuntu-24.04", kind.Architecture)
	if err != nil || img == nil {
		t.Fatal(img, err)
	}
	line, _ := publicKey(t)
	key, _, err := c.SSHKey.Create(ctx, hcloud.SSHKeyCreateOpts{Name: "ops", PublicKey: line})
	if err != nil {
		t.Fatal(err)
	}
	opts := hcloud.ServerCreateOpts{
		Name: "db-1", ServerType: kind, Image: img, Location: &hcloud.Location{Name: "hel1"}, SSHKeys: []*hcloud.SSHKey{key},
		UserData: "#cloud-config", Labels: map[string]string{"role": "db"}, PublicNet: &hcloud.ServerCreatePublicNet{EnableIPv6: true},
	}
	r, _, err := c.Server.Create(ctx, opts)
	if err != nil || r.RootPassword != "" || r.Server.Status != hcloud.ServerStatusInitializing || !r.Server.Locked || len(r.NextActions) != 1 {
		t.Fatalf("create: %+v, %v", r, err)
	}
	if err := c.Action.WaitFor(ctx, append(r.NextActions, r.Action)...); err != nil {
		t.Fatal(err)
	}
	s := server(t, c, "db-1")
	if s.Status != hcloud.ServerStatusRunning || !s.PublicNet.IPv4.IsUnspecified() || s.PublicNet.IPv6.IsUnspecified() || s.Location.Name != "hel1" ||
		s.Image.Name != "ubuntu-24.04" || s.Labels["role"] != "db" {
		t.Errorf("created %+v", s)
	}
	machines := w.Machines()
	if len(machines) != 1 || machines[0].Number != s.ID || cl.UserData(machines[0]) != "#cloud-config" {
		t.Fatalf("the world has %v", machines)
	}
	if _, _, err := c.Server.Create(ctx, opts); !hcloud.IsError(err, hcloud.ErrorCodeUniquenessError) {
		t.Errorf("the same name again: %v", err)
	}
	opts.Name = "not_a_host"
	if _, _, err := c.Server.Create(ctx, opts); !hcloud.IsError(err, hcloud.ErrorCodeInvalidInput) {
		t.Errorf("a bad name: %v", err)
	}
	gone, _, err := c.Server.DeleteWithResult(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	do(t, c, gone.Action, nil)
	if s, _, err := c.Server.GetByID(ctx, s.ID); s != nil || err != nil || len(w.Machines()) != 0 {
		t.Errorf("after delete: %v, %v, %d machines", s, err, len(w.Machines()))
	}
}

func TestCloudNamesAndLabels(t *testing.T) {
	w := newWorld(t)
	_, c, _ := cloudOf(t, w, hetzner.CloudOptions{})
	addMachines(w, world.Cloud, hetzner.Token("one"), 3)
	for name, labels := range map[string]map[string]string{"node-1": {"role": "cp", "zone": "a"}, "node-2": {"role": "worker"}} {
		if _, _, err := c.Server.Update(ctx, server(t, c, name), hcloud.ServerUpdateOpts{Labels: labels}); err != nil {
			t.Fatal(err)
		}
	}
	for selector, want := range map[string]string{
		"role":                 "node-1 node-2",
		"!role":                "node-3",
		"role=cp":              "node-1",
		"role==cp,zone=a":      "node-1",
		"role!=cp":             "node-2 node-3",
		"role in (cp, worker)": "node-1 node-2",
		"role notin (worker)":  "node-1 node-3",
		"role=cp,!zone":        "",
	} {
		all, err := c.Server.AllWithOpts(ctx, hcloud.ServerListOpts{ListOpts: hcloud.ListOpts{LabelSelector: selector}})
		var names []string
		for _, s := range all {
			names = append(names, s.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("%q selects %q, %v; want %q", selector, got, err, want)
		}
	}
	if _, err := c.Server.AllWithOpts(ctx, hcloud.ServerListOpts{ListOpts: hcloud.ListOpts{LabelSelector: "a=(b"}}); !hcloud.IsError(err, hcloud.ErrorCodeInvalidInput) {
		t.Errorf("a bad selector: %v", err)
	}
	s := server(t, c, "node-3")
	if _, _, err := c.Server.Update(ctx, s, hcloud.ServerUpdateOpts{Name: "node-1"}); !hcloud.IsError(err, hcloud.ErrorCodeUniquenessError) {
		t.Errorf("a name that is taken: %v", err)
	}
	if _, _, err := c.Server.Update(ctx, s, hcloud.ServerUpdateOpts{Labels: map[string]string{"a b": "c"}}); !hcloud.IsError(err, hcloud.ErrorCodeInvalidInput) {
		t.Errorf("a bad label: %v", err)
	}
	if s, _, err := c.Server.Update(ctx, s, hcloud.ServerUpdateOpts{Name: "db-3"}); err != nil || s.Name != "db-3" {
		t.Errorf("rename: %v, %v", s, err)
	}
}

func TestCloudKeysAreUnique(t *testing.T) {
	w := newWorld(t)
	_, c, _ := cloudOf(t, w, hetzner.CloudOptions{})
	line, _ := publicKey(t)
	k, _, err := c.SSHKey.Create(ctx, hcloud.SSHKeyCreateOpts{Name: "ops", PublicKey: line})
	if err != nil {
		t.Fatal(err)
	}
	if _, resp, err := c.SSHKey.Create(ctx, hcloud.SSHKeyCreateOpts{Name: "other", PublicKey: line}); !hcloud.IsError(err, hcloud.ErrorCodeUniquenessError) || resp.StatusCode != 409 {
		t.Errorf("the same key: %v", err)
	}
	second, _ := publicKey(t)
	if _, _, err := c.SSHKey.Create(ctx, hcloud.SSHKeyCreateOpts{Name: "ops", PublicKey: second}); !hcloud.IsError(err, hcloud.ErrorCodeUniquenessError) {
		t.Errorf("the same name: %v", err)
	}
	if _, _, err := c.SSHKey.Create(ctx, hcloud.SSHKeyCreateOpts{Name: "bad", PublicKey: "ssh-ed25519 nonsense"}); !hcloud.IsError(err, hcloud.ErrorCodeInvalidInput) {
		t.Errorf("no key: %v", err)
	}
	if found, _, err := c.SSHKey.GetByFingerprint(ctx, k.Fingerprint); err != nil || found == nil || found.ID != k.ID {
		t.Errorf("by fingerprint: %v, %v", found, err)
	}
	if k, _, err = c.SSHKey.Update(ctx, k, hcloud.SSHKeyUpdateOpts{Name: "admins"}); err != nil || k.Name != "admins" {
		t.Errorf("rename: %v, %v", k, err)
	}
	if _, err := c.SSHKey.Delete(ctx, k); err != nil {
		t.Error(err)
	}
	if all, err := c.SSHKey.All(ctx); err != nil || len(all) != 0 {
		t.Errorf("%d keys left, %v", len(all), err)
	}
}

func TestCloudLimitsCalls(t *testing.T) {
	w, now := newWorld(t), newClock()
	cl, c, _ := cloudOf(t, w, hetzner.CloudOptions{Now: now.Now, Limit: 3600})
	var last *hcloud.Response
	for range 3600 {
		_, resp, err := c.Location.GetByID(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		last = resp
	}
	if r := last.Meta.Ratelimit; r.Limit != 3600 || r.Remaining != 0 || !r.Reset.Equal(now.Now().Add(time.Hour)) {
		t.Errorf("limit %+v", r)
	}
	_, resp, err := c.Location.GetByID(ctx, 1)
	if !hcloud.IsError(err, hcloud.ErrorCodeRateLimitExceeded) || resp.StatusCode != 429 {
		t.Errorf("call 3601: %v", err)
	}
	now.Add(2 * time.Second)
	for i, want := range []bool{true, true, false} {
		if _, _, err := c.Location.GetByID(ctx, 1); (err == nil) != want {
			t.Errorf("two seconds later, call %d: %v", i+1, err)
		}
	}
	count := cl.Counts(hetzner.Token("one"))["GET /locations/{id}"]
	if count.Calls != 3602 || count.Refused < 2 {
		t.Errorf("counted %+v", count)
	}
}

func TestCloudRefusesInItsOrder(t *testing.T) {
	w := newWorld(t)
	_, _, plain := cloudOf(t, w, hetzner.CloudOptions{})
	addMachines(w, world.Cloud, hetzner.Token("one"), 1)
	for _, tc := range []struct {
		reason, method, path, token, body string
		status                            int
		code, message                     string
	}{
		{"no token", "GET", "/v1/servers", "", "", 401, "unauthorized", "token is required"},
		{"a wrong token", "GET", "/v1/servers", "x", "", 401, "unauthorized", "the token you have provided is invalid"},
		{"no such route is known without a token", "GET", "/v1/nothing", "", "", 404, "not_found", "api route not found"},
		{"outside of v1", "GET", "/servers", "one", "", 404, "not_found", "api route not found"},
		{"a wrong method needs a token first", "DELETE", "/v1/servers", "", "", 401, "unauthorized", "token is required"},
		{"a wrong method", "DELETE", "/v1/servers", "one", "", 405, "method_not_allowed", ""},
		{"a reader writes", "POST", "/v1/servers/321/actions/reset", "reader", "", 401, "token_readonly", ""},
		{"no JSON", "POST", "/v1/ssh_keys", "one", "{", 400, "json_error", ""},
		{"the wrong type", "POST", "/v1/ssh_keys", "one", `{"name":1}`, 422, "invalid_input", ""},
		{"no such server", "GET", "/v1/servers/1", "one", "", 404, "not_found", "server not found"},
		{"data centres are gone", "GET", "/v1/datacenters", "one", "", 410, "deprecated_api_endpoint", ""},
		{"all actions cannot be listed", "GET", "/v1/actions", "one", "", 422, "invalid_input", ""},
	} {
		req, _ := http.NewRequest(tc.method, "http://cloud.sim"+tc.path, strings.NewReader(tc.body))
		token := tc.token
		if token == "one" || token == "reader" {
			token = hetzner.Token(token)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := plain.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Error struct {
				Code, Message string
				Details       *map[string]any
			}
		}
		err = json.NewDecoder(resp.Body).Decode(&got)
		resp.Body.Close()
		if err != nil || resp.StatusCode != tc.status || got.Error.Code != tc.code || tc.message != "" && got.Error.Message != tc.message ||
			resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("X-Correlation-Id") == "" {
			t.Errorf("%s: %d %+v %v %v", tc.reason, resp.StatusCode, got, resp.Header, err)
		}
	}
	if all, err := clientFor(plain, hetzner.Token("reader")).Server.All(ctx); err != nil || len(all) != 1 {
		t.Errorf("a reader reads: %d, %v", len(all), err)
	}
}

func TestCloudKnowsWhatTheCommandLineAsksFor(t *testing.T) {
	w := newWorld(t)
	_, c, _ := cloudOf(t, w, hetzner.CloudOptions{})
	addMachines(w, world.Cloud, hetzner.Token("one"), 1)
	count := func(what string, n int, err error, want int) {
		t.Helper()
		if err != nil || n != want {
			t.Errorf("%d %s, %v; want %d", n, what, err, want)
		}
	}
	types, err := c.ServerType.All(ctx)
	count("server types", len(types), err, 11)
	locations, err := c.Location.All(ctx)
	count("locations", len(locations), err, 6)
	images, err := c.Image.AllWithOpts(ctx, hcloud.ImageListOpts{Architecture: []hcloud.Architecture{hcloud.ArchitectureARM}, Type: []hcloud.ImageType{hcloud.ImageTypeSystem}})
	count("images", len(images), err, 4)
	isos, err := c.ISO.All(ctx)
	count("isos", len(isos), err, 2)
	primary, err := c.PrimaryIP.All(ctx)
	count("primary IPs", len(primary), err, 2)
	volumes, err := c.Volume.All(ctx)
	count("volumes", len(volumes), err, 0)
	floating, err := c.FloatingIP.All(ctx)
	count("floating IPs", len(floating), err, 0)
	balancers, err := c.LoadBalancer.All(ctx)
	count("load balancers", len(balancers), err, 0)
	prices, _, err := c.Pricing.Get(ctx)
	count("priced server types", len(prices.ServerTypes), err, 11)
	if _, resp, _ := c.Volume.GetByID(ctx, 1); resp.StatusCode != 404 {
		t.Errorf("a volume: %d", resp.StatusCode)
	}
}

func TestCloudNetworksFirewallsAndGroups(t *testing.T) {
	w := newWorld(t)
	_, c, _ := cloudOf(t, w, hetzner.CloudOptions{})
	_, whole, _ := net.ParseCIDR("10.0.0.0/16")
	_, part, _ := net.ParseCIDR("10.0.1.0/24")
	n, _, err := c.Network.Create(ctx, hcloud.NetworkCreateOpts{
		Name: "lan", IPRange: whole,
		Subnets: []hcloud.NetworkSubnet{{Type: hcloud.NetworkSubnetTypeCloud, IPRange: part, NetworkZone: hcloud.NetworkZoneEUCentral}},
	})
	if err != nil {
		t.Fatal(err)
	}
	g, _, err := c.PlacementGroup.Create(ctx, hcloud.PlacementGroupCreateOpts{Name: "spread", Type: hcloud.PlacementGroupTypeSpread})
	if err != nil {
		t.Fatal(err)
	}
	f, _, err := c.Firewall.Create(ctx, hcloud.FirewallCreateOpts{Name: "closed", Rules: []hcloud.FirewallRule{{
		Direction: hcloud.FirewallRuleDirectionIn,
		Protocol:  hcloud.FirewallRuleProtocolTCP, Port: hcloud.Ptr("22"), SourceIPs: []net.IPNet{*whole},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := c.Server.Create(ctx, hcloud.ServerCreateOpts{
		Name: "arm-1", ServerType: &hcloud.ServerType{Name: "cax11"}, Image: &hcloud.Image{Name: "debian-12"},
		Networks: []*hcloud.Network{n}, PlacementGroup: g.PlacementGroup, Firewalls: []*hcloud.ServerCreateFirewall{{Firewall: *f.Firewall}},
	})
	if err != nil || r.RootPassword == "" {
		t.Fatal(r, err)
	}
	do(t, c, r.Action, nil)
	do(t, c, r.NextActions[0], nil)
	s := server(t, c, "arm-1")
	if len(s.PrivateNet) != 1 || s.PrivateNet[0].IP.String() != "10.0.1.2" || s.PlacementGroup.Name != "spread" || s.PublicNet.Firewalls[0].Firewall.ID != f.Firewall.ID ||
		w.Machines()[0].Arch != "arm64" {
		t.Errorf("server %+v", s)
	}
	n, _, err = c.Network.GetByName(ctx, "lan")
	if err != nil || len(n.Servers) != 1 || n.Subnets[0].Gateway.String() != "10.0.0.1" {
		t.Errorf("network %+v, %v", n, err)
	}
	if _, err := c.Firewall.Delete(ctx, f.Firewall); !hcloud.IsError(err, hcloud.ErrorCodeResourceInUse) {
		t.Errorf("delete a firewall in use: %v", err)
	}
	if _, err := c.Network.Delete(ctx, n); err != nil {
		t.Error(err)
	}
	if s := server(t, c, "arm-1"); len(s.PrivateNet) != 0 {
		t.Errorf("still attached: %+v", s.PrivateNet)
	}
}

func TestCloudFaults(t *testing.T) {
	for _, tc := range []struct {
		reason string
		fault  hetzner.Fault
		want   func(n int, err error) bool
	}{
		{"409 conflict is retried by the client", hetzner.Fault{Status: 409, Code: "conflict"}, func(n int, err error) bool { return n == 4 && err == nil }},
		{"423 is not", hetzner.Fault{Status: 423, Code: "locked"}, func(_ int, err error) bool { return hcloud.IsError(err, hcloud.ErrorCodeLocked) }},
		{"a bare 503", hetzner.Fault{Status: 503}, func(_ int, err error) bool { return errors.Is(err, hcloud.ErrStatusCode) }},
		{"no JSON", hetzner.Fault{Body: hetzner.Malformed}, func(_ int, err error) bool { var s *json.SyntaxError; return errors.As(err, &s) }},
		{"half of the body", hetzner.Fault{Body: hetzner.Truncated}, func(_ int, err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		{"half of the page", hetzner.Fault{Body: hetzner.PartialPage}, func(n int, err error) bool { return n == 2 && err == nil }},
		{"nothing", hetzner.Fault{Body: hetzner.EmptyListing}, func(n int, err error) bool { return n == 0 && err == nil }},
		{"only the first of two paths", hetzner.Fault{Path: "/networks", Status: 500}, func(n int, err error) bool { return n == 4 && err == nil }},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			w := newWorld(t)
			cl, c, _ := cloudOf(t, w, hetzner.CloudOptions{})
			addMachines(w, world.Cloud, hetzner.Token("one"), 4)
			cl.Inject(tc.fault)
			if all, err := c.Server.All(ctx); !tc.want(len(all), err) {
				t.Errorf("%d servers, %v", len(all), err)
			}
			cl.Clear()
			if all, err := c.Server.All(ctx); len(all) != 4 || err != nil {
				t.Errorf("afterwards: %d servers, %v", len(all), err)
			}
		})
	}
}

func TestCloudActionsFail(t *testing.T) {
	w := newWorld(t)
	cl, c, _ := cloudOf(t, w, hetzner.CloudOptions{})
	m := addMachines(w, world.Cloud, hetzner.Token("one"), 1)[0]
	cl.Fault(func(f *hetzner.CloudFaults) { f.ActionFails, f.ActionCode = 1, "action_failed" })
	s := server(t, c, "321")
	a, _, err := c.Server.Poweron(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	var failed hcloud.ActionError
	if err := c.Action.WaitFor(ctx, a); !errors.As(err, &failed) || failed.Code != "action_failed" || m.On() {
		t.Errorf("%v, on %v", err, m.On())
	}
	a, _, err = c.Server.Poweron(ctx, s)
	do(t, c, a, err)
}

func TestCloudAnswersInTheRecordedShapes(t *testing.T) {
	w := newWorld(t)
	_, _, plain := cloudOf(t, w, hetzner.CloudOptions{})
	addMachines(w, world.Cloud, hetzner.Token("one"), 1)
	ask := func(method, path, body string) []byte {
		req, _ := http.NewRequest(method, "http://cloud.sim/v1"+path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+hetzner.Token("one"))
		resp, err := plain.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, _ := io.ReadAll(resp.Body)
		return got
	}
	sameShape(t, "cloud/server.json", ask("PUT", "/servers/321", `{"labels":{"role":"cp"}}`))
	sameShape(t, "cloud/error-invalid.json", ask("PUT", "/servers/321", `{"name":"not a host"}`))
	sameShape(t, "cloud/action.json", ask("POST", "/servers/321/actions/poweron", ""))
	var listing map[string]any
	if err := json.Unmarshal(ask("GET", "/servers", ""), &listing); err != nil {
		t.Fatal(err)
	}
	meta, _ := json.Marshal(map[string]any{"meta": listing["meta"]})
	if !strings.Contains(string(meta), `"next_page":null`) {
		t.Errorf("the last page has a next: %s", meta)
	}
}

package web_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/talos-manager/talos-manager/internal/app"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/httpd"
	"github.com/talos-manager/talos-manager/internal/simulator"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

const (
	password      = "correct horse"
	robotUser     = "#ws+test"
	robotPassword = "secret-of-robot"
)

var cloudToken = hetzner.Token("test")

// lab is the whole program on a simulated Hetzner, and a browser without JavaScript that is logged in. Its engine
// does not run: what is asked for stays queued.
type lab struct {
	sim     *simulator.Simulator
	app     *app.App
	store   *store.Store
	server  *httptest.Server
	browser *http.Client
}

func newLab(t testing.TB) *lab {
	t.Helper()
	sim, err := simulator.New(simulator.Options{
		World: world.Options{Speed: 60, Seed: 1},
		Robot: hetzner.RobotOptions{Logins: []hetzner.Login{{User: robotUser, Password: robotPassword}}},
		Cloud: hetzner.CloudOptions{Projects: []hetzner.Project{{Token: cloudToken}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	settings, err := app.Read(map[string]string{
		"data-dir": t.TempDir(), "password": password, "host": "https://manager.example.com",
		"pace": "60", "robot-url": sim.RobotURL(), "cloud-url": sim.CloudURL(), "factory-url": sim.FactoryURL(),
	}, func(string) string { return "" }, "")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	a, err := app.New(t.Context(), settings, app.Options{Version: "test", Log: log, Dial: sim.Dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	l := &lab{sim: sim, app: a, store: a.Store}
	l.server = httptest.NewServer(httpd.Recover(log, httpd.Secure(a.Handler)))
	t.Cleanup(l.server.Close)
	l.browser = l.newBrowser(t)
	l.login(t, password)
	return l
}

// newBrowser is one nobody has logged in with.
func (l *lab) newBrowser(t testing.TB) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, Timeout: time.Minute}
}

func (l *lab) login(t testing.TB, with string) {
	t.Helper()
	r, err := l.browser.PostForm(l.server.URL+"/login", url.Values{"password": {with}})
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusOK || r.Request.URL.Path != "/" {
		t.Fatalf("login: %s at %s", r.Status, r.Request.URL)
	}
}

// get reads a page and checks its structure.
func (l *lab) get(t testing.TB, path string, want int) *page {
	t.Helper()
	r, err := l.browser.Get(l.server.URL + path)
	return l.read(t, r, err, want)
}

func (l *lab) read(t testing.TB, r *http.Response, err error, want int) *page {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	p := &page{root: root, source: string(body), path: r.Request.URL.RequestURI(), header: r.Header}
	if r.StatusCode != want {
		t.Fatalf("%s %s: %s, want %d\n%s", r.Request.Method, p.path, r.Status, want, p.text())
	}
	if want != http.StatusNotModified && strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
		p.check(t)
	}
	return p
}

// submit fills in the form with this action and sends it, as a browser without JavaScript does, and follows the
// redirect.
func (l *lab) submit(t testing.TB, p *page, action string, fill url.Values, want int) *page {
	t.Helper()
	form := p.form(t, action)
	values := fieldsOf(form)
	for name, value := range fill {
		if _, there := values[name]; !there && !hasField(form, name) {
			t.Fatalf("%s: form %s has no field %s", p.path, action, name)
		}
		values[name] = value
	}
	if attr(form, "method") != "post" {
		r, err := l.browser.Get(l.server.URL + action + "?" + values.Encode())
		return l.read(t, r, err, want)
	}
	r, err := l.browser.PostForm(l.server.URL+action, values)
	return l.read(t, r, err, want)
}

// accounts adds both accounts as records; nobody is asked.
func (l *lab) accounts(t testing.TB) (robot, cloud fleet.Account) {
	t.Helper()
	robot, err := l.store.CreateAccount(t.Context(), fleet.Account{Name: "robot", Provider: fleet.HetznerRobot, User: robotUser, Password: robotPassword})
	if err != nil {
		t.Fatal(err)
	}
	cloud, err = l.store.CreateAccount(t.Context(), fleet.Account{Name: "cloud", Provider: fleet.HetznerCloud, Token: cloudToken})
	if err != nil {
		t.Fatal(err)
	}
	return robot, cloud
}

// rent adds machines to the simulated world and syncs.
func (l *lab) rent(t testing.TB, names ...string) {
	t.Helper()
	for i, name := range names {
		if i%2 == 0 {
			l.sim.AddDedicated(robotUser, name)
		} else {
			l.sim.AddCloud(cloudToken, name)
		}
	}
	if err := l.app.Reconciler.SyncAll(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (l *lab) serverNamed(t testing.TB, name string) fleet.Server {
	t.Helper()
	s, err := l.store.Server(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (l *lab) list(t testing.TB, account fleet.Account, all ...fleet.Server) {
	t.Helper()
	for i := range all {
		all[i].Provider = account.Provider
	}
	if _, err := l.store.SyncServers(t.Context(), account.ID, all, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
}

// operation writes an operation as the engine would.
func (l *lab) operation(t testing.TB, op fleet.Operation, change workflow.Change) fleet.Operation {
	t.Helper()
	op.ID, op.State, op.CreatedAt = fleet.NewID(), fleet.Pending, time.Now()
	if op.Actor == "" {
		op.Actor = "admin"
	}
	if err := l.store.CreateOperation(t.Context(), op, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	l.change(t, op.ID, change)
	return op
}

// change claims an operation and writes to it.
func (l *lab) change(t testing.TB, id string, change workflow.Change) {
	t.Helper()
	claim, err := l.store.ClaimOperation(t.Context(), id, "test", time.Now().Add(24*time.Hour), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.store.WriteOperation(t.Context(), id, claim.Revision, change); err != nil {
		t.Fatal(err)
	}
}

func ptr[T any](v T) *T { return &v }

// populate makes a record of everything that pages show, in every state.
func (l *lab) populate(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	robot, cloud := l.accounts(t)
	must(t, l.store.AccountChecked(ctx, cloud.ID, time.Now(), "list account cloud: 401 unauthorized"))
	cluster, err := l.store.CreateCluster(ctx, fleet.Cluster{Name: "prod", Endpoint: "https://198.51.100.7:6443", TalosVersion: "v1.14.1", KubernetesVersion: "v1.37.0", Secrets: []byte("cluster: {}")})
	must(t, err)
	_, err = l.store.CreateCluster(ctx, fleet.Cluster{Name: "empty", Endpoint: "https://empty.example.com:6443", TalosVersion: "v1.14.1", KubernetesVersion: "v1.37.0", Secrets: []byte("cluster: {}")})
	must(t, err)
	states := []fleet.State{fleet.Known, fleet.Installing, fleet.Configured, fleet.Ready, fleet.Unhealthy, fleet.Broken, fleet.Known, fleet.Known}
	var all []fleet.Server
	for i := range states {
		all = append(all, fleet.Server{
			ProviderID: fmt.Sprint(1000 + i), Name: fmt.Sprintf("server-%d", i), Product: "AX41-NVMe", Location: "FSN1-DC8", Architecture: fleet.AMD64,
			Status: "ready", Power: fleet.PowerOn, IPv4: fmt.Sprintf("198.51.100.%d", 10+i), IPv6: "2001:db8::2", IPv6Net: "2001:db8::/64",
		})
	}
	all[7].IPv4, all[7].IPv6, all[7].Cancelled = "", "", true
	l.list(t, robot, all...)
	for i, state := range states {
		s := l.serverNamed(t, fmt.Sprintf("server-%d", i))
		if i < 6 || i == 7 {
			must(t, l.store.SetFacts(ctx, s.ID, someFacts(i)))
		}
		if i > 0 && i < 6 {
			role := fleet.Worker
			if i%2 == 1 {
				role = fleet.ControlPlane
			}
			_, err := l.store.Assign(ctx, s.ID, fleet.Assignment{ClusterID: cluster.ID, Role: role, Hostname: fmt.Sprintf("node-%d", i), PrivateIP: fmt.Sprintf("10.0.1.%d", i), InstallDisk: fmt.Sprintf("eui.00000000000000%02d", i)})
			must(t, err)
		}
		if state != fleet.Known {
			must(t, l.store.SetState(ctx, s.ID, fleet.Known, state))
		}
	}
	l.operations(t, cluster)
	_, err = l.store.AddEvent(ctx, fleet.Event{Actor: "admin", Verb: "cluster.create", Subject: "cluster", TargetID: cluster.ID, Text: "created prod at https://198.51.100.7:6443"})
	must(t, err)
	_, err = l.store.AddEvent(ctx, fleet.Event{Actor: "talos-manager", Verb: "rule.delete", Subject: "rule", TargetID: "gone", Text: "deleted"})
	must(t, err)
	// The last listing lacks one server.
	l.list(t, robot, all[:7]...)
}

// operations makes one in every state.
func (l *lab) operations(t testing.TB, cluster fleet.Cluster) {
	t.Helper()
	begun := time.Now().Add(-time.Minute)
	steps := []fleet.OperationStep{
		{Name: "check the records", State: fleet.Succeeded, Attempts: 1, StartedAt: begun, FinishedAt: begun.Add(time.Second)},
		{Name: "choose the disk", State: fleet.Succeeded, Attempts: 2, StartedAt: begun.Add(time.Second), FinishedAt: begun.Add(3 * time.Second)},
		{Name: "write the image", State: fleet.Running, Attempts: 1, StartedAt: begun.Add(3 * time.Second)},
		{Name: "boot Talos", State: fleet.Pending},
	}
	log := []fleet.LogLine{
		{At: begun, Step: "check the records", Level: "info", Text: "Talos v1.14.1 from the factory"},
		{At: begun, Step: "choose the disk", Level: "warn", Text: "its UUID was another"},
		{At: begun, Step: "write the image", Level: "error", Text: "the disk is slow"},
	}
	for i, c := range []workflow.Change{
		{State: fleet.Waiting, WaitingFor: ptr("the image to be written"), WaitUntil: ptr(time.Now()), Done: ptr(int64(500e6)), Total: ptr(int64(1e9)), Unit: ptr("bytes")},
		{State: fleet.Asking, Question: ptr("The disk nvme0n1 of server server-2 is not blank: ext4. To go on, answer with S123")},
		{State: fleet.Failed, Error: ptr("write the image: the disk is gone"), Hint: ptr("look at the server's disks"), Finished: ptr(time.Now())},
		{State: fleet.Succeeded, Finished: ptr(time.Now())},
		{State: fleet.Cancelled, Finished: ptr(time.Now())},
	} {
		c.Step, c.Steps, c.Log, c.Release = ptr("write the image"), steps, log, true
		s := l.serverNamed(t, fmt.Sprintf("server-%d", i+1))
		l.operation(t, fleet.Operation{Kind: "server.install", ServerID: s.ID, ClusterID: cluster.ID}, c)
	}
	l.operation(t, fleet.Operation{Kind: "cluster.bootstrap", ClusterID: cluster.ID}, workflow.Change{State: fleet.Running, Step: ptr("bootstrap etcd")})
}

func someFacts(i int) fleet.Facts {
	return fleet.Facts{
		At: time.Now(), UUID: fmt.Sprintf("4c4c4544-0051-3610-8052-b4c04f4a%04d", i), Serial: "ABC", Manufacturer: "ASUSTeK", Product: "PRIME B450",
		Firmware: "uefi", CPU: "AMD Ryzen 5 3600", Cores: 12, MemoryBytes: 64 << 30, Gateway: "198.51.100.1", Dmidecode: "System Information",
		NICs: []fleet.NIC{{Name: "eth0", MAC: "00:11:22:33:44:55", Up: true, Addresses: []string{"198.51.100.10/26"}}},
		Disks: []fleet.Disk{
			{Name: "nvme0n1", WWID: fmt.Sprintf("eui.00000000000000%02d", i), Serial: "S123", Model: "SAMSUNG MZVL2512", SizeBytes: 512e9, Transport: "nvme", Contents: []string{"ext4 on nvme0n1p1", "linux_raid_member"}},
			{Name: "sda", WWID: fmt.Sprintf("naa.50000000000000%02d", i), Serial: "WD456", Model: "WDC WD40", SizeBytes: 4e12, Rotational: true, Transport: "sata"},
		},
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

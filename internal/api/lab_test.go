package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/app"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/httpd"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

const password = "correct horse"

// bundle is one secrets bundle for all tests: making one takes a second of RSA.
var bundle = sync.OnceValues(func() ([]byte, error) { return machineconfig.NewSecrets(machineconfig.NewestTalos(), time.Now()) })

func (l *lab) secrets() string {
	l.Helper()
	text, err := bundle()
	l.must(err)
	return string(text)
}

// lab is the program over a pretend data centre with two Cloud and two dedicated servers, answering HTTP. Its engine
// is not started: tests write into operations themselves what a step would.
type lab struct {
	*testing.T
	*client.Client
	app    *app.App
	server *httptest.Server
	token  string // of the API
	cloud  string // token of the Cloud project
}

func open(t *testing.T) *lab {
	t.Helper()
	w := world.New(world.Options{Speed: 1000})
	t.Cleanup(w.Close)
	w.BootDisk = func(*world.Machine) world.System { return idle{} }
	w.BootRescue = func(*world.Machine, world.Rescue) world.System { return idle{} }
	l := &lab{T: t, cloud: hetzner.Token("lab")}
	for i, name := range []string{"cp-1", "worker-1"} {
		w.AddMachine(world.Spec{
			Kind: world.Cloud, Number: int64(100 + i), Name: name, Product: "cx23", Location: "fsn1", Project: l.cloud,
			IPv4: netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)}),
		})
		w.AddMachine(world.Spec{
			Kind: world.Dedicated, Number: int64(300 + i), Name: "metal-" + name, Product: "AX41-NVMe", Location: "FSN1-DC8",
			Project: "#ws+lab", IPv4: netip.AddrFrom4([4]byte{203, 0, 113, byte(20 + i)}),
		})
	}
	cloud := l.serve(hetzner.NewCloud(w, hetzner.CloudOptions{Projects: []hetzner.Project{{Token: l.cloud}}}))
	robot := l.serve(hetzner.NewRobot(w, hetzner.RobotOptions{Logins: []hetzner.Login{{User: "#ws+lab", Password: "secret"}}}))
	images := l.serve(factory.New(w, factory.Options{}))
	settings, err := app.Read(map[string]string{
		"data-dir": t.TempDir(), "password": password, "host": "https://manager.example.com",
		"cloud-url": cloud.URL + "/v1", "robot-url": robot.URL, "factory-url": images.URL, "pace": "1000",
	}, func(string) string { return "" }, "")
	if err != nil {
		t.Fatal(err)
	}
	if l.app, err = app.New(t.Context(), settings, app.Options{Version: "v1.2.3"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.app.Close() })
	l.server = l.serve(httpd.Secure(l.app.Handler))
	t.Cleanup(l.server.CloseClientConnections) // streams
	l.login()
	return l
}

// idle is a system that does nothing.
type idle struct{}

func (idle) Run(ctx context.Context) world.Halt {
	<-ctx.Done()
	return world.PowerOff
}

func (l *lab) serve(h http.Handler) *httptest.Server {
	s := httptest.NewServer(h)
	l.Cleanup(s.Close)
	return s
}

// login makes a token with the password, as everybody's first call does.
func (l *lab) login() {
	l.Helper()
	t, err := l.as("", password).CreateToken(l.Context(), client.NewToken{Name: "lab"})
	l.must(err)
	l.token = t.Token
	l.Client = l.as(t.Token, "")
}

func (l *lab) as(token, password string) *client.Client {
	l.Helper()
	c, err := client.New(client.Options{URL: l.server.URL, Token: token, Password: password})
	l.must(err)
	return c
}

func (l *lab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// want fails unless err is of this kind, has this status, and says and hints at what it must.
func (l *lab) want(err error, kind client.Kind, status int, message, hint string) {
	l.Helper()
	e, ok := err.(*client.Error)
	if !ok {
		l.Fatalf("got %v, want %s", err, kind)
	}
	if e.Kind != kind || e.Status != status {
		l.Errorf("got %s (%d), want %s (%d): %s", e.Kind, e.Status, kind, status, e.Message)
	}
	if !strings.Contains(e.Message, message) || !strings.Contains(e.Hint, hint) {
		l.Errorf("error %q, hint %q: want %q and %q", e.Message, e.Hint, message, hint)
	}
}

// accounts adds both accounts and syncs them.
func (l *lab) accounts() {
	l.Helper()
	_, err := l.AddAccount(l.Context(), client.NewAccount{Name: "cloud", Provider: client.HetznerCloud, Token: l.cloud})
	l.must(err)
	_, err = l.AddAccount(l.Context(), client.NewAccount{Name: "robot", Provider: client.HetznerRobot, User: "#ws+lab", Password: "secret"})
	l.must(err)
	_, err = l.SyncServers(l.Context())
	l.must(err)
}

// assigned makes a cluster with one control plane.
func (l *lab) assigned() {
	l.Helper()
	l.accounts()
	_, err := l.CreateCluster(l.Context(), client.NewCluster{Name: "prod", Endpoint: "https://203.0.113.10:6443", Secrets: l.secrets()})
	l.must(err)
	_, err = l.AssignServer(l.Context(), "cp-1", client.AssignmentChange{Cluster: new("prod"), Role: new(client.ControlPlane)})
	l.must(err)
}

// raw sends a request as curl would, and decodes the answer's error.
func (l *lab) raw(method, path, body string, header ...string) (*http.Response, client.ErrorBody) {
	l.Helper()
	req, err := http.NewRequestWithContext(l.Context(), method, l.server.URL+path, strings.NewReader(body))
	l.must(err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	l.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	l.must(err)
	var e client.ErrorBody
	if resp.StatusCode >= 300 {
		if err := json.Unmarshal(text, &e); err != nil {
			l.Errorf("%s %s: %d with a body that is not JSON: %s", method, path, resp.StatusCode, text)
		}
		if resp.Header.Get("Content-Type") != "application/json" || e.Error.Kind == "" || e.Error.Message == "" {
			l.Errorf("%s %s: error in the wrong shape: %s %s", method, path, resp.Header.Get("Content-Type"), text)
		}
		if strings.Contains(string(text), "correct horse") || strings.Contains(string(text), "swordfish") {
			l.Errorf("%s %s: the error holds a secret: %s", method, path, text)
		}
	}
	resp.Body = io.NopCloser(strings.NewReader(string(text)))
	return resp, e
}

// step writes into an operation what a step would.
func (l *lab) step(id string, change workflow.Change) {
	l.Helper()
	claim, err := l.app.Store.ClaimOperation(l.Context(), id, "test", time.Now(), time.Minute)
	l.must(err)
	change.Release = true
	if change.State == "" {
		at := time.Now().Add(-time.Second)
		change.State, change.WaitUntil = fleet.Waiting, &at
	}
	l.must(l.app.Store.WriteOperation(l.Context(), id, claim.Revision, change))
}

func (l *lab) log(id string, lines ...string) {
	l.Helper()
	var all []fleet.LogLine
	for _, text := range lines {
		all = append(all, fleet.LogLine{At: time.Now(), Step: "reach the rescue system", Level: "info", Text: text})
	}
	l.step(id, workflow.Change{Log: all})
}

func (l *lab) end(id string, state fleet.OperationState) {
	l.Helper()
	now, why, hint := time.Now(), "", ""
	if state == fleet.Failed {
		why, hint = "disk full", "look at the disk"
	}
	l.step(id, workflow.Change{State: state, Finished: &now, Error: &why, Hint: &hint})
}

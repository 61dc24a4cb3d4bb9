package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/app"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/simulator"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

const (
	password  = "correct horse battery"
	robotUser = "#ws+lab"
	robotPass = "open-robot-sesame"
)

// lab is the whole program at work on a simulated Hetzner. All it says is kept: answers, pages, log.
type lab struct {
	*testing.T
	*client.Client
	app     *app.App
	url     string
	dir     string
	token   string
	cloud   string
	said    *corpus
	secrets []secret
}

func open(t *testing.T) *lab {
	t.Helper()
	l := &lab{T: t, cloud: hetzner.Token("lab"), dir: t.TempDir(), said: &corpus{}}
	sim, err := simulator.New(simulator.Options{
		World: world.Options{Speed: 60, Seed: 1},
		Robot: hetzner.RobotOptions{Logins: []hetzner.Login{{User: robotUser, Password: robotPass}}},
		Cloud: hetzner.CloudOptions{Projects: []hetzner.Project{{Token: l.cloud}}},
	})
	l.must(err)
	t.Cleanup(sim.Close)
	for _, name := range []string{"cp-1", "worker-1"} {
		sim.AddCloud(l.cloud, name)
	}
	sim.AddDedicated(robotUser, "metal-cp-1")
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	l.must(err)
	l.url = "http://" + listener.Addr().String()
	settings, err := app.Read(map[string]string{
		"data-dir": l.dir, "password": password, "host": l.url, "pace": "60", "look-every": "2s",
		"cloud-url": sim.CloudURL(), "robot-url": sim.RobotURL(), "factory-url": sim.FactoryURL(),
	}, func(string) string { return "" }, "")
	l.must(err)
	l.app, err = app.New(t.Context(), settings, app.Options{
		Version: "v1.2.3", Dial: sim.Dial, Log: slog.New(slog.NewTextHandler(l.writer("log"), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Engine: workflow.Options{Poll: 50 * time.Millisecond, Backoff: 100 * time.Millisecond},
	})
	l.must(err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.app.Run(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		l.app.Close()
	})
	l.login()
	return l
}

func (l *lab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// writer keeps what is written.
func (l *lab) writer(source string) io.Writer {
	return writer(func(text []byte) { l.said.add(source, string(text)) })
}

type writer func([]byte)

func (w writer) Write(text []byte) (int, error) {
	w(text)
	return len(text), nil
}

// login makes a token; from then on every answer is kept.
func (l *lab) login() {
	l.Helper()
	first, err := client.New(client.Options{URL: l.url, Password: password})
	l.must(err)
	made, err := first.CreateToken(l.Context(), client.NewToken{Name: "lab"})
	l.must(err)
	l.token = made.Token
	l.Client, err = client.New(client.Options{URL: l.url, Token: l.token, HTTP: &http.Client{Transport: keeper{l}}})
	l.must(err)
	for what, value := range map[string]string{"the token": l.token, "the password": password, "the password of Robot": robotPass, "the token of the Cloud": l.cloud} {
		l.secrets = append(l.secrets, secret{what: what, value: value, elsewhere: true})
	}
}

// keeper keeps the answers, but those that are asked for with their secrets.
type keeper struct{ *lab }

func (k keeper) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	asked := r.URL.Query().Get("secrets") == "true" || strings.HasSuffix(r.URL.Path, "config") && strings.Contains(r.URL.Path, "/clusters/")
	asked = asked || r.URL.Path == "/api/v1/modernise" // the text comes back
	if err != nil || asked && resp.StatusCode < 300 {
		return resp, err
	}
	source := fmt.Sprintf("%s %s (%d)", r.Method, r.URL.RequestURI(), resp.StatusCode)
	k.said.add(source, fmt.Sprint(resp.Header))
	resp.Body = &kept{ReadCloser: resp.Body, done: func(text string) { k.said.add(source, text) }}
	return resp, nil
}

// kept is an answer's body that is kept in one piece when it was read: a line that was cut would hide what is in it.
type kept struct {
	io.ReadCloser
	text bytes.Buffer
	done func(text string)
}

func (k *kept) Read(to []byte) (int, error) {
	n, err := k.ReadCloser.Read(to)
	k.text.Write(to[:n])
	return n, err
}

func (k *kept) Close() error {
	k.done(k.text.String())
	return k.ReadCloser.Close()
}

// raw sends a request as curl would and gives the answer's body; whatever it is, it is kept.
func (l *lab) raw(method, path string, body any) []byte {
	l.Helper()
	_, text := l.send(method, path, body)
	return text
}

func (l *lab) send(method, path string, body any) (int, []byte) {
	l.Helper()
	var in io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(body)
	default:
		text, err := json.Marshal(body)
		l.must(err)
		in = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(l.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, l.url+path, in)
	l.must(err)
	r.Header.Set("Authorization", "Bearer "+l.token)
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	l.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	l.must(err)
	l.said.add(fmt.Sprintf("%s %s (%d)", method, path, resp.StatusCode), string(text))
	return resp.StatusCode, text
}

func (l *lab) accounts() {
	l.Helper()
	_, err := l.AddAccount(l.Context(), client.NewAccount{Name: "cloud", Provider: client.HetznerCloud, Token: l.cloud})
	l.must(err)
	_, err = l.AddAccount(l.Context(), client.NewAccount{Name: "robot", Provider: client.HetznerRobot, User: robotUser, Password: robotPass})
	l.must(err)
	_, err = l.SyncServers(l.Context())
	l.must(err)
}

// clusters makes one of the newest Talos with two servers, and one of an old Talos with the third.
func (l *lab) clusters() {
	l.Helper()
	ctx := l.Context()
	_, err := l.CreateConfig(ctx, client.NewConfig{Name: "base"})
	l.must(err)
	plane, err := l.Server(ctx, "cp-1")
	l.must(err)
	for _, c := range []client.NewCluster{
		{Name: "prod", Endpoint: "https://" + plane.IPv4 + ":6443", Config: "base"},
		{Name: "old", Endpoint: "https://203.0.113.99:6443", TalosVersion: "v1.11.6", KubernetesVersion: "v1.34.1"},
	} {
		secrets, err := machineconfig.NewSecrets(machineconfig.NewestTalos(), time.Now())
		l.must(err)
		c.Secrets = string(secrets)
		_, err = l.CreateCluster(ctx, c)
		l.must(err)
		l.secrets = append(l.secrets, bundleSecrets(l.T, c.Name, secrets)...)
	}
	for server, cluster := range map[string]string{"cp-1": "prod", "worker-1": "prod", "metal-cp-1": "old"} {
		change := client.AssignmentChange{Cluster: &cluster}
		if server != "worker-1" {
			change.Role = new(client.ControlPlane)
		}
		_, err := l.AssignServer(ctx, server, change)
		l.must(err)
	}
}

// install makes a server a node: rescue system, image, config, etcd, Kubernetes.
func (l *lab) install(server string) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), time.Minute)
	defer cancel()
	op, err := l.InstallServer(ctx, server, client.InstallOptions{})
	l.must(err)
	op, err = l.WaitOperation(ctx, op.ID, func(client.Event) {})
	if err != nil {
		op, _ = l.Operation(l.Context(), op.ID)
		log, _ := l.OperationLog(l.Context(), op.ID, 0)
		l.Fatalf("install %s: %v: it stands at %q, waiting for %q\n%+v", server, err, op.Step, op.WaitingFor, log.Items)
	}
}

// events reads the audit log and the reasons of revisions as they are stored.
func (l *lab) events() {
	l.Helper()
	all, err := l.app.Store.Events(l.Context(), store.EventFilter{})
	l.must(err)
	for _, e := range all {
		l.said.add("event "+e.Verb, fmt.Sprintf("%+v", e))
	}
	if len(all) < 20 {
		l.Errorf("only %d events", len(all))
	}
}

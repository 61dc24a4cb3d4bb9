package web_test

import (
	"bytes"
	"encoding/csv"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/web/webtest"
)

// The drawing has every control plane, counts what it has no room for, and leads where the table does.
func TestAClusterIsDrawnWithItsSites(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	big := l.bigCluster(t)
	p := l.get(t, "/clusters/"+big.ID, http.StatusOK)
	p.has(t, "What is lost then: the secrets of big, its own patches (1) with their history")
	drawing := textOf(p.byID("cluster-topology"))
	for _, words := range []string{"FSN1 · 14 servers", "NBG1 · 1 server", "HEL1 · 3 servers", "Elsewhere · 1 server", "Endpoint: name in DNS", "Ready, control plane", "more workers"} {
		if !strings.Contains(drawing, words) {
			t.Errorf("the drawing does not say %q: %s", words, drawing)
		}
	}
	if !strings.Contains(drawing, "Not Ready") && !strings.Contains(drawing, "Not installed") {
		t.Error("what is not well is not drawn, though what is has room")
	}
	for _, a := range p.tags("a") {
		if insideOf(a, "svg") && attr(a, "tabindex") != "-1" {
			t.Error("a link of the drawing, which screen readers do not see, is reached by keyboard")
		}
	}
	rows, err := csv.NewReader(strings.NewReader(l.get(t, "/clusters/"+big.ID+"?export=csv", http.StatusOK).source)).ReadAll()
	if err != nil || len(rows) != 20 {
		t.Errorf("%d rows are exported, %v", len(rows), err)
	}
}

// The drawing follows what happens, and its tiles lead to the servers.
func TestTheDrawingOfAClusterIsLive(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	big := l.bigCluster(t)
	b := l.tab(t, webtest.Options{}, "/clusters/"+big.ID)
	b.Says("FSN1 · 14 servers", "5 more workers")
	plane := l.serverNamed(t, "big-2")
	must(t, l.store.SetState(t.Context(), plane.ID, fleet.Ready, fleet.Unhealthy))
	b.Until("the drawing says it", `[...document.querySelectorAll("svg.topology a")].some((a) => a.textContent.includes("node-2-") && a.textContent.includes("Not Ready"))`)
	b.Click(`svg.topology a[href="/servers/` + plane.ID + `"] rect`)
	b.Until("the tile leads to the server", `location.pathname === "/servers/`+plane.ID+`"`)
	b.Go("/clusters/" + big.ID + "/settings")
	b.Type("#network-network", "10.0.0.0/33")
	b.Press("Say what would change")
	b.Says("What it would change", "10.0.0.0/33")
	b.Until("the form has what was asked about", `document.querySelector("#network-network").value === "10.0.0.0/33"`)
	b.Quiet()
}

// Nodes are asked when somebody wants it, and who does not answer is named with the reason.
func TestNodesAreAskedOnRequestOnly(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	big := l.bigCluster(t)
	at := "/clusters/" + big.ID + "/nodes"
	p := l.get(t, at, http.StatusOK)
	p.has(t, "This is what was recorded", "node-3-of-the-big-cluster", "Not Ready")
	p.hasNot(t, "Talos says", "No answer")
	p = l.submit(t, p, at, nil, http.StatusOK)
	p.has(t, "0 of 18 nodes answered, the Kubernetes API did not", "Talos says", "No answer", "connection refused", "Not asked: it is no node yet", "No control plane told of members")
	// A stream loads its page again and again: it must not ask the nodes each time.
	if p.byID("stream") == nil || hasAttr(p.byID("stream"), "sse-connect") {
		t.Error("a page with answers of one moment follows changes")
	}
}

func TestAClustersRecordIsChangedAfterALook(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c, err := l.app.Manager.CreateCluster(t.Context(), "test", manage.NewCluster{Name: "prod", Endpoint: "https://api.example.com:6443"})
	must(t, err)
	at := "/clusters/" + c.ID
	p := l.get(t, at+"/settings?plan=yes&network=10.0.0.1%2F16", http.StatusOK)
	p.has(t, "What it would change", `private network "10.0.0.1/16"`, "Write it as 10.0.0.0/16")
	if got := fieldsOf(p.form(t, at+"/change")).Get("network"); got != "10.0.0.1/16" {
		t.Errorf("what was asked about is gone from the form: %q", got)
	}
	p = l.submit(t, l.get(t, at+"/settings", http.StatusOK), at+"/change", url.Values{"network": {"10.0.0.0/16"}, "mtu": {"many"}}, http.StatusUnprocessableEntity)
	p.has(t, `The MTU "many" is no number`)
	p = l.submit(t, p, at+"/change", url.Values{"mtu": {"1400"}}, http.StatusOK)
	p.has(t, "Saved prod")
	p = l.get(t, at+"/versions", http.StatusOK)
	p = l.submit(t, p, at+"/change", url.Values{"talos": {"v1.2"}}, http.StatusUnprocessableEntity)
	p.has(t, "v1.2")
	older := "v1.13.0"
	p = l.submit(t, p, at+"/change", url.Values{"talos": {older}, "kubernetes": {machineconfig.KubernetesOf(older)}, "why": {"as the others"}}, http.StatusOK)
	if p.has(t, "Saved prod", older); p.path != at+"/versions" {
		t.Errorf("led to %s", p.path)
	}
	now, err := l.store.Cluster(t.Context(), c.ID)
	if err != nil || now.PrivateNetwork != "10.0.0.0/16" || now.PrivateMTU != 1400 || now.TalosVersion != older {
		t.Errorf("recorded is %s %d %s, %v", now.PrivateNetwork, now.PrivateMTU, now.TalosVersion, err)
	}
	must(t, l.store.MarkBootstrapped(t.Context(), c.ID, time.Now()))
	p = l.get(t, at+"/versions", http.StatusOK)
	if p.has(t, "it runs already", "they change by an upgrade"); hasField(p.form(t, at+"/change"), "talos") {
		t.Error("the Talos version of a cluster that runs can be typed")
	}
}

func TestPatchesAreLookedAtForAVersion(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	big := l.bigCluster(t)
	at := "/clusters/" + big.ID + "/versions"
	p := l.get(t, at, http.StatusOK)
	p.has(t, "Drafts", "Cluster big", "Server big-4")
	p.hasNot(t, "patch old")
	l.submit(t, p, at, url.Values{"lint": {big.TalosVersion}}, http.StatusOK).has(t, "Cluster big, patch old", "In effect for", "Line ")
	l.submit(t, p, at, url.Values{"lint": {"v1.2"}}, http.StatusOK).has(t, "v1.2")
}

// Secrets come as a file or pasted, a bundle or a control plane's config, and are never shown again.
func TestSecretsAreBroughtAlongByForms(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c, err := l.app.Manager.CreateCluster(t.Context(), "test", manage.NewCluster{Name: "prod", Endpoint: "https://api.example.com:6443"})
	must(t, err)
	bundle, err := machineconfig.NewSecrets(c.TalosVersion, time.Now())
	must(t, err)
	at := "/clusters/" + c.ID + "/secrets"
	p := l.get(t, at, http.StatusOK)
	p = l.submit(t, p, at, url.Values{"secrets": {string(bundle)}, "confirm": {"another"}}, http.StatusUnprocessableEntity)
	if p.has(t, "its name was not typed"); strings.Contains(p.source, "BEGIN") || strings.Contains(p.source, "bootstraptoken") {
		t.Error("the secrets are written into the page")
	}
	l.submit(t, p, at, url.Values{"confirm": {"prod"}}, http.StatusUnprocessableEntity).has(t, "No secrets were given")
	p = l.upload(t, at, bundle, url.Values{"form": {"secrets"}, "confirm": {"prod"}}, http.StatusOK)
	p.has(t, "Replaced the secrets of prod")
	if now, err := l.store.Cluster(t.Context(), c.ID); err != nil || !bytes.Equal(now.Secrets, bundle) {
		t.Errorf("the cluster has others, %v", err)
	}
	p = l.upload(t, "/clusters", bundle, url.Values{"form": {"cluster"}, "name": {"taken"}, "endpoint": {"https://old.example.com:6443"}, "disks": {"wipe-ours"}}, http.StatusOK)
	p.has(t, "Created taken")
	taken, err := l.store.Cluster(t.Context(), "taken")
	if err != nil || !bytes.Equal(taken.Secrets, bundle) || taken.DiskPolicy != fleet.WipeOurs {
		t.Errorf("the cluster that was taken over has others, or another policy: %v", err)
	}
	l.upload(t, "/clusters", []byte("no: bundle\n"), url.Values{"form": {"cluster"}, "name": {"other"}, "endpoint": {"https://old.example.com:6443"}}, http.StatusUnprocessableEntity).
		has(t, "Secrets bundle: it lacks")
	must(t, l.store.MarkBootstrapped(t.Context(), c.ID, time.Now()))
	if p := l.get(t, at, http.StatusOK); p.hasForm(at) {
		t.Error("the secrets of a cluster that runs can be replaced")
	}
}

// upload sends a form with a file, as a browser does.
func (l *lab) upload(t *testing.T, action string, file []byte, values url.Values, want int) *page {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name := range values {
		must(t, w.WriteField(name, values.Get(name)))
	}
	part, err := w.CreateFormFile("file", "secrets.yaml")
	must(t, err)
	_, err = part.Write(file)
	must(t, err)
	must(t, w.Close())
	r, err := l.browser.Post(l.server.URL+action, w.FormDataContentType(), &body)
	return l.read(t, r, err, want)
}

func TestWhoGotAccessIsTold(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	big := l.bigCluster(t)
	at := "/clusters/" + big.ID
	p := l.get(t, at+"/access", http.StatusOK)
	p.has(t, "os:admin", "a year from its download", "127.0.0.10", "None was handed out here yet")
	r, err := l.browser.PostForm(l.server.URL+at+"/talosconfig", nil)
	must(t, err)
	r.Body.Close()
	if r.StatusCode != http.StatusOK || !strings.Contains(r.Header.Get("Content-Disposition"), "big-talosconfig.yaml") {
		t.Errorf("talosconfig: %s %v", r.Status, r.Header)
	}
	l.get(t, at+"/access", http.StatusOK).has(t, "admin: admin talosconfig of big handed out")
	events, err := l.store.Events(t.Context(), store.EventFilter{Verb: "cluster.talosconfig"})
	if err != nil || len(events) != 1 {
		t.Errorf("%d events, %v", len(events), err)
	}
}

func TestBudgetsAreShownWithWhatIsLeft(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.bigCluster(t)
	l.usedBudgets(t)
	p := l.get(t, "/accounts", http.StatusOK)
	p.has(t, "Restarts", "6 of 50 left", "Running short", "0 of 10 left", "Used up", "All are back in 39 min", "188")
	rows, err := csv.NewReader(strings.NewReader(l.get(t, "/accounts?export=csv", http.StatusOK).source)).ReadAll()
	if err != nil || len(rows) < 8 {
		t.Errorf("%d rows are exported, %v", len(rows), err)
	}
	for _, secret := range []string{"#ws+big"} {
		p.has(t, secret) // the user is none
	}
}

func TestCredentialsAreRotatedByAForm(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.sim.AddDedicated(robotUser, "db-1")
	robot, _ := l.accounts(t)
	must(t, l.app.Reconciler.SyncAll(t.Context()))
	at := "/accounts/" + robot.ID + "/rotate"
	p := l.submit(t, l.get(t, "/accounts", http.StatusOK), at, url.Values{"user": {robotUser}, "password": {"not-the-password"}}, http.StatusUnauthorized)
	if p.has(t, "new credentials of account robot"); strings.Contains(p.source, "not-the-password") {
		t.Error("the password is written into the page")
	}
	p = l.submit(t, p, at, url.Values{"password": {robotPassword}}, http.StatusOK)
	p.has(t, "robot has its new credentials")
}

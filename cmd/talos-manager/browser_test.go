package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/web/webtest"
)

// The whole story by clicks alone: from an empty program and its guide to a cluster of five Ready nodes, on a simulated
// Hetzner. A second browser looks on, and the first one is loaded anew in the middle.
func TestAClusterIsMadeByClicks(t *testing.T) {
	t.Parallel()
	l := newLab(t, 3, 2)
	p := serve(t, l)
	p.start()
	b := logIn(t, p)
	b.Says("From nothing to the first cluster")
	picture(b, "guide")
	b.Type("#guide-account-name", "robot")
	b.Type("#guide-account-user", l.login.User)
	b.Type("#guide-account-password", l.login.Password)
	b.Press("Try and add")
	b.Says("3 servers known")

	b.Press("Settings")
	b.Press("Accounts")
	b.Type("#account-name", "cloud")
	b.Click("input[name=provider][value=hetzner_cloud]")
	b.Type("#account-token", l.token)
	b.Press("Try and add")
	b.Until("two accounts", "document.querySelectorAll('.card.account').length === 2")
	b.Press("Overview")
	b.Says("5 servers known")
	b.Type("#guide-cluster-name", clusterName)
	b.Press("Create the cluster")
	b.Press("Assign them to " + clusterName)
	b.Press("Install Talos…")
	b.Says("Install Talos on 5 servers")
	b.Press("Go on to the disks")
	b.Says("What may be overwritten")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, m := range l.machines {
		if len(m.Disks) > 1 {
			s, err := p.client.Server(ctx, m.Name)
			if err != nil {
				t.Fatal(err)
			}
			b.Type("#wizard-disks-disk-"+s.ID, m.Disks[0].WWN)
		}
	}
	picture(b, "disks")
	b.Press("Go on to boot and config")
	b.Press("Show the plan")
	b.Says("5 servers done in")
	picture(b, "plan")
	b.Click("form[action='/install/start'] button.danger")
	b.Says("5 under way")
	onlooker := logIn(t, p)
	onlooker.Go(b.Path())
	onlooker.Says("control-plane-1", "worker-2")
	b.Reload()
	picture(b, "installs")
	l.allReady(ctx, t, p.client)
	for _, each := range []*webtest.Tab{b, onlooker} { // neither was loaded anew
		each.Says("5 done")
	}
	b.Press("Clusters")
	b.Press(clusterName)
	b.Says("3 of 3 ready", "2 of 2 ready")
	picture(b, "cluster")
	b.Press("Nodes")
	b.Press("Ask the nodes now")
	b.Says("5 of 5 nodes answered", "3 members", "control-plane-2")
	picture(b, "nodes")
	b.Press("Operations")
	b.Click("tbody a[href^='/operations/']")
	b.Says("Done", "Timeline")
	picture(b, "operation")
	b.Press("Overview")
	b.Until("the guide is gone", "!document.body.innerText.includes('From nothing to the first cluster')")
	picture(b, "overview")
	b.Press("Servers")
	picture(b, "servers")
	b.Press("worker-1")
	picture(b, "server")
	l.written()
	l.etcd(ctx, p.client)
}

// picture shows what a browser shows, in light and dark colours and on a phone, where SCREENSHOTS says: make screenshots.
func picture(b *webtest.Tab, name string) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	for look, o := range map[string]webtest.Options{"light": {}, "dark": {Dark: true}, "phone": {Phone: true}} {
		b.Become(o)
		b.Screen(filepath.Join(dir, name+"-"+look+".webp"))
	}
	b.Become(webtest.Options{})
}

// logIn is a browser's tab of somebody who has the password.
func logIn(t *testing.T, p *program) *webtest.Tab {
	t.Helper()
	b := webtest.Open(t, p.url, webtest.Options{})
	b.Go("/")
	b.Type("#password", password)
	b.Press("Log in")
	b.Says("Overview")
	return b
}

// allReady waits until every machine is a Ready node by the program's own account.
func (l *lab) allReady(ctx context.Context, t *testing.T, c *client.Client) {
	t.Helper()
	eventually(t, 60*time.Second, "all nodes are Ready", func() bool {
		all, err := c.Servers(ctx, client.ServerFilter{})
		if err != nil || len(all.Items) != len(l.machines) {
			return false
		}
		for _, s := range all.Items {
			if s.State != "ready" {
				return false
			}
		}
		return true
	})
}

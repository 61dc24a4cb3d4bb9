package app_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/client"
)

// A manager whose clusters, patches, variables and accounts hold secrets of every sort is asked everything that it can be
// asked. No secret is in an answer, an error, a page, an event, the log or the database, in any form, but where it is
// asked for.
func TestNoSecretLeavesButWhereItIsAskedFor(t *testing.T) {
	l := open(t)
	l.accounts()
	l.clusters()
	l.patches()
	l.install("cp-1")
	l.mistakes()
	l.readings()
	l.pages()
	l.events()
	l.said.search(t, l.secrets)

	l.proveSearch()
	l.database()
}

// readings asks every route that only reads, as the description of the API lists them.
func (l *lab) readings() {
	l.Helper()
	var description struct {
		Paths map[string]map[string]struct{ Parameters []parameter }
	}
	l.must(json.Unmarshal(l.raw("GET", "/openapi.json", nil), &description))
	n := 0
	for path, methods := range description.Paths {
		get, ok := methods["get"]
		if !ok || strings.HasSuffix(path, "/talosconfig") || strings.HasSuffix(path, "/kubeconfig") {
			continue // what they hand out opens a cluster
		}
		for _, address := range l.addresses(path, get.Parameters) {
			l.raw("GET", address, nil)
			n++
		}
	}
	if n < 150 {
		l.Errorf("only %d readings", n)
	}
}

// proveSearch shows that the search finds each secret where it is handed out.
func (l *lab) proveSearch() {
	l.Helper()
	ctx := l.Context()
	found := map[string]bool{}
	look := func(text string) {
		for _, s := range l.secrets {
			for _, form := range s.forms() {
				found[s.what] = found[s.what] || strings.Contains(text, form)
			}
		}
	}
	for _, server := range []string{"cp-1", "worker-1", "metal-cp-1"} {
		m, err := l.MachineConfig(ctx, server, true)
		l.must(err)
		look(m.YAML)
	}
	for _, layer := range l.layers() {
		v, err := l.LayerWithSecrets(ctx, layer)
		l.must(err)
		text, err := json.Marshal(v)
		l.must(err)
		look(string(text))
	}
	for _, s := range l.secrets {
		if !found[s.what] && !s.elsewhere {
			l.Errorf("%s is not found where it is handed out: the search proves nothing for it", s.what)
		}
	}
	events, err := l.Events(ctx, client.EventFilter{})
	l.must(err)
	noted := map[string]int{}
	for _, e := range events.Items {
		noted[e.Verb]++
	}
	if noted["server.machine-config"] != 3 || noted["cluster.patches.secrets"] == 0 || noted["config.patches.secrets"] == 0 || noted["server.patches.secrets"] == 0 {
		l.Errorf("what was handed out is not noted: %v", noted)
	}
}

// database looks for secrets in the files of the manager: all are sealed.
func (l *lab) database() {
	l.Helper()
	files := 0
	l.must(filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "seal.key" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		kept := corpus{}
		kept.add("file "+d.Name(), string(text))
		kept.search(l.T, l.secrets)
		return nil
	}))
	if files == 0 {
		l.Error("there is no database")
	}
}

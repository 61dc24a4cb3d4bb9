package web_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/skip"
	"github.com/talos-manager/talos-manager/internal/web/webtest"
)

// ask is what the editor asks.
func ask[T any](t testing.TB, l *lab, address string, form url.Values) (out T) {
	t.Helper()
	r, err := l.browser.PostForm(l.server.URL+address, form)
	must(t, err)
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %s, %s", address, r.Status, r.Header.Get("Content-Type"))
	}
	must(t, json.NewDecoder(r.Body).Decode(&out))
	return out
}

type editorAnswers struct {
	From  int
	Items []struct {
		Label, Insert, Detail, Kind string
		About                       *struct{ Title string }
	}
	About *struct {
		Title, Type        string
		Notes, Description []string
	}
	Problems []struct {
		Line, Column                               int
		Severity, Message, Instead, Servers, Patch string
		Where, Href                                string
	}
}

func TestTheEditorIsToldFieldsValuesAndVariables(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := l.fabric(t, "fabric")
	at := "/configs/" + f.config.ID
	place := func(text, line, column string) url.Values {
		return url.Values{"text": {text}, "line": {line}, "column": {column}}
	}
	for _, tc := range []struct {
		why, text, line, column, label, insert, kind string
		from                                         int
	}{
		{"a field", "machine:\n  sysc", "2", "7", "sysctls", "sysctls:", "property", 3},
		{"a value", "machine:\n  install:\n    wipe: t", "3", "12", "true", "true", "value", 11},
		{"a variable", "machine:\n  env:\n    A: ${hostn", "3", "15", "${hostname}", "${hostname}", "variable", 8},
	} {
		got := ask[editorAnswers](t, l, at+"/complete", place(tc.text, tc.line, tc.column))
		if len(got.Items) == 0 || got.From != tc.from || got.Items[0].Label != tc.label || got.Items[0].Insert != tc.insert || got.Items[0].Kind != tc.kind {
			t.Errorf("%s: %+v", tc.why, got)
		}
	}
	about := ask[editorAnswers](t, l, at+"/hover", place("machine:\n  sysctls:\n", "2", "5")).About
	if about == nil || about.Title != "machine.sysctls" || len(about.Description) == 0 {
		t.Errorf("explained as %+v", about)
	}
	if got := ask[editorAnswers](t, l, at+"/hover", place("# nothing\n", "1", "3")); got.About != nil {
		t.Errorf("explained as %+v", got.About)
	}
	r, err := l.browser.PostForm(l.server.URL+at+"/complete", place("a", "7", "1"))
	l.read(t, r, err, http.StatusUnprocessableEntity).has(t, "the text has no such place")
}

// What is typed is checked by what checks a save: on every server, and with the finding's place and what to write.
func TestTheEditorIsToldWhatWouldBeRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := l.fabric(t, "fabric")
	l.patch(t, f, fleet.Patch{Name: "mtu", Text: "machine: {network: {interfaces: [{interface: eth0, mtu: 1400}]}}\n"}, manage.Save{})
	at := "/configs/" + f.config.ID
	check := func(text string) editorAnswers {
		return ask[editorAnswers](t, l, at+"/check", url.Values{"do": {"add"}, "name": {"new"}, "text": {text}})
	}
	if got := check(sysctls); len(got.Problems) != 0 {
		t.Errorf("fine: %+v", got.Problems)
	}
	if got := check(""); len(got.Problems) != 0 {
		t.Errorf("empty: %+v", got.Problems)
	}
	got := check("machine:\n  network:\n    interfaces:\n      - interface: eth0\n        mtu: ${hostname}\n")
	if p := got.Problems; len(p) != 2 || p[0].Severity != "warning" || p[1].Line != 5 || p[1].Column != 14 || p[1].Severity != "error" || !strings.Contains(p[1].Servers, "fabric-worker-2") {
		t.Errorf("on servers: %+v", got.Problems)
	}
	got = check("apiVersion: v1alpha1\nkind: KubeNodeConfig\nlabels: {a: b}\n")
	if p := got.Problems; len(p) == 0 || p[0].Line != 2 || !strings.Contains(p[0].Message, "known since Talos v1.14") || !strings.Contains(p[0].Instead, "machine.nodeLabels") {
		t.Errorf("too new: %+v", got.Problems)
	}
	if got := ask[editorAnswers](t, l, at+"/check", url.Values{"do": {"patch"}, "patch": {"gone"}, "name": {"gone"}, "text": {sysctls}}); len(got.Problems) != 1 || !strings.Contains(got.Problems[0].Message, "has no patch") {
		t.Errorf("a patch that is gone: %+v", got.Problems)
	}
}

// A patch is refused with its line, mended, looked at and saved in a browser without JavaScript.
func TestAPatchIsWrittenWithoutJavaScript(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := l.fabric(t, "fabric")
	b := l.tab(t, webtest.Options{NoScript: true}, "/configs/"+f.config.ID+"/edit")
	b.Click("#patch-name")
	b.Keys("sysctls")
	b.Click("#patch-text")
	b.Keys("machine:\r  sysctls: [1]\r")
	b.Press("Show what changes")
	b.Says("would break all 3 servers that use it", "line 2")
	b.Until("what was typed is kept", `document.querySelector("#patch-text").value.includes("sysctls: [1]")`)
	b.Click("#patch-text")
	webtest.Eval[bool](b, `(document.querySelector("#patch-text").select(), true)`)
	b.Keys("machine:\r  sysctls:\r    vm.max_map_count: '262144'\r")
	b.Press("Show what changes")
	b.Says("The machine configs of 3 servers change", "vm.max_map_count")
	b.Press("Save it for 3 servers")
	b.Says("Saved: Add patch sysctls")
}

// The editor that is committed is what its sources and the lock file build.
func TestTheEditorIsBuiltFromItsSources(t *testing.T) {
	t.Parallel()
	tools := filepath.Join("..", "..", "tools", "web")
	if _, err := os.Stat(filepath.Join(tools, "node_modules", "esbuild")); err != nil {
		skip.UnlessCI(t, "esbuild is not installed: run npm ci in tools/web")
	}
	built := filepath.Join(t.TempDir(), "editor.min.js")
	build := exec.Command("node", "build.mjs", "--out", built)
	build.Dir = tools
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the editor: %v\n%s", err, out)
	}
	got, err := os.ReadFile(built)
	must(t, err)
	committed, err := os.ReadFile(filepath.Join("assets", "editor.min.js"))
	must(t, err)
	if !bytes.Equal(got, committed) {
		t.Error("internal/web/assets/editor.min.js is not what tools/web builds: run npm ci && npm run build there, and commit it")
	}
	lock, err := os.ReadFile(filepath.Join(tools, "package-lock.json"))
	must(t, err)
	if bytes.Contains(lock, []byte(`"resolved"`)) {
		t.Error("package-lock.json names a registry: npm config set omit-lockfile-registry-resolved true, and lock again")
	}
}

package webtest

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/talos-manager/talos-manager/internal/skip"
)

// axeFile is where npm puts axe-core, from tools/web.
func axeFile() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "../../../tools/web/node_modules/axe-core/axe.min.js")
}

// violation is what axe-core says of a page.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct {
		HTML    string
		Summary string `json:"failureSummary"`
	}
}

// Axe fails the test for every serious or critical violation that axe-core finds on the page as it is now.
func (b *Tab) Axe() {
	b.t.Helper()
	script, err := os.ReadFile(axeFile())
	if err != nil {
		skip.UnlessCI(b.t, "axe-core is not installed: run npm ci in tools/web")
	}
	Eval[bool](b, string(script)+";true")
	for _, v := range Eval[[]violation](b, `axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations.map((v) => ({
		ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.slice(0, 3).map((n) => ({ HTML: n.html, failureSummary: n.failureSummary })) })))`) {
		if v.Impact != "serious" && v.Impact != "critical" {
			continue
		}
		var where []string
		for _, n := range v.Nodes {
			where = append(where, n.HTML+"\n    "+strings.ReplaceAll(n.Summary, "\n", "\n    "))
		}
		b.t.Errorf("%s: %s (%s, %s):\n  %s", b.Path(), v.Help, v.ID, v.Impact, strings.Join(where, "\n  "))
	}
}

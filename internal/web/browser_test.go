package web_test

import (
	"testing"

	"github.com/talos-manager/talos-manager/internal/web/webtest"
)

// tab opens a browser's tab that is logged in and looks at path.
func (l *lab) tab(t testing.TB, o webtest.Options, path string) *webtest.Tab {
	t.Helper()
	b := webtest.Open(t, l.server.URL, o)
	b.Go("/login")
	b.Type("#password", password)
	b.Press("Log in")
	b.Says("Overview")
	b.Go(path)
	return b
}

// Every page is read by axe-core in both colours and on a phone, in every state that records can be in.
func TestPagesAreAccessible(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	paths := l.paths(t)
	for _, o := range []webtest.Options{{}, {Dark: true, Phone: true}} {
		b := l.tab(t, o, "/")
		for _, path := range paths {
			b.Go(path)
			b.Axe()
		}
	}
}

// paths are the addresses of all pages, at least one of each kind. The areas have theirs beside their own tests.
func (l *lab) paths(t testing.TB) []string {
	t.Helper()
	all := []string{"/", "/servers", "/servers?state=broken", "/clusters", "/accounts", "/operations", "/events", "/clusters/prod", "/clusters/empty", "/install?server=server-6", "/rescue?server=server-6"}
	for _, name := range []string{"server-0", "server-1", "server-5", "server-7"} {
		all = append(all, "/servers/"+l.serverNamed(t, name).ID)
	}
	for _, more := range []func(testing.TB) []string{l.frameData, l.serversTableData, l.wizardData, l.serverData, l.configsData, l.galleryData, l.clusterData, l.operationData} {
		all = append(all, more(t)...)
	}
	return all
}

package web_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestSearchFindsWhateverHasAName(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	_, err := l.store.CreateConfig(t.Context(), fleet.Config{Name: "base-config"}, "admin")
	must(t, err)
	_, err = l.store.CreateSchematic(t.Context(), fleet.Schematic{Name: "with-iscsi"})
	must(t, err)
	four := l.serverNamed(t, "server-4")
	asking := l.operationOf(t, "server-2")
	for _, c := range []struct {
		reason, words string
		want          []string // addresses
	}{
		{"by name", "server-4", []string{"/servers/" + four.ID, "/operations/" + l.operationOf(t, "server-4")}},
		{"by hostname, in any case", "NODE-4", []string{"/servers/" + four.ID}},
		{"by address", "198.51.100.14", []string{"/servers/" + four.ID}},
		{"by id", four.ID, []string{"/servers/" + four.ID}},
		{"by UUID", someFacts(4).UUID, []string{"/servers/" + four.ID}},
		{"by serial number of a disk", "wd45", []string{"/servers/" + four.ID}},
		{"a cluster", "prod", []string{"/clusters/"}},
		{"a config", "base", []string{"/configs/"}},
		{"a schematic", "iscsi", []string{"/schematics/"}},
		{"what asks, by its server", "install server-2", []string{"/operations/" + asking}},
		{"an operation by its id", asking, []string{"/operations/" + asking}},
		{"a page", "audit log", []string{"/events"}},
		{"something to do with a server", "install server-4", []string{"/install?server=" + four.ID}},
		{"the beginning of a verb", "resc on server-4", []string{"/rescue?server=" + four.ID}},
	} {
		p := l.get(t, "/search?"+url.Values{"q": {c.words}}.Encode(), http.StatusOK)
		for _, want := range c.want {
			if !p.leadsTo(want) {
				t.Errorf("%s: %q does not lead to %s:\n%s", c.reason, c.words, want, p.text())
			}
		}
	}
	l.get(t, "/search?q=zzz", http.StatusOK).has(t, "Nothing is called “zzz”")
	csv := l.get(t, "/search?q=server-4&export=csv", http.StatusOK).source
	if !strings.Contains(csv, "Servers,server-4,") {
		t.Errorf("the export is\n%s", csv)
	}
}

func TestWhatIsFoundCanBeDone(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.accounts(t)
	l.rent(t, "db-1", "db-2")
	p := l.get(t, "/search?q=sync+accounts", http.StatusOK)
	l.submit(t, p, "/servers/sync", nil, http.StatusOK).has(t, "Synced all accounts: 2 servers listed")
}

// leadsTo says whether the content of a page has a link to this address, or to one below it.
func (p *page) leadsTo(address string) bool {
	for _, a := range p.tags("a") {
		to := attr(a, "href")
		if insideOf(a, "main") && (to == address || strings.HasSuffix(address, "/") && strings.HasPrefix(to, address)) {
			return true
		}
	}
	return false
}

// operationOf is the id of the newest operation of a server.
func (l *lab) operationOf(t testing.TB, server string) string {
	t.Helper()
	p := l.get(t, "/servers/"+l.serverNamed(t, server).ID, http.StatusOK)
	for _, a := range p.tags("a") {
		if id, is := strings.CutPrefix(attr(a, "href"), "/operations/"); is && id != "" {
			return id
		}
	}
	t.Fatalf("%s had no operation", server)
	return ""
}

func TestTheServerOfThisVeryNameIsFoundFirst(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	robot, _ := l.accounts(t)
	all := []fleet.Server{{ProviderID: "1", Name: "DB-1", Architecture: fleet.AMD64}}
	for i := range 20 {
		all = append(all, fleet.Server{ProviderID: fmt.Sprint(10 + i), Name: fmt.Sprintf("a-db-1%02d", i), Architecture: fleet.AMD64})
	}
	l.list(t, robot, all...)
	id := l.serverNamed(t, "DB-1").ID
	for words, want := range map[string]string{"DB-1": "/servers/" + id, "Install Talos on DB-1": "/install?server=" + id} {
		p := l.get(t, "/search?"+url.Values{"q": {words}}.Encode(), http.StatusOK)
		for _, a := range p.tags("a") {
			if attr(a, "class") != "hit" {
				continue
			}
			if to := attr(a, "href"); to != want {
				t.Errorf("%q finds %s first", words, to)
			}
			break
		}
		p.has(t, "All 21 servers like this")
	}
}

// The palette asks with every letter: among 5,000 servers, too, it shows a few, not all.
func TestThePaletteShowsFewOfMany(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	robot, _ := l.accounts(t)
	l.list(t, robot, manyServers(5000)...)
	r, err := l.browser.Get(l.server.URL + "/search/hits?q=box")
	must(t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	must(t, err)
	if n := strings.Count(string(body), `role="option"`); r.StatusCode != http.StatusOK || n != 9 || !strings.Contains(string(body), "All 5000 servers like this") {
		t.Errorf("%s: %d options:\n%s", r.Status, n, body)
	}
	if len(body) > 30_000 {
		t.Errorf("%d bytes", len(body))
	}
}

func BenchmarkSearch(b *testing.B) {
	l := newLab(b)
	robot, _ := l.accounts(b)
	l.list(b, robot, manyServers(5000)...)
	for i := range 5000 {
		facts := someFacts(i)
		facts.Dmidecode = strings.Repeat("Handle 0x0001, DMI type 1, 27 bytes\n", 30) // as long as they are
		must(b, l.store.SetFacts(b.Context(), l.serverID(b, 7000+i), facts))
	}
	for _, words := range []string{"box-4711", "box", "S123", "nothing"} {
		b.Run(words, func(b *testing.B) {
			for b.Loop() {
				r, err := l.browser.Get(l.server.URL + "/search/hits?q=" + words)
				must(b, err)
				_, err = io.Copy(io.Discard, r.Body)
				must(b, err)
				r.Body.Close()
			}
		})
	}
}

func (l *lab) serverID(t testing.TB, provider int) string {
	t.Helper()
	name := fmt.Sprintf("box-%d", provider-7000)
	if provider == 7000 {
		name += ` "a", b`
	}
	return l.serverNamed(t, name).ID
}

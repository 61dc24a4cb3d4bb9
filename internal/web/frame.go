package web

import (
	"github.com/talos-manager/talos-manager/internal/fleet"
)

// frameData is what every page shows around its content.
type frameData struct {
	Title   string
	Section string
	Crumbs  []crumb
	Actor   string // "": nobody is known; no rail is shown
	Version string
	Theme   string // light, dark or ""
	Address string // of this page
	Stream  string // where its changes are heard, "" for nowhere
	Running running
	Assets  assets
	Sheet   bool      // the page's table can be exported
	Same    []command // what does the same from a shell
	Scripts []string  // addresses of those that only this page loads
}

// section is an entry of the rail.
type section struct {
	Name, Href, Icon string
}

func sections() []section {
	return []section{
		{"Overview", "/", "overview"},
		{"Servers", "/servers", "server"},
		{"Clusters", "/clusters", "cluster"},
		{"Operations", "/operations", "operation"},
		{"Accounts", "/accounts", "account"},
		{"Events", "/events", "event"},
	}
}

// running is how much is going on, for the top of every page.
type running struct {
	Active int // operations that are not final
	Asking int // those of them that ask a person
}

func runningOf(counts map[fleet.OperationState]int) running {
	r := running{Asking: counts[fleet.Asking]}
	for state, n := range counts {
		if !state.Final() {
			r.Active += n
		}
	}
	return r
}

func runningPart(r running) part { return partOf("running", r, runningBadge) }

// themeChoice is what the switch offers: the other scheme, or the system's.
type themeChoice struct{ Value, Name string }

func themeChoices() []themeChoice {
	return []themeChoice{{"", "System"}, {"light", "Light"}, {"dark", "Dark"}}
}

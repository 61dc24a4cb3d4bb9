package web

import (
	"net/url"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// deed is something to do with a server, which begins at a page.
type deed struct {
	Verbs []string // words that it is asked for by
	Title string   // before the server's name
	Path  string
}

func allDeeds() []deed {
	return []deed{
		{[]string{"install", "talos"}, "Install Talos on ", "/install"},
		{[]string{"rescue", "boot"}, "Boot the rescue system of ", "/rescue"},
	}
}

// verbsOf takes a verb, or its beginning, from the front of words: what it may stand for, and the words after it.
// Words without one are all about the object.
func verbsOf(words string) (deeds []deed, object string) {
	all := strings.Fields(words)
	if len(all) < 2 || len(all[0]) < 3 {
		return nil, words
	}
	first := strings.ToLower(all[0])
	for _, d := range allDeeds() {
		if slices.ContainsFunc(d.Verbs, func(v string) bool { return strings.HasPrefix(v, first) }) {
			deeds = append(deeds, d)
		}
	}
	if len(deeds) == 0 {
		return nil, words
	}
	all = all[1:]
	for len(all) > 1 && slices.Contains([]string{"talos", "on", "of"}, strings.ToLower(all[0])) {
		all = all[1:]
	}
	return deeds, strings.Join(all, " ")
}

func serverDeeds(deeds []deed, servers []fleet.Server) []hit {
	var out []hit
	for _, d := range deeds {
		for _, v := range servers {
			out = append(out, hit{Icon: "do", Title: d.Title + v.Name, Detail: v.Address(), Href: d.Path + "?" + url.Values{"server": {v.ID}}.Encode()})
		}
	}
	return out
}

// pageHits are the pages that have no name of a record.
func pageHits() []hit {
	var out []hit
	for _, s := range sections() {
		out = append(out, hit{Icon: s.Icon, Title: s.Name, Href: s.Href})
	}
	for _, h := range []hit{
		{Icon: "server", Title: "Free servers", Detail: "Without a cluster", Href: "/servers?cluster=none"},
		{Icon: "server", Title: "Servers whose install stopped", Detail: "Broken", Href: "/servers?state=broken"},
		{Icon: "server", Title: "Servers that are not Ready", Detail: "Unhealthy", Href: "/servers?state=unhealthy"},
		{Icon: "attention", Title: "Questions", Detail: "Operations that ask a person", Href: "/operations?state=asking"},
		{Icon: "operation", Title: "Failed operations", Href: "/operations?state=failed"},
		{Icon: "config", Title: "Configs", Detail: "Patches and variables of clusters, roles and servers", Href: "/configs"},
		{Icon: "config", Title: "Recipes", Detail: "Patches for common needs, by a form", Href: "/recipes"},
		{Icon: "schematic", Title: "Schematics", Detail: "System extensions and kernel arguments", Href: "/schematics"},
		{Icon: "cluster", Title: "Rules", Detail: "Labels and taints of nodes", Href: "/rules"},
		{Icon: "config", Title: "Modernise", Detail: "Patches as the newest Talos has them", Href: "/modernise"},
		{Icon: "account", Title: "Accounts", Detail: "At Hetzner: credentials, budgets", Href: "/accounts"},
		{Icon: "event", Title: "Events", Detail: "The audit log: who did what", Href: "/events"},
	} {
		if i := slices.IndexFunc(out, func(o hit) bool { return o.Href == h.Href }); i >= 0 {
			out[i] = h
			continue
		}
		out = append(out, h)
	}
	return out
}

// deedHits are what can be done without choosing a record.
func deedHits() []hit {
	return []hit{
		{Icon: "do", Title: "Sync all accounts", Detail: "List the servers at their providers now", Post: "/servers/sync"},
		{Icon: "do", Title: "Install Talos on servers", Href: "/install"},
		{Icon: "do", Title: "Boot the rescue system of servers", Href: "/rescue"},
		{Icon: "do", Title: "Create a cluster", Href: "/clusters#new-cluster"},
		{Icon: "do", Title: "Create a config", Href: "/configs#new-config"},
		{Icon: "do", Title: "Create a schematic", Href: "/schematics/new"},
		{Icon: "do", Title: "Create an API token", Href: "/settings"},
		{Icon: "do", Title: "Add an account", Href: "/accounts"},
		{Icon: "do", Title: "Dark colours", Post: "/theme", Key: "theme", Value: "dark"},
		{Icon: "do", Title: "Light colours", Post: "/theme", Key: "theme", Value: "light"},
		{Icon: "do", Title: "Colours as the system has them", Post: "/theme", Key: "theme", Value: "system"},
		{Icon: "do", Title: "Log out", Post: "/logout"},
	}
}

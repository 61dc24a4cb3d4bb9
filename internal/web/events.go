package web

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// eventsData is the page of the audit log.
type eventsData struct {
	Filter eventFilter
	Rows   []eventRow
	Older  string
}

// eventRow is one line of the audit log.
type eventRow struct {
	ID, Actor, Verb, Subject, Href, Text string
	At                                   time.Time
}

// eventFilter is the address of the page.
type eventFilter struct{ Search, Subject, Target, Before string }

func (f eventFilter) narrow() bool { return f.Search != "" || f.Subject != "" || f.Target != "" }

func (f eventFilter) address() string {
	q := url.Values{}
	for name, value := range map[string]string{"search": f.Search, "subject": f.Subject, "target": f.Target, "before": f.Before} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if len(q) == 0 {
		return "/events"
	}
	return "/events?" + q.Encode()
}

func subjectOptions() []option {
	return []option{
		{"", "Everything"},
		{"server", "Servers"},
		{"cluster", "Clusters"},
		{"account", "Accounts"},
		{"config", "Configs"},
		{"schematic", "Schematics"},
		{"rule", "Rules"},
		{"operation", "Operations"},
		{"token", "Tokens"},
	}
}

// events is the audit log, newest first.
func (s *site) events(r *http.Request) (view, error) {
	q := r.URL.Query()
	f := eventFilter{Search: strings.TrimSpace(q.Get("search")), Subject: q.Get("subject"), Target: q.Get("target"), Before: q.Get("before")}
	all, err := s.store.Events(r.Context(), store.EventFilter{Search: f.Search, Subject: f.Subject, TargetID: f.Target, Before: f.Before, Limit: perPage + 1})
	if err != nil {
		return view{}, err
	}
	d := eventsData{Filter: f}
	if len(all) > perPage {
		all = all[:perPage]
		older := f
		older.Before = all[perPage-1].ID
		d.Older = older.address()
	}
	for _, e := range all {
		d.Rows = append(d.Rows, eventRow{ID: e.ID, Actor: e.Actor, Verb: e.Verb, Subject: e.Subject, Href: eventTarget(e), Text: e.Text, At: e.At})
	}
	return view{
		title: "Events", section: "/settings", crumbs: []crumb{{"Settings", "/settings"}}, address: f.address(),
		body:  func([]fleet.LogLine) templ.Component { return eventsPage(d) },
		parts: []part{partOf("events-table", d, eventsTable)}, wants: changeOf("events"),
	}, nil
}

// eventTarget is the page of what an event is about, "" if it has none.
func eventTarget(e fleet.Event) string {
	if e.TargetID == "" {
		return ""
	}
	switch e.Subject {
	case "server":
		return "/servers/" + url.PathEscape(e.TargetID)
	case "cluster":
		return "/clusters/" + url.PathEscape(e.TargetID)
	case "operation":
		return "/operations/" + url.PathEscape(e.TargetID)
	case "account":
		return "/accounts"
	}
	return ""
}

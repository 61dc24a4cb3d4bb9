package web

import (
	"context"
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
	Target string // what the page is about alone, "" if about more
	Rows   []eventRow
	Older  string
	Actors []string
	Verbs  []string
}

// eventRow is one line of the audit log.
type eventRow struct {
	ID, Actor, Verb, Subject, Text string
	Name, Href                     string // of what it is about
	Only                           string // address of all that is about it
	At                             time.Time
}

// eventFilter is the address of the page.
type eventFilter struct {
	Search, Subject, Target, Actor, Verb string
	From, To                             string // days, in UTC
	Before                               string
}

func eventFilterOf(q url.Values) eventFilter {
	return eventFilter{
		Search: strings.TrimSpace(q.Get("search")), Subject: q.Get("subject"), Target: q.Get("target"), Actor: strings.TrimSpace(q.Get("actor")),
		Verb: strings.TrimSpace(q.Get("verb")), From: q.Get("from"), To: q.Get("to"), Before: q.Get("before"),
	}
}

// narrow says that the page does not show all.
func (f eventFilter) narrow() bool { return f.newest() != eventFilter{} }

// newest is the same filter on its first page.
func (f eventFilter) newest() eventFilter {
	f.Before = ""
	return f
}

func (f eventFilter) store() store.EventFilter {
	return store.EventFilter{
		Search: f.Search, Subject: f.Subject, TargetID: f.Target, Actor: f.Actor, Verb: f.Verb, Since: dayOf(f.From), Until: dayAfter(f.To), Before: f.Before,
	}
}

func (f eventFilter) address() string {
	q := url.Values{}
	for name, value := range map[string]string{
		"search": f.Search, "subject": f.Subject, "target": f.Target, "actor": f.Actor, "verb": f.Verb, "from": f.From, "to": f.To, "before": f.Before,
	} {
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
	f := eventFilterOf(r.URL.Query())
	find := f.store()
	if exporting(r) == "" {
		find.Limit = perPage + 1 // one more tells whether there is a next page
	}
	d, err := s.eventsData(r.Context(), f, find)
	if err != nil {
		return view{}, err
	}
	return view{
		title: "Events", section: "/settings", crumbs: []crumb{{"Settings", "/settings"}}, address: f.address(),
		body:  func([]fleet.LogLine) templ.Component { return eventsPage(d) },
		parts: []part{{id: "events-table", key: keyOf([]any{d.Rows, d.Filter, d.Older}), piece: eventsTable(d)}}, wants: changeOf("events"),
		sheet: func() (sheet, error) { return eventsSheet(d.Rows), nil }, same: eventsCommands(f),
	}, nil
}

func (s *site) eventsData(ctx context.Context, f eventFilter, find store.EventFilter) (d eventsData, err error) {
	d.Filter = f
	all, err := s.store.Events(ctx, find)
	if err != nil {
		return d, err
	}
	if find.Limit > 0 && len(all) > perPage {
		all = all[:perPage]
		older := f
		older.Before = all[perPage-1].ID
		d.Older = older.address()
	}
	if d.Rows, err = s.eventRows(ctx, all); err != nil {
		return d, err
	}
	if f.Target != "" && len(d.Rows) > 0 {
		d.Target = d.Rows[0].Name
	}
	if d.Actors, err = s.store.EventActors(ctx); err != nil {
		return d, err
	}
	d.Verbs, err = s.store.EventVerbs(ctx)
	return d, err
}

// eventRows names what events are about.
func (s *site) eventRows(ctx context.Context, all []fleet.Event) ([]eventRow, error) {
	known, err := s.eventNames(ctx, all)
	if err != nil {
		return nil, err
	}
	rows := make([]eventRow, 0, len(all))
	for _, e := range all {
		row := eventRow{ID: e.ID, Actor: e.Actor, Verb: e.Verb, Subject: e.Subject, Text: e.Text, At: e.At}
		if e.TargetID != "" {
			row.Only = eventFilter{Subject: e.Subject, Target: e.TargetID}.address()
			row.Name, row.Href = known[e.Subject][e.TargetID], eventTarget(e)
		}
		if row.Name == "" {
			row.Href = "" // it is gone
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// eventNames reads what the records that events are about are called, by subject.
func (s *site) eventNames(ctx context.Context, all []fleet.Event) (map[string]names, error) {
	ids := map[string][]string{}
	for _, e := range all {
		ids[e.Subject] = append(ids[e.Subject], e.TargetID)
	}
	servers, err := s.serverNames(ctx, ids["server"]...)
	if err != nil {
		return nil, err
	}
	clusters, err := s.clusterNames(ctx)
	if err != nil {
		return nil, err
	}
	operations := names{}
	for _, id := range ids["operation"] {
		if op, err := s.store.Operation(ctx, id); err == nil {
			operations[id] = kindTitle(op.Kind)
		} else if fleet.KindOf(err) != fleet.NotFound {
			return nil, err
		}
	}
	out := map[string]names{"server": servers, "cluster": clusters, "operation": operations}
	return out, s.eventRecordNames(ctx, out)
}

// eventRecordNames adds the kinds of records of which there are few.
func (s *site) eventRecordNames(ctx context.Context, out map[string]names) error {
	accounts, err := s.store.Accounts(ctx)
	if err != nil {
		return err
	}
	configs, err := s.store.Configs(ctx)
	if err != nil {
		return err
	}
	schematics, err := s.store.Schematics(ctx)
	if err != nil {
		return err
	}
	out["account"] = namesOf(options(nil, accounts, func(a fleet.Account) option { return option{a.ID, a.Name} }))
	out["config"] = namesOf(options(nil, configs, func(c fleet.Config) option { return option{c.ID, c.Name} }))
	out["schematic"] = namesOf(options(nil, schematics, func(c fleet.Schematic) option { return option{c.ID, c.Name} }))
	return nil
}

// eventTarget is the page of what an event is about, "" if it has none.
func eventTarget(e fleet.Event) string {
	switch e.Subject {
	case "server":
		return "/servers/" + url.PathEscape(e.TargetID)
	case "cluster":
		return "/clusters/" + url.PathEscape(e.TargetID)
	case "operation":
		return "/operations/" + url.PathEscape(e.TargetID)
	case "schematic":
		return "/schematics/" + url.PathEscape(e.TargetID)
	case "account":
		return "/accounts"
	}
	return ""
}

func eventsCommands(f eventFilter) []command {
	return listCommands("List these events", "event list", "GET /api/v1/events", option{"subject", f.Subject}, option{"target", f.Target})
}

func eventsSheet(rows []eventRow) sheet {
	out := sheet{name: "events", columns: []string{"id", "at", "actor", "verb", "subject", "target", "text"}}
	for _, r := range rows {
		out.rows = append(out.rows, []string{r.ID, sheetTime(r.At), r.Actor, r.Verb, r.Subject, r.Name, r.Text})
	}
	return out
}

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

// serverHistoryData is what was done to a server.
type serverHistoryData struct {
	serverTop
	Rows  []operationRow
	Older string // address of the next page, "" if this is the last
	First bool   // nothing newer is before it
}

// serverHistory is the page of what was done to a server, newest first.
func (s *site) serverHistory(r *http.Request) (view, error) {
	ctx, before := r.Context(), r.URL.Query().Get("before")
	top, err := s.serverTop(ctx, r.PathValue("ref"), "/operations")
	if err != nil {
		return view{}, err
	}
	f := store.OperationFilter{ServerID: top.Server.ID, Before: before, Limit: perPage + 1}
	if exporting(r) != "" {
		f.Before, f.Limit = "", 0
	}
	all, err := s.store.Operations(ctx, f)
	if err != nil {
		return view{}, err
	}
	d := serverHistoryData{serverTop: top, First: before == ""}
	if f.Limit > 0 && len(all) > perPage {
		all = all[:perPage]
		d.Older = top.href("/operations?" + url.Values{"before": {all[perPage-1].ID}}.Encode())
	}
	if d.Rows, err = s.operationRows(ctx, all, names{top.Server.ID: top.Server.Name}); err != nil {
		return view{}, err
	}
	v := top.view()
	if before != "" {
		v.address += "?" + url.Values{"before": {before}}.Encode()
	}
	v.body = func([]fleet.LogLine) templ.Component { return serverHistoryPage(d) }
	v.parts = []part{top.part(), {id: "server-history", key: keyOf(d), piece: serverHistoryCard(d)}}
	v.sheet = func() (sheet, error) { return operationSheet("operations-"+top.Server.ID, d.Rows), nil }
	v.same = historyCommands(top.Server)
	return v, nil
}

func operationSheet(name string, rows []operationRow) sheet {
	out := sheet{name: name, columns: []string{"operation", "kind", "state", "detail", "by", "begun", "finished"}}
	for _, r := range rows {
		out.rows = append(out.rows, []string{r.ID, r.Kind, r.Status.Word, r.Status.Detail, r.Actor, moment(r.Created), moment(r.Finished)})
	}
	return out
}

// moment is a time for other programs, "" for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// serverEventsData is the audit log of a server.
type serverEventsData struct {
	serverTop
	Search string
	Rows   []eventRow
	Older  string
	First  bool
}

// serverEvents is the page of who did what with a server, newest first.
func (s *site) serverEvents(r *http.Request) (view, error) {
	ctx, before, search := r.Context(), r.URL.Query().Get("before"), strings.TrimSpace(r.URL.Query().Get("search"))
	top, err := s.serverTop(ctx, r.PathValue("ref"), "/events")
	if err != nil {
		return view{}, err
	}
	f := store.EventFilter{Subject: "server", TargetID: top.Server.ID, Search: search, Before: before, Limit: perPage + 1}
	if exporting(r) != "" {
		f.Before, f.Limit = "", 0
	}
	all, err := s.store.Events(ctx, f)
	if err != nil {
		return view{}, err
	}
	d := serverEventsData{serverTop: top, Search: search, First: before == ""}
	if f.Limit > 0 && len(all) > perPage {
		all = all[:perPage]
		d.Older = d.address(all[perPage-1].ID)
	}
	for _, e := range all {
		d.Rows = append(d.Rows, eventRow{ID: e.ID, Actor: e.Actor, Verb: e.Verb, Subject: e.Subject, Text: e.Text, At: e.At})
	}
	v := top.view()
	v.address = d.address(before)
	v.body = func([]fleet.LogLine) templ.Component { return serverEventsPage(d) }
	v.parts, v.wants = []part{top.part(), {id: "server-events", key: keyOf(d), piece: serverEventsCard(d)}}, changeOf("servers", "clusters", "events")
	v.sheet, v.same = func() (sheet, error) { return eventSheet("events-"+top.Server.ID, d.Rows), nil }, eventCommands(top.Server)
	return v, nil
}

// address is the page of events before the one of this id.
func (d serverEventsData) address(before string) string {
	q := url.Values{}
	for name, value := range map[string]string{"search": d.Search, "before": before} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if len(q) == 0 {
		return d.href("/events")
	}
	return d.href("/events?" + q.Encode())
}

func eventSheet(name string, rows []eventRow) sheet {
	out := sheet{name: name, columns: []string{"when", "who", "what", "text"}}
	for _, r := range rows {
		out.rows = append(out.rows, []string{moment(r.At), r.Actor, r.Verb, r.Text})
	}
	return out
}

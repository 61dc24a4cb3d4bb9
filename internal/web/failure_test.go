package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/web"
)

func TestAnErrorPageSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err                 error
		method              string
		title, next         string
		again, search, list string
	}{
		{fleet.Errorf(fleet.NotFound, "no server x"), "GET", "Not found", "removed or renamed", "", "db-1", "/servers"},
		{fleet.Errorf(fleet.Conflict, "busy"), "POST", "Somebody was faster", "Look at how it stands now", "", "", "/servers"},
		{fleet.Errorf(fleet.Forbidden, "not you"), "GET", "Not allowed", "Log in as somebody who may", "", "", "/servers"},
		{fleet.Errorf(fleet.Refused, "the last control plane"), "POST", "Refused, because it would do harm", "Nothing was changed", "", "", "/servers"},
		{fleet.Errorf(fleet.Unavailable, "database away"), "GET", "No answer", "operations that run go on", "/servers/db-1?tab=log", "", "/servers"},
		{fleet.Errorf(fleet.Exhausted, "too many"), "POST", "Too much at once", "comes back by itself", "", "", "/servers"},
		{http.ErrBodyNotAllowed, "GET", "A fault of this program", "with path /servers/db-1", "/servers/db-1?tab=log", "", "/servers"},
	} {
		f := web.FailureOf(httptest.NewRequest(c.method, "/servers/db-1?tab=log", nil), c.err)
		if f.Title != c.title || !strings.Contains(f.Next, c.next) || f.Again != c.again || f.Search != c.search || f.List.Href != c.list {
			t.Errorf("%v by %s: %+v", c.err, c.method, f)
		}
	}
}

// When the database is away the page stands alone, and can be tried again where it was.
func TestAPageWithoutTheDatabaseCanBeTriedAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	must(t, l.store.Close())
	r, err := l.browser.Get(l.server.URL + "/servers?state=ready")
	must(t, err)
	p := l.read(t, r, nil, r.StatusCode)
	if p.has(t, "Try again"); !p.leadsTo("/servers?state=ready") || p.byID("palette") != nil {
		t.Errorf("it says %s", p.text())
	}
}

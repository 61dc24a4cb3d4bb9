package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestARuleSaysWhomItIsForBeforeAndAfterItIsSaved(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.withNodes(t, "db-1", "web-1")
	p := l.get(t, "/rules", http.StatusOK)
	p.has(t, "No rules yet")
	r, err := l.browser.Get(l.server.URL + "/rules?match=db&labels=tier%3Ddatabase&taints=dedicated%3Ddb")
	p = l.read(t, r, err, http.StatusOK)
	p.has(t, "It would be for 1 server : db-1", "It puts on them: tier=database, dedicated=db:NoSchedule", "rule create --match db --label tier=database --taint dedicated=db:NoSchedule")
	if all, err := l.store.Rules(t.Context(), ""); err != nil || len(all) != 0 {
		t.Fatalf("looking has made rules: %v, %v", all, err)
	}
	p = l.submit(t, p, "/rules", url.Values{"cluster": {c.ID}}, http.StatusOK)
	p.has(t, "Created the rule for “db”: it is for 1 server now", "db-1", "tier=database", "dedicated=db:NoSchedule", "prod")
	bad := l.submit(t, p, "/rules", url.Values{"match": {"web"}, "taints": {"a=b:Never"}}, http.StatusUnprocessableEntity)
	bad.has(t, `unknown effect "Never"`)
	if typed := fieldsOf(bad.form(t, "/rules")); typed.Get("match") != "web" || typed.Get("taints") != "a=b:Never" {
		t.Errorf("what was typed is gone: %v", typed)
	}
	if rows := l.get(t, "/rules?export=csv", http.StatusOK).source; !strings.Contains(rows, "db,prod,tier=database,dedicated=db:NoSchedule,db-1,") {
		t.Errorf("the sheet is\n%s", rows)
	}
	all, err := l.store.Rules(t.Context(), "")
	must(t, err)
	l.submit(t, p, "/rules/"+all[0].ID+"/delete", nil, http.StatusOK).has(t, "Deleted the rule for “db”", "No rules yet")
}

func TestTheServersOfARuleAreShownAsTheyChange(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	robot, _ := l.accounts(t)
	l.list(t, robot, fleet.Server{ProviderID: "1", Name: "db-1"})
	_, err := l.app.Manager.AddRule(t.Context(), "admin", fleet.Rule{Match: "db", Labels: map[string]string{"tier": "database"}})
	must(t, err)
	p := l.get(t, "/rules?match=db-2", http.StatusOK)
	p.has(t, "No server has “db-2” in its name now")
	events := l.listen(t, p)
	l.list(t, robot, fleet.Server{ProviderID: "1", Name: "db-1"}, fleet.Server{ProviderID: "2", Name: "db-2"})
	await(t, events, "patch", "db-1, db-2")
	await(t, events, "patch", "It would be for")
}

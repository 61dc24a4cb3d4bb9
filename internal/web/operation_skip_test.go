package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

func TestAStepIsSkipped(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	cluster := l.webServers(t, 2)
	begun := time.Now().Add(-9 * time.Minute)
	writing := l.installAt(t, "web-0", cluster, begun, 7)
	if p := l.get(t, "/operations/"+writing, http.StatusOK); p.hasForm("/operations/" + writing + "/skip") {
		t.Error("writing the image can be skipped")
	}
	id := l.notReadyAt(t, "web-1", cluster, begun)
	page, action := "/operations/"+id, "/operations/"+id+"/skip"
	p := l.get(t, page, http.StatusOK)
	p.has(t, "What is not done:", "Nobody waits for the node to be Ready", "Skip “wait for Kubernetes”")
	stale := p
	p = l.submit(t, p, action, nil, http.StatusOK)
	p.has(t, "Skipped “wait for Kubernetes”")
	if p.hasForm(action) {
		t.Error("it can be skipped once more")
	}
	lines := p.all(func(n *html.Node) bool { return n.Data == "li" && attr(n, "class") == "step skipped" })
	if len(lines) != 1 || !strings.Contains(textWithSpaces(lines[0]), "Skipped") || !strings.Contains(textWithSpaces(lines[0]), "Wait for Kubernetes") {
		t.Errorf("%d steps look skipped", len(lines))
	}
	if marks := p.all(func(n *html.Node) bool { return attr(n, "title") == "Without “wait for Kubernetes”" }); len(marks) != 1 || textOf(marks[0]) != "In part" {
		t.Errorf("%d rows of the timeline say that a step was skipped", len(marks))
	}
	if bars := p.all(func(n *html.Node) bool {
		return n.Data == "rect" && attr(n, "class") == "skipped" && attr(n, "height") == "14"
	}); len(bars) != 1 {
		t.Errorf("the timeline shows %d skipped steps", len(bars))
	}
	l.submit(t, stale, action, nil, http.StatusConflict).has(t, "is being skipped already")
	op, err := l.store.Operation(t.Context(), id)
	must(t, err)
	if st := op.Standing(); st.State != fleet.Skipped || op.State != fleet.Pending {
		t.Errorf("it is %s at %+v", op.State, st)
	}
	events, err := l.store.Events(t.Context(), store.EventFilter{Verb: "operation.skip", TargetID: id})
	must(t, err)
	if len(events) != 1 || events[0].Actor != "admin" {
		t.Errorf("events %+v", events)
	}
}

package web_test

import (
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/app"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/httpd"
	"github.com/talos-manager/talos-manager/internal/web/webtest"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// tell writes lines to an operation's log.
func (l *lab) tell(t testing.TB, id, step string, texts ...string) {
	t.Helper()
	c := workflow.Change{State: fleet.Waiting, Release: true}
	for _, text := range texts {
		c.Log = append(c.Log, fleet.LogLine{At: time.Now(), Step: step, Level: "info", Text: text})
	}
	l.change(t, id, c)
}

// logOf is what the log of a page shows, line by line.
func logOf(b *webtest.Tab) []string {
	return webtest.Eval[[]string](b, `[...document.querySelectorAll("[data-log] > li")].filter((l) => !l.hidden).map((l) => l.lastElementChild.textContent)`)
}

// Two people follow one operation: steps and lines reach both as they come, and one who reloads has all of them.
func TestTwoBrowsersSeeOneOperation(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	id := l.installAt(t, "web-0", l.webServers(t, 1), time.Now().Add(-3*time.Minute), 5)
	a, b := l.tab(t, webtest.Options{}, "/operations/"+id), l.tab(t, webtest.Options{Phone: true, Dark: true}, "/operations/"+id)
	both := []*webtest.Tab{a, b}
	for _, tab := range both {
		tab.Says("Choose the disk", "about to read the facts")
		webtest.Eval[bool](tab, "(window.stillTheSame = true)")
	}
	before := len(logOf(a))
	l.tell(t, id, "choose the disk", "the first of both")
	l.change(t, id, workflow.Change{State: fleet.Waiting, Release: true, Step: ptr("wait for a miracle"), WaitingFor: ptr("one"), Steps: []fleet.OperationStep{{Name: "wait for a miracle", State: fleet.Waiting, StartedAt: time.Now()}}})
	for _, tab := range both {
		tab.Says("the first of both", "Wait for a miracle", "Waiting for one")
		tab.Until("it was not loaded again", "window.stillTheSame")
	}
	b.Reload()
	b.Says("the first of both")
	l.tell(t, id, "wait for a miracle", "after the reload", "and one more")
	for _, tab := range both {
		tab.Says("after the reload", "and one more")
		if got := logOf(tab)[before:]; !slices.Equal(got, []string{"the first of both", "after the reload", "and one more"}) {
			t.Errorf("the log goes on with %q", got)
		}
	}
	l.change(t, id, workflow.Change{State: fleet.Succeeded, Finished: ptr(time.Now()), Release: true})
	for _, tab := range both {
		tab.Says("It is done: there is nothing to decide")
	}
}

// restart ends the program and starts it again at the same address, with the same data; away is done while nobody can
// reach it.
func (l *lab) restart(t testing.TB, away func()) {
	t.Helper()
	at := l.server.Listener.Addr().String()
	l.server.CloseClientConnections()
	must(t, l.app.Close())
	l.server.Close()
	log := slog.New(slog.DiscardHandler)
	a, err := app.New(t.Context(), l.app.Settings, app.Options{Version: "test", Log: log, Dial: l.sim.Dial})
	must(t, err)
	t.Cleanup(func() { a.Close() })
	l.app, l.store = a, a.Store
	away()
	listener, err := net.Listen("tcp", at)
	must(t, err)
	l.server = httptest.NewUnstartedServer(httpd.Recover(log, httpd.Secure(a.Handler)))
	must(t, l.server.Listener.Close())
	l.server.Listener = listener
	l.server.Start()
	t.Cleanup(l.server.Close)
}

// The program is restarted while somebody looks: the page says so, comes back by itself, and its log has every line once.
func TestALogOutlivesARestartOfTheProgram(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	id := l.installAt(t, "web-0", l.webServers(t, 1), time.Now().Add(-time.Minute), 2)
	b := l.tab(t, webtest.Options{}, "/operations/"+id)
	b.Says("about to check the records")
	before := len(logOf(b))
	l.tell(t, id, "boot the rescue system", "line 1")
	b.Says("line 1")
	webtest.Eval[bool](b, "(window.stillTheSame = true)")
	l.restart(t, func() {
		b.Says("Reconnecting")
		l.tell(t, id, "boot the rescue system", "line 2", "line 3")
	})
	b.Says("line 3")
	b.Until("it is connected again", `document.getElementById("reconnecting").hidden`)
	l.tell(t, id, "boot the rescue system", "line 4")
	b.Says("line 4")
	if got := logOf(b)[before:]; !slices.Equal(got, []string{"line 1", "line 2", "line 3", "line 4"}) {
		t.Errorf("the log goes on with %q", got)
	}
	b.Until("it was not loaded again", "window.stillTheSame")
	b.Forgive("/live/", "[object Event]") // that its stream was cut off
	b.Go("/nowhere")                      // it has no stream that the program would wait for at its end
}

// A question about disks shows what is lost and takes the serial numbers only, typed into the page.
func TestAQuestionAboutDisksIsAnsweredInTheBrowser(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	cluster := l.webServers(t, 1)
	id := l.installAt(t, "web-0", cluster, time.Now().Add(-3*time.Minute), 5)
	b := l.tab(t, webtest.Options{}, "/operations/"+id)
	b.Says("Choose the disk")
	l.change(t, id, workflow.Change{State: fleet.Asking, Question: ptr(diskQuestion), Release: true})
	b.Says("It asks before it goes on", "S64GNX0T123", "512 GB", "All of it is lost.", "Partition 1 boot 512 MB ext4", "RAID array md1 raid1 loses a member: it is degraded")
	b.Type("#answer", "S64GNX0T123")
	b.Press("Go on, and lose what the table says")
	b.Says("does not name the disks that the question is about", "type S64GNX0T123 S64GNX0T456")
	b.Until("what was typed is there", `document.querySelector("#answer").value === "S64GNX0T123"`)
	b.Type("#answer", "S64GNX0T456, S64GNX0T123")
	b.Press("Go on, and lose what the table says")
	b.Says("Answered", "Who did what")
	op, err := l.store.Operation(t.Context(), id)
	must(t, err)
	if op.State == fleet.Asking || op.Answer != "S64GNX0T456, S64GNX0T123" {
		t.Errorf("it is %s with answer %q", op.State, op.Answer)
	}
}

// The log is searched as one types, keeps to that when lines come, and follows unless it is scrolled up.
func TestALogIsSearchedAndFollowed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	id := l.installAt(t, "web-0", l.webServers(t, 1), time.Now().Add(-5*time.Minute), 7)
	var many []string
	for i := range 80 {
		many = append(many, fmt.Sprintf("block %d", i))
	}
	l.tell(t, id, "write the image", many...)
	b := l.tab(t, webtest.Options{}, "/operations/"+id)
	const end = `((l) => l.scrollHeight - l.scrollTop - l.clientHeight < 24)(document.querySelector("[data-log]"))`
	b.Says("91 lines")
	b.Until("it is at its end", end)
	l.tell(t, id, "write the image", "block 80")
	b.Says("block 80")
	b.Until("it follows", end)
	webtest.Eval[float64](b, `(document.querySelector("[data-log]").scrollTop = 0)`)
	b.Says("To the end")
	l.tell(t, id, "write the image", "block 81")
	b.Says("1 new line")
	b.Until("it stays where it was", `document.querySelector("[data-log]").scrollTop === 0`)
	b.Press("1 new line")
	b.Until("it is at its end", end)

	b.Type("#log-text", "BLOCK 7")
	b.Says("11 of 93 lines")
	l.tell(t, id, "boot Talos", "block 7 is read back", "nobody looks for this")
	b.Says("12 of 95 lines")
	b.Until("the address keeps it", `location.search === "?log=BLOCK+7"`)
	b.Pick("#log-step", "boot Talos")
	b.Says("1 of 95 lines")
	b.Type("#log-text", "")
	b.Pick("#log-step", "")
	b.Pick("#log-level", "warn")
	b.Says("2 of 95 lines")
	b.Pick("#log-times", "elapsed")
	b.Until("times count from its begin", `document.querySelector("[data-log] > li:not([hidden]) time").textContent === "+01:40"`)
	b.Reload()
	b.Says("2 of 95 lines")
	b.Axe()
}

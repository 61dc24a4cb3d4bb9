package web_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/web/webtest"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

const (
	paletteOpen = `document.querySelector("#palette").open`
	loaded      = ` && document.readyState === "complete"`
)

func TestThePaletteLeadsAnywhereByKeys(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	b := l.tab(t, webtest.Options{}, "/servers")
	b.Click("#filter-search")
	b.Keys("k", chromedp.KeyModifiers(chromedp.ModifierCtrl))
	b.Until("Ctrl-K opens the palette from a field, too", paletteOpen)
	b.Until("it offers pages before anything is typed", `document.querySelectorAll("#palette-hits [role=option]").length > 5`)
	b.Axe()
	b.Keys(kb.Escape)
	b.Until("Escape closes it and gives the focus back", `!`+paletteOpen+` && document.activeElement.id === "filter-search"`)
	webtest.Eval[bool](b, `(document.activeElement.blur(), true)`)
	b.Keys("/")
	b.Until("a slash opens it", paletteOpen)
	b.Keys("server-")
	b.Until("servers are found", `[...document.querySelectorAll("#palette-hits .hit-title")].some((o) => o.innerText.startsWith("server-4"))`)
	b.Keys(kb.ArrowDown)
	b.Keys(kb.ArrowDown)
	b.Until("the third is marked, and the focus stays", `document.querySelectorAll("#palette-hits [role=option]")[2].ariaSelected === "true" && document.activeElement.id === "palette-words"`)
	b.Keys("\r")
	b.Until("Enter opens it", `location.pathname === "/servers/`+l.serverNamed(t, "server-2").ID+`"`+loaded)
	b.Keys("/")
	b.Until("a slash opens it", paletteOpen)
	b.Keys("install server-6\r") // faster than any answer: Enter waits for it
	b.Until("what was said is begun", `location.pathname === "/install"`+loaded)
	b.Keys("/")
	b.Until("a slash opens it", paletteOpen)
	b.Keys("dark col\r")
	b.Until("what can be done is done, and the page is the same", `document.documentElement.dataset.theme === "dark" && location.pathname === "/install"`+loaded)
}

func TestTheDrawerShowsWhatRunsAsItRuns(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	b := l.tab(t, webtest.Options{}, "/clusters")
	b.Keys("r")
	b.Says("Waits for your answer", "Install Talos on server-2", "Write the image: waiting for the image to be written", "Lately")
	b.Axe()
	six := l.serverNamed(t, "server-6")
	l.operation(t, fleet.Operation{Kind: "server.rescue", ServerID: six.ID}, workflow.Change{State: fleet.Running, Step: ptr("ask for the rescue system")})
	b.Says("Boot the rescue system on server-6", "Ask for the rescue system")
	b.Press("Close")
	b.Until("it is closed", `!document.querySelector("#drawer").open`)
	phone := l.tab(t, webtest.Options{Phone: true, Dark: true}, "/clusters")
	phone.Click("#running")
	phone.Says("Boot the rescue system on server-6")
	phone.Axe()
}

func TestRowsAreReachedByKeys(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	b := l.tab(t, webtest.Options{}, "/servers")
	b.Keys(kb.Tab)
	b.Until("the first Tab leads past the rail", `document.activeElement.className === "skip"`)
	b.Keys("\r")
	b.Until("to the content", `document.activeElement.id === "main"`)
	focused := func(name string) string { return `document.activeElement.innerText === "` + name + `"` }
	b.Keys("j")
	b.Until("the first row has the focus", focused("server-0"))
	b.Keys("j")
	b.Keys("j")
	b.Keys("k")
	b.Until("the second row has it", focused("server-1"))
	b.Keys("m")
	b.Until("its menu is open", `document.activeElement.matches("tr details[open][data-menu] > summary")`)
	b.Keys(kb.ArrowDown)
	b.Until("an arrow leads into it", `document.activeElement.matches("tr details[open] :not(summary)")`)
	b.Keys(kb.Escape)
	b.Until("Escape closes it", `document.activeElement.matches("tr details:not([open]) > summary")`)
	b.Keys("x")
	b.Says("1 server chosen")
	b.Keys("jj")
	b.Keys("X", chromedp.KeyModifiers(chromedp.ModifierShift))
	b.Says("3 servers chosen")
	b.Keys("\r")
	b.Until("Enter opens the row", `location.pathname === "/servers/`+l.serverNamed(t, "server-3").ID+`"`+loaded)
	b.Keys("go")
	b.Until("g and o lead to the operations", `location.pathname === "/operations"`+loaded)
	b.Keys("?")
	b.Says("Keyboard shortcuts", "Next row")
	b.Axe()
	b.Press("Single keys")
	b.Keys(kb.Escape)
	b.Keys("gs")
	b.Keys("k", chromedp.KeyModifiers(chromedp.ModifierCtrl))
	b.Until("only Ctrl-K is left when single keys are off", paletteOpen)
	if at := b.Path(); !strings.HasPrefix(at, "/operations") {
		t.Errorf("single keys are off, and lead to %s", at)
	}
}

func TestTextIsCopied(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	b := l.tab(t, webtest.Options{}, "/servers")
	b.Press("The same from a shell")
	// As on a page of plain HTTP: there the old way has to do, and says whether it did.
	webtest.Eval[bool](b, `(Object.defineProperty(navigator, "clipboard", { value: undefined }), document.addEventListener("copy", () => (window.copied = String(getSelection()) || document.activeElement.value)), true)`)
	b.Press("Copy")
	b.Until("the command was copied", `window.copied === document.querySelector("#as-cli-0").textContent`)
	b.Says("Copied")
}

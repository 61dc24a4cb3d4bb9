package web_test

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/talos-manager/talos-manager/internal/web/webtest"
)

// inEditor is an element of the editor, which is in a shadow root of its own.
func inEditor(css string) string {
	return `document.querySelector(".config-editor")?.shadowRoot.querySelector("` + css + `")`
}

// In a browser: a field is completed and explained, a mistake is marked as it is typed, what a save would change is shown
// first. The policy for content stays as strict as it is: a tab fails for every complaint on its console.
func TestAPatchIsWrittenInTheEditor(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := l.fabric(t, "fabric")
	b := l.tab(t, webtest.Options{}, "/configs/"+f.config.ID+"/edit")
	b.Until("the editor is there", inEditor(".cm-content"))
	b.Type("#patch-name", "sysctls")
	webtest.Eval[bool](b, `(`+inEditor(".cm-content")+`.focus(), true)`)
	b.Keys("machine: {sysc")
	b.Until("a field is offered", inEditor("[role=option]")+`?.textContent.includes("sysctls")`)
	b.Until("it is explained", inEditor(".cm-completionInfo")+`?.textContent.includes("machine.sysctls")`)
	webtest.Eval[bool](b, `(`+inEditor("[role=option]")+`.dispatchEvent(new MouseEvent("mousedown", { bubbles: true, cancelable: true })), true)`)
	b.Until("it is written", `document.querySelector("#patch-text").value === "machine: {sysctls:}"`)
	b.Keys(" {vm.max_map_count: [[1")
	b.Says("Refused: fabric-cp-1, fabric-worker-1, fabric-worker-2", "Line 1")
	b.Until("the place is marked", inEditor(".cm-lintRange-error"))
	b.Axe()
	b.Press("Show what changes")
	b.Says("would break all 3 servers that use it", "line 1")
	b.Until("what was typed is kept", inEditor(".cm-content")+`?.textContent.includes("[[1]]")`)
	webtest.Eval[bool](b, `(`+inEditor(".cm-content")+`.focus(), true)`)
	b.Keys("a", chromedp.KeyModifiers(chromedp.ModifierCtrl))
	b.Keys("machine: {sysctls: {vm.max_map_count: '262144'")
	b.Says("Talos takes it, on every server that uses it.")
	b.Press("Show what changes")
	b.Says("The machine configs of 3 servers change", "fabric-cp-1", "vm.max_map_count", "Nothing is saved yet")
	b.Press("Save it for 3 servers")
	b.Says("Saved: Add patch sysctls")

	// What is typed stands beside what is saved, in the same editor.
	b.Go("/configs/" + f.config.ID + "/edit?patch=sysctls&line=1")
	b.Until("the editor is there", inEditor(".cm-content"))
	b.Press("Beside what is saved")
	b.Until("there are two texts", inEditor(".cm-merge-a .cm-content")+`?.textContent.includes("262144")`)
	b.Keys("# first, ") // of these letters, some are keys of the page elsewhere
	b.Until("it can be typed into", `document.querySelector("#patch-text").value.startsWith("# first, machine")`)
	b.Keys("a", chromedp.KeyModifiers(chromedp.ModifierCtrl))
	b.Keys("machine: {sysctls: {vm.max_map_count: '300000'")
	b.Until("the difference is marked", inEditor(".cm-merge-b .cm-changedText")+` && document.querySelector("#patch-text").value.includes("300000")`)
	b.Axe()
	b.Press("Beside what is saved")
	b.Until("the editor is alone, with what was typed", `!`+inEditor(".cm-merge-a")+` && `+inEditor(".cm-content")+`.textContent.includes("300000")`)
	b.Keys("z", chromedp.KeyModifiers(chromedp.ModifierCtrl))
	b.Until("it can be undone still", `!document.querySelector("#patch-text").value.includes("300000")`)
}

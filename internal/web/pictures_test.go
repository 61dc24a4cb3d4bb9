package web_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/web/webtest"
)

// Every page fits its screen, wide and on a phone. With SCREENSHOTS in the environment pictures of all of them go to that
// directory: make screenshots.
func TestEveryPageFitsItsScreen(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	dir := os.Getenv("SCREENSHOTS")
	paths := l.paths(t)
	for name, o := range map[string]webtest.Options{"light": {}, "dark": {Dark: true}, "phone": {Phone: true, Dark: true}} {
		if name == "dark" && dir == "" {
			continue // colours change no width
		}
		b := l.tab(t, o, "/")
		seen := map[string]bool{}
		for _, path := range paths {
			b.Go(path)
			screen := 1280 // a phone's browser widens the window itself to what sticks out
			if o.Phone {
				screen = 390
			}
			if wide := webtest.Eval[int](b, "document.documentElement.scrollWidth"); wide > screen {
				t.Errorf("%s, %s: the page is %d wide, the screen %d: %s", path, name, wide, screen, webtest.Eval[string](b, fmt.Sprintf(widest, screen)))
			}
			if thin := webtest.Eval[string](b, squeezed); thin != "" {
				t.Errorf("%s, %s: text is squeezed into columns: %s", path, name, thin)
			}
			file := slug(path, l.ids(t))
			if dir != "" && !seen[file] {
				b.Shot(filepath.Join(dir, file+"-"+name+".webp"))
			}
			seen[file] = true
		}
	}
}

// widest names the elements that stick out.
const widest = `[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > %d + 1 && !e.closest(".scroll, pre"))
  .slice(0, 5).map((e) => e.tagName + "." + e.className + " " + Math.round(e.getBoundingClientRect().right)).join(", ")`

// squeezed names the elements whose text runs down the page, a word or less in a line.
const squeezed = `(() => {
  const found = [], texts = document.createTreeWalker(document.getElementById("main") ?? document.body, NodeFilter.SHOW_TEXT);
  for (let n; (n = texts.nextNode()) && found.length < 5; ) {
    if (n.data.trim().length < 12 || !n.parentElement.checkVisibility() || n.parentElement.closest("pre, svg")) continue;
    const range = document.createRange();
    range.selectNodeContents(n);
    const box = range.getBoundingClientRect();
    if (box.width > 0 && box.width < 72 && box.height > 90) found.push(n.parentElement.tagName + ": " + n.data.trim().slice(0, 40));
  }
  return found.join(", ");
})()`

var unnamed = regexp.MustCompile(`[^a-z0-9]+`)

// slug is an address as a file's name; ids in it, which differ each time, become the names of what they are of.
func slug(path string, names map[string]string) string {
	for id, name := range names {
		path = strings.ReplaceAll(path, id, name)
	}
	if path == "/" {
		return "overview"
	}
	return strings.Trim(unnamed.ReplaceAllString(strings.ToLower(path), "-"), "-")
}

// ids are the names of records by their ids.
func (l *lab) ids(t testing.TB) map[string]string {
	t.Helper()
	names := map[string]string{}
	servers, err := l.store.Servers(t.Context(), store.ServerFilter{IncludeMissing: true})
	must(t, err)
	for _, s := range servers {
		names[s.ID] = s.Name
	}
	clusters, err := l.store.Clusters(t.Context())
	must(t, err)
	for _, c := range clusters {
		names[c.ID] = c.Name
	}
	operations, err := l.store.Operations(t.Context(), store.OperationFilter{Limit: 1000})
	must(t, err)
	for _, op := range operations {
		names[op.ID] = op.Kind + "-" + string(op.State)
	}
	return names
}

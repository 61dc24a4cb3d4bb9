// Package webtest drives the pages in a real browser, Debian's Chromium, as people do: by what they read and click. A tab
// fails its test for every error on its console and for every request that leaves the origin.
package webtest

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/talos-manager/talos-manager/internal/skip"
)

// patience is how long a page may take to show what is asked for, on a busy machine.
const patience = 60 * time.Second

// Options of a tab. Zero values are a wide screen in light colours with JavaScript.
type Options struct {
	Phone    bool // 390 by 844 points, and touch
	Dark     bool // what the system prefers
	NoScript bool
}

// Tab is one tab of a browser with cookies of its own. Its methods end the test when something does not come about.
type Tab struct {
	t      testing.TB
	ctx    context.Context
	origin string
	phone  bool // what Become made of it

	mu     sync.Mutex
	faults []string
}

// chromium is one browser for all tests of a process; it dies with it.
var chromium = sync.OnceValues(func() (context.Context, error) {
	options := []chromedp.ExecAllocatorOption{chromedp.WindowSize(1280, 900), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("force-color-profile", "srgb")}
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, _ := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(options...))
	return ctx, chromedp.Do(ctx)
})

// Open opens a tab that is at home at origin, as http://127.0.0.1:8080, and shows nothing yet.
func Open(t testing.TB, origin string, o Options) *Tab {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		skip.UnlessCI(t, "chromium is not installed: scripts/setup.sh does it")
	}
	browser, err := chromium()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &Tab{t: t, ctx: ctx, origin: strings.TrimSuffix(origin, "/")}
	if err := chromedp.Listen(ctx, b.heard); err != nil {
		t.Fatal(err)
	}
	go b.console(chromedp.Console(ctx))
	t.Cleanup(b.Quiet)
	do(b, network.Enable, network.EnableParams{})
	b.Become(o)
	if o.NoScript {
		do(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	}
	return b
}

// Become gives the tab another screen and scheme of colours; whether scripts run stays as it was.
func (b *Tab) Become(o Options) {
	b.t.Helper()
	b.phone = o.Phone
	b.resize(0)
	scheme := "light"
	if o.Dark {
		scheme = "dark"
	}
	do(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

// resize makes the window so many points high; 0: as high as it is on such a screen.
func (b *Tab) resize(height int64) {
	b.t.Helper()
	if b.phone {
		b.do("be a phone", chromedp.EmulateViewport(390, cmp.Or(height, 844), chromedp.EmulateMobile, chromedp.EmulateTouch))
		return
	}
	b.do("be a desk's screen", chromedp.EmulateViewport(1280, cmp.Or(height, 900)))
}

// do sends one command of the browser's protocol.
func do[P, R any](b *Tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	r, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *Tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// console notes what a page complains about.
func (b *Tab) console(all func(func(chromedp.ConsoleMessage, error) bool)) {
	for m, err := range all {
		if err != nil {
			return
		}
		// A refused form answers with a status that the browser logs; that is how it should be.
		if m.Source == "network" && strings.Contains(m.Text, "Failed to load resource: the server responded") {
			continue
		}
		if m.IsException() || string(m.Type) == "error" || m.Source == "security" {
			b.fault("console: " + m.Text + " at " + m.URL)
		}
	}
}

// heard notes requests that leave the origin.
func (b *Tab) heard(event any) {
	if e, is := event.(*network.EventRequestWillBeSent); is {
		u, err := url.Parse(e.Request.URL)
		if err != nil || u.Scheme != "data" && u.Scheme != "blob" && u.Scheme != "about" && u.Scheme+"://"+u.Host != b.origin {
			b.fault("a request to " + e.Request.URL)
		}
	}
}

func (b *Tab) fault(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, text)
}

// Forgive forgets what the page complained of so far with any of these words: a test that cuts a connection hears of it.
func (b *Tab) Forgive(words ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = slices.DeleteFunc(b.faults, func(text string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	})
}

// Quiet fails the test if a page complained, or asked another server, since the last time. It is called at the end.
func (b *Tab) Quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.faults {
		b.t.Errorf("at %s: %s", b.origin, text)
	}
	b.faults = nil
}

// Go loads the page at path.
func (b *Tab) Go(path string) {
	b.t.Helper()
	b.do("load "+path, chromedp.Navigate(b.origin+path))
}

// Reload loads the page once more.
func (b *Tab) Reload() {
	b.t.Helper()
	b.do("reload", chromedp.Reload())
}

// Path is the address of the page, without the origin.
func (b *Tab) Path() string {
	b.t.Helper()
	at, err := chromedp.Run(b.ctx, chromedp.Location())
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.TrimPrefix(at, b.origin)
}

// Eval gives the value of a JavaScript expression.
func Eval[T any](b *Tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// Says waits until the page shows all these words.
func (b *Tab) Says(words ...string) {
	b.t.Helper()
	for _, w := range words {
		b.Until(fmt.Sprintf("the page says %q", w), fmt.Sprintf("document.body.innerText.includes(%q)", w))
	}
}

// Until waits for a JavaScript expression to be true. Pages may be loaded meanwhile.
func (b *Tab) Until(what, expression string) {
	b.t.Helper()
	until(b, what, "!!("+expression+")", func(yes bool) bool { return yes })
}

// until waits for a JavaScript expression to have a value that will do.
func until[T any](b *Tab, what, expression string, will func(T) bool) T {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
		if err == nil && will(v) {
			return v
		}
		<-tick.C
	}
	text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText"))
	b.t.Fatalf("waited %s in vain: %s\n%s", patience, what, text)
	panic("not reached")
}

// reach is a point of an element that can be clicked: shown, not disabled, not covered, and where it was when last asked,
// with nothing on its way that may move it. Words choose among several.
const reach = `((css, words) => {
  if (document.querySelector(".htmx-request")) return [];
  for (const el of document.querySelectorAll(css)) {
    const text = (el.innerText || el.value || el.getAttribute("aria-label") || "").trim();
    if (words && text !== words && !text.startsWith(words)) continue;
    if (el.disabled) continue;
    el.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
    const r = el.getBoundingClientRect();
    const x = r.left + r.width / 2, y = r.top + r.height / 2;
    const top = document.elementFromPoint(x, y);
    if (r.width > 0 && top && (el.contains(top) || top.contains(el) || (el.labels && [...el.labels].some((l) => l.contains(top))))) {
      const before = window.reached;
      window.reached = [css, words, x, y].join(" ");
      return before === window.reached ? [x, y] : [];
    }
  }
  return [];
})(%q, %q)`

func (b *Tab) point(css, words string) (x, y float64) {
	b.t.Helper()
	at := until(b, fmt.Sprintf("%s %q can be clicked", css, words), fmt.Sprintf(reach, css, words), func(at []float64) bool { return len(at) == 2 })
	return at[0], at[1]
}

// Click clicks on the first element that the CSS selector chooses and a mouse can reach.
func (b *Tab) Click(css string) {
	b.t.Helper()
	b.press(b.point(css, ""))
}

// Press clicks on the button, link or summary with these words, or that begins with them.
func (b *Tab) Press(words string) {
	b.t.Helper()
	b.press(b.point("button, a, summary, label, [role=button], [role=option], input[type=submit]", words))
}

// press holds the mouse's button as long as people do: what a page changes under it meanwhile loses the click.
func (b *Tab) press(x, y float64) {
	b.t.Helper()
	left := []chromedp.MouseOption{chromedp.ButtonType(input.MouseButtonLeft), chromedp.ClickCount(1)}
	b.do("click", chromedp.MouseEvent(chromedp.MousePressed, x, y, left...), chromedp.Sleep(80*time.Millisecond), chromedp.MouseEvent(chromedp.MouseReleased, x, y, left...))
}

// Type puts text into a field in the place of what is there.
func (b *Tab) Type(css, text string) {
	b.t.Helper()
	b.Click(css)
	Eval[bool](b, fmt.Sprintf("(document.querySelector(%q).select?.(), true)", css))
	if text == "" {
		b.Keys("\b")
		return
	}
	b.Keys(text)
}

// Keys types where the focus is; github.com/chromedp/chromedp/kb names keys that are no letters.
func (b *Tab) Keys(keys string, options ...chromedp.KeyOption) {
	b.t.Helper()
	b.do("type", chromedp.KeyEvent(keys, options...))
}

// Pick chooses a value of a select.
func (b *Tab) Pick(css, value string) {
	b.t.Helper()
	b.Until(css+" offers "+value, fmt.Sprintf("[...(document.querySelector(%q)?.options ?? [])].some((o) => o.value === %q)", css, value))
	Eval[bool](b, fmt.Sprintf(`((s) => { s.value = %q; s.dispatchEvent(new Event("input", { bubbles: true })); s.dispatchEvent(new Event("change", { bubbles: true })); return true })(document.querySelector(%q))`, value, css))
}

// Text is what an element shows.
func (b *Tab) Text(css string) string {
	b.t.Helper()
	b.Until("there is "+css, fmt.Sprintf("document.querySelector(%q)", css))
	return Eval[string](b, fmt.Sprintf("document.querySelector(%q).innerText", css))
}

// Shot writes the whole page as a picture, as a window shows it that is as high as the page.
func (b *Tab) Shot(file string) {
	b.t.Helper()
	b.resize(Eval[int64](b, "document.documentElement.scrollHeight"))
	defer b.resize(0)
	b.Screen(file)
}

// Screen writes what the screen shows as a picture, in the format that the file's name ends with: .png, or .webp, which
// is smaller.
func (b *Tab) Screen(file string) {
	b.t.Helper()
	p := page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng}
	if strings.HasSuffix(file, ".webp") {
		p.Format, p.Quality = page.CaptureScreenshotFormatWebp, new(int64(80))
	}
	picture := do(b, page.CaptureScreenshot, p)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(file, picture.Data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// Package web is the pages: rendered on the server, useful without JavaScript, live with it. routes.go lists every
// route; each page has a file with its loader and its actions, and a template beside it.
//
// A page is a function of records: its loader reads them into typed structs, its template writes HTML. Its parts
// are renewed one by one over server-sent events when their data changes (live.go). Every action is a plain form
// that redirects when it is done; one that is refused shows its page again, with the reason and what was typed.
//
// It refuses to decide anything about records or machines: manage, operation and reconcile do. No inline script
// or style is ever written, nothing is loaded from elsewhere, and nobody unknown sees more than the login page.
package web

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/httpd"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/reconcile"
	"github.com/talos-manager/talos-manager/internal/store"
)

// Parts are what the pages call.
type Parts struct {
	Version    string // of this program
	Manager    *manage.Manager
	Operations *operation.Operations
	Reconciler *reconcile.Reconciler
	Access     *access.Access
	Key        ssh.Signer // of rescue systems; only its public half is shown
	Log        *slog.Logger
	About      About // how this program is set, for the page of settings
}

type site struct {
	Parts
	store   *store.Store
	assets  assets
	watches *watches
	rates   *rates
	configs *configTrial
}

func newSite(p Parts) *site {
	return &site{Parts: p, store: p.Manager.Store, assets: newAssets(), watches: &watches{}, rates: &rates{}, configs: &configTrial{}}
}

// handler answers a request, or returns why it cannot.
type handler func(w http.ResponseWriter, r *http.Request) error

// maxForm is more than any form needs; a secrets bundle is some 10 kB.
const maxForm = 1 << 20

// serve answers with h; what h returns becomes an error page.
func (s *site) serve(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			if err := r.ParseForm(); err != nil {
				s.fail(w, r, fleet.Errorf(fleet.Invalid, "read the form: %w", err))
				return
			}
		}
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	}
}

// refuse sends unknown people to the login page; a stream, which cannot show one, is told plainly.
func (s *site) refuse(w http.ResponseWriter, r *http.Request, err error) {
	kind := fleet.KindOf(err)
	if kind != fleet.Unauthorized {
		s.fail(w, r, err)
		return
	}
	if strings.HasPrefix(r.URL.Path, livePrefix+"/") {
		http.Error(w, err.Error(), httpd.Status(kind))
		return
	}
	s.toLogin(w, r)
}

// view is a page as its loader made it.
type view struct {
	title   string
	section string // of the rail: the address it begins with
	crumbs  []crumb
	address string // of the page itself, with its query
	body    func(lines []fleet.LogLine) templ.Component
	parts   []part
	log     string // operation whose log the page follows, "" for none
	wants   func(store.Change) bool
	sheet   func() (sheet, error) // its table for other programs, nil if it has none
	same    []command             // what does the same from a shell
	scripts []string              // names of assets that only this page loads
	edits   editedPatch           // the patch that it is the editor of
}

type crumb struct{ Name, Href string }

// loader reads what a page shows.
type loader func(r *http.Request) (view, error)

// page answers with what load reads.
func (s *site) page(load loader) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		v, err := load(r)
		if err != nil {
			return err
		}
		if format := exporting(r); format != "" {
			return s.export(w, v, format)
		}
		return s.show(w, r, http.StatusOK, v)
	}
}

// again shows a page once more because an action on it was refused: with why, and with what was typed.
func (s *site) again(w http.ResponseWriter, r *http.Request, load loader, why error) error {
	if fleet.KindOf(why) == fleet.Internal {
		s.Log.Error("page action", "path", r.URL.Path, "error", why)
	}
	r = r.WithContext(withTyped(r.Context(), r.PostForm))
	v, err := load(r)
	if err != nil {
		return why // the page cannot be shown any more; the first reason is the better one
	}
	return s.show(w, r.WithContext(withNotice(r.Context(), noticeOf(why))), httpd.Status(fleet.KindOf(why)), v)
}

// done redirects after an action, and says on the next page what was done.
func (s *site) done(w http.ResponseWriter, r *http.Request, to, text string) error {
	setFlash(w, r, text)
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// show writes a whole page.
func (s *site) show(w http.ResponseWriter, r *http.Request, status int, v view) error {
	ctx := context.WithValue(r.Context(), editedKey{}, v.edits)
	f, err := s.frameOf(ctx, r, v)
	if err != nil {
		return err
	}
	var lines []fleet.LogLine
	if v.log != "" {
		if lines, err = s.store.OperationLog(ctx, v.log, 0, 0); err != nil {
			return err
		}
	}
	if v.wants != nil {
		f.Stream = streamAddress(v.address, append(v.parts, runningPart(f.Running)), lines)
	}
	if _, told := noticeFrom(ctx); !told {
		if text := takeFlash(w, r); text != "" {
			ctx = withNotice(ctx, notice{Tone: ok, Text: text})
		}
	}
	return write(ctx, w, status, frame(f, v.body(lines)))
}

// frameOf gathers what every page shows around its content.
func (s *site) frameOf(ctx context.Context, r *http.Request, v view) (frameData, error) {
	now, err := s.running(ctx)
	f := frameData{
		Title: v.title, Section: v.section, Crumbs: v.crumbs, Actor: access.Actor(ctx), Version: s.Version,
		Theme: themeOf(r), Address: v.address, Running: now, Assets: s.assets,
		Sheet: v.sheet != nil, Same: v.same,
	}
	for _, name := range v.scripts {
		f.Scripts = append(f.Scripts, s.assets.address(name))
	}
	return f, err
}

// write renders first and sends then, so that a failure does not leave half a page.
func write(ctx context.Context, w http.ResponseWriter, status int, c templ.Component) error {
	var out bytes.Buffer
	if err := c.Render(ctx, &out); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store") // what one person saw is not for the next at this browser
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // whoever is gone needs no answer
	return nil
}

// fail shows an error page.
func (s *site) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // nobody reads it
	}
	kind := fleet.KindOf(err)
	if kind == fleet.Internal {
		s.Log.Error("page", "path", r.URL.Path, "error", err)
	}
	f, e := s.frameOf(r.Context(), r, view{title: failureTitle(kind), address: "/"})
	if e != nil {
		f.Actor = "" // without the database nothing can be said of what runs: the page stands alone
	}
	if e = write(r.Context(), w, httpd.Status(kind), frame(f, failurePage(failureOf(r, err)))); e != nil {
		http.Error(w, err.Error(), httpd.Status(kind))
	}
}

// noPage answers for addresses that are none.
func (s *site) noPage(_ http.ResponseWriter, r *http.Request) error {
	return fleet.Errorf(fleet.NotFound, "there is no page %s", r.URL.Path)
}

// themeCookie keeps which colours a browser wants; it is no secret.
const themeCookie = "theme"

func themeOf(r *http.Request) string {
	c, err := r.Cookie(themeCookie)
	if err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return ""
}

// setTheme changes the colours: light, dark, or as the system says.
func (s *site) setTheme(w http.ResponseWriter, r *http.Request) error {
	value := r.PostFormValue("theme")
	if value != "light" && value != "dark" {
		value = ""
	}
	http.SetCookie(w, &http.Cookie{Name: themeCookie, Value: value, Path: "/", MaxAge: int((365 * 24 * time.Hour).Seconds()), HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, ownAddress(r.PostFormValue("next")), http.StatusSeeOther)
	return nil
}

// ownAddress is next if it is an address of ours, else the overview: nobody is sent elsewhere by a link to us.
func ownAddress(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") || strings.HasPrefix(next, livePrefix+"/") {
		return "/"
	}
	return next
}

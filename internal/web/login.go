package web

import (
	"net/http"
	"net/url"

	"github.com/talos-manager/talos-manager/internal/httpd"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// loginData is what the login page shows.
type loginData struct {
	Next    string // where to go after
	Problem string
	Hint    string
	Where   string // file of the generated password, "" if the operator chose one
}

func (s *site) loginPage(w http.ResponseWriter, r *http.Request) error {
	return s.showLogin(w, r, http.StatusOK, loginData{Next: ownAddress(r.URL.Query().Get("next"))})
}

func (s *site) showLogin(w http.ResponseWriter, r *http.Request, status int, d loginData) error {
	d.Where = s.Access.PasswordFile
	f := frameData{Title: "Log in", Version: s.Version, Theme: themeOf(r), Assets: s.assets}
	return write(r.Context(), w, status, frame(f, loginForm(d, s.assets)))
}

// login starts a session.
func (s *site) login(w http.ResponseWriter, r *http.Request) error {
	next := ownAddress(r.PostFormValue("next"))
	if err := s.Access.Login(w, r, r.PostFormValue("password")); err != nil {
		n := noticeOf(err)
		return s.showLogin(w, r, httpd.Status(fleet.KindOf(err)), loginData{Next: next, Problem: n.Text, Hint: n.Hint})
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

// logout ends the session.
func (s *site) logout(w http.ResponseWriter, r *http.Request) error {
	s.Access.Logout(w, r)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// toLogin sends somebody to the login page, and back after to what they wanted to see.
func (s *site) toLogin(w http.ResponseWriter, r *http.Request) {
	to := "/login"
	if r.Method == http.MethodGet && r.URL.Path != "/" {
		to += "?next=" + url.QueryEscape(r.URL.RequestURI())
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

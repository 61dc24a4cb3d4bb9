package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// SessionCookie is what a browser keeps its session in.
const SessionCookie = "talos-manager"

const sessionLife = 7 * 24 * time.Hour

// Login starts a session for whoever knows the password.
func (a *Access) Login(w http.ResponseWriter, r *http.Request, password string) error {
	actor, err := a.admin(r, password)
	if err != nil {
		return err
	}
	text := actor + "." + strconv.FormatInt(a.now().Add(sessionLife).Unix(), 10)
	http.SetCookie(w, &http.Cookie{
		Name: SessionCookie, Value: text + "." + a.sign(text), Path: "/",
		MaxAge: int(sessionLife.Seconds()), HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure(r),
	})
	return nil
}

// Logout ends the session of this browser.
func (a *Access) Logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: SessionCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure(r)})
}

func secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

// session names whose session a request carries, "" if none that holds.
func (a *Access) session(r *http.Request) string {
	c, err := r.Cookie(SessionCookie)
	if err != nil {
		return ""
	}
	parts := strings.Split(c.Value, ".")
	if len(parts) != 3 || !hmac.Equal([]byte(parts[2]), []byte(a.sign(parts[0]+"."+parts[1]))) {
		return ""
	}
	until, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || a.now().Unix() >= until {
		return ""
	}
	return parts[0]
}

func (a *Access) sign(text string) string {
	mac := hmac.New(sha256.New, a.secret)
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

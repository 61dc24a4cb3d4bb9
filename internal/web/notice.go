package web

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
)

// notice is what a page says above its content: that something was done, or why it was not.
type notice struct {
	Tone tone
	Text string
	Hint string
}

// byForm takes out of errors what looks like a secret, whoever it belongs to: passwords in URLs, private keys.
var byForm = &diff.Redactor{}

func noticeOf(err error) notice {
	err = byForm.Error(err)
	return notice{Tone: broken, Text: upper(err.Error()), Hint: fleet.HintOf(err)}
}

type (
	noticeKey struct{}
	typedKey  struct{}
)

func withNotice(ctx context.Context, n notice) context.Context {
	return context.WithValue(ctx, noticeKey{}, n)
}

func noticeFrom(ctx context.Context) (notice, bool) {
	n, there := ctx.Value(noticeKey{}).(notice)
	return n, there
}

// withTyped keeps what was typed into a refused form, for its fields to show again.
func withTyped(ctx context.Context, form url.Values) context.Context {
	return context.WithValue(ctx, typedKey{}, form)
}

// typed is what a field of a form shows: what was typed when it was refused just now, else what it stands at.
func typed(ctx context.Context, form, field, standing string) string {
	if values, there := ctx.Value(typedKey{}).(url.Values); there && values.Get("form") == form {
		return values.Get(field)
	}
	return standing
}

// refused says whether this form was refused just now.
func refused(ctx context.Context, form string) bool {
	values, there := ctx.Value(typedKey{}).(url.Values)
	return there && values.Get("form") == form
}

// flashCookie carries one sentence over a redirect.
const flashCookie = "said"

func setFlash(w http.ResponseWriter, r *http.Request, text string) {
	http.SetCookie(w, &http.Cookie{
		Name: flashCookie, Value: base64.RawURLEncoding.EncodeToString([]byte(text)), Path: "/", MaxAge: 60,
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func takeFlash(w http.ResponseWriter, r *http.Request) string {
	c, err := r.Cookie(flashCookie)
	if err != nil {
		return ""
	}
	http.SetCookie(w, &http.Cookie{Name: flashCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	text, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return ""
	}
	return string(text)
}

// insist refuses what loses something until its name was typed.
func insist(r *http.Request, what, name string) error {
	if r.PostFormValue("confirm") == name {
		return nil
	}
	return fleet.Errorf(fleet.Invalid, "%s: its name was not typed", what).WithHint("type %s into the field to go on", name)
}

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/httpd"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
)

var errorType = reflect.TypeFor[client.ErrorBody]()

// failure is an error as it is sent.
type failure struct {
	Body    client.Error `json:"error"`
	headers http.Header
}

func (f *failure) Error() string           { return f.Body.Message }
func (f *failure) GetStatus() int          { return f.Body.Status }
func (f *failure) GetHeaders() http.Header { return f.headers }

// byForm takes out of errors what looks like a secret, whoever it belongs to: passwords in URLs, private keys. What is a
// secret for other reasons only those know who say the error.
var byForm = &diff.Redactor{}

// shape makes what is sent of err.
func shape(err error) *failure {
	kind, shown := fleet.KindOf(err), byForm.Error(err)
	f := &failure{Body: client.Error{Status: httpd.Status(kind), Kind: client.Kind(kind), Message: shown.Error(), Hint: fleet.HintOf(shown)}, headers: http.Header{}}
	if kind == fleet.Unauthorized {
		f.headers.Set("WWW-Authenticate", `Bearer realm="talos-manager"`)
	}
	var later interface{ RetryAt() time.Time }
	if errors.As(err, &later) {
		if wait := time.Until(later.RetryAt()); wait > 0 {
			f.headers.Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
		}
	}
	return f
}

// failure is the error of a handler. Bugs are logged: the client cannot do anything about them.
func (a *api) failure(ctx context.Context, route string, err error) error {
	f := shape(err)
	if f.Body.Kind == client.Internal && ctx.Err() == nil {
		a.Log.Error("request", "route", route, "error", byForm.Error(err))
	}
	return f
}

// refuse answers with an error outside of huma's routes.
func refuse(w http.ResponseWriter, _ *http.Request, err error) {
	f := shape(err)
	for name, values := range f.headers {
		w.Header()[name] = values
	}
	send(w, f.Body)
}

func send(w http.ResponseWriter, e client.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	json.NewEncoder(w).Encode(client.ErrorBody{Error: e})
}

// ownErrors gives the errors that huma finds in a request our shape. Values are left out: they may be secrets.
func ownErrors(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	ctx.SetHeader("Content-Type", "application/json")
	e := client.Error{Status: m.Status, Kind: client.Invalid, Message: m.Detail, Hint: "/openapi.json describes " + ctx.Operation().OperationID}
	if m.Status >= 500 {
		e.Kind, e.Hint = client.Internal, ""
	}
	var details []string
	for _, d := range m.Errors {
		if d == nil {
			continue
		}
		at := strings.TrimPrefix(strings.TrimPrefix(d.Location, "body."), "query.")
		details = append(details, strings.TrimPrefix(at+": "+d.Message, ": "))
	}
	if len(details) > 0 {
		e.Message = strings.Join(details, "; ")
	}
	return &client.ErrorBody{Error: e}, nil
}

// noRoute answers for paths and methods that there are not.
func noRoute(routes *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			probe := r.Clone(r.Context())
			probe.Method = method
			if _, pattern := routes.Handler(probe); pattern != base+"/" && pattern != "" {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) == 0 {
			send(w, client.Error{Status: http.StatusNotFound, Kind: client.NotFound, Message: "there is no route " + r.URL.Path, Hint: "/openapi.json lists them"})
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		send(w, client.Error{
			Status: http.StatusMethodNotAllowed, Kind: client.Invalid,
			Message: fmt.Sprintf("%s cannot be done to %s", r.Method, r.URL.Path), Hint: "it takes " + strings.Join(allowed, ", "),
		})
	}
}

// recover answers for a handler that panicked, in our shape.
func (a *api) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				a.Log.Error("panic in a request", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				send(w, client.Error{Status: http.StatusInternalServerError, Kind: client.Internal, Message: "internal error", Hint: "the manager's log says more"})
			}
		}()
		next.ServeHTTP(w, r)
	})
}

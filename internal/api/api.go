// Package api is the REST API: it reads a request, calls manage, operation or reconcile, and answers with the types
// of package client. routes.go lists every route; each resource has a file with its handlers and its conversion.
//
// Promises: every answer that is no success has the shape {"error":{"kind","message","hint"}}, whoever found the
// fault; what was misspelt (a field, a query parameter) is refused instead of passed over; credentials and secrets
// never come back, except where a route is there for that, and then it is noted in the events. /openapi.json
// describes all of it and needs no login; everything else does.
//
// It refuses to decide anything about records or machines.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/reconcile"
	"github.com/talos-manager/talos-manager/internal/store"
)

// Parts are what the API calls.
type Parts struct {
	Version    string // of this program
	Manager    *manage.Manager
	Operations *operation.Operations
	Reconciler *reconcile.Reconciler
	Access     *access.Access
	Key        ssh.Signer // of rescue systems; only its public half is shown
	Log        *slog.Logger
}

// base is where the routes begin.
const base = "/api/v1"

// Routes adds the API to mux: everything under /api/v1, and /openapi.json.
func Routes(mux *http.ServeMux, p Parts) {
	a := &api{Parts: p, store: p.Manager.Store}
	routes := http.NewServeMux()
	h := humago.New(routes, config(p.Version))
	a.routes(h)
	schemas := h.OpenAPI().Components.Schemas.Map()
	for _, unused := range []string{"ErrorModel", "ErrorDetail"} { // errors have our own shape
		delete(schemas, unused)
	}
	routes.HandleFunc(base+"/", noRoute(routes))
	mux.Handle(base+"/", a.recover(p.Access.Require(limitBodies(bodyTime, routes), refuse)))
	mux.HandleFunc("GET /openapi.json", describe(h))
}

type api struct {
	Parts
	store *store.Store
}

func config(version string) huma.Config {
	c := huma.DefaultConfig("Talos Manager", version)
	c.Info.Description = "Turns rented Hetzner servers into healthy Talos Linux clusters. Records are named in paths by id or by name."
	c.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.CreateHooks = nil // no $schema in answers
	c.RejectUnknownQueryParameters = true
	c.Transformers = []huma.Transformer{ownErrors}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":    {Type: "http", Scheme: "bearer", Description: "API token: talos-manager token create"},
		"password": {Type: "http", Scheme: "basic", Description: "any user name, and the password of the web page"},
	}
	c.Security = []map[string][]string{{"token": {}}, {"password": {}}}
	return c
}

// add registers one route, written as "GET /servers/{ref}".
func add[I, O any](a *api, h huma.API, name, route, summary string, f func(context.Context, *I) (*O, error), more ...func(*huma.Operation)) {
	method, path, _ := strings.Cut(route, " ")
	tag, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	op := huma.Operation{
		OperationID: name, Method: method, Path: base + path, Summary: summary, Tags: []string{tag},
		MaxBodyBytes: 4 << 20, BodyReadTimeout: -1, // limitBodies does it
		Responses: map[string]*huma.Response{"default": {Description: "Error", Content: map[string]*huma.MediaType{
			"application/json": {Schema: h.OpenAPI().Components.Schemas.Schema(errorType, true, "")},
		}}},
	}
	for _, m := range more {
		m(&op)
	}
	huma.Register(h, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, a.failure(ctx, route, err)
		}
		return out, nil
	})
}

// created and accepted say that a record was made, and that an operation was started.
func created(o *huma.Operation)  { o.DefaultStatus = http.StatusCreated }
func accepted(o *huma.Operation) { o.DefaultStatus = http.StatusAccepted }

// yaml says that the route answers YAML.
func yaml(o *huma.Operation) {
	o.Responses["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{"text/yaml": {Schema: &huma.Schema{Type: "string"}}}}
}

// The shapes of requests and answers. Those that others embed are exported: huma passes over embedded ones that are not.
type (
	nothing struct{}
	ByRef   struct {
		Ref string `path:"ref" doc:"name or id"`
	}
	ByID struct {
		ID string `path:"id"`
	}
	body[T any] struct{ Body T }
	text        struct {
		ContentType string `header:"Content-Type"`
		Body        []byte
	}
)

func answer[T any](v T, err error) (*body[T], error) {
	if err != nil {
		return nil, err
	}
	return &body[T]{v}, nil
}

func items[T, U any](all []T, convert func(T) U) client.List[U] {
	out := client.List[U]{Items: make([]U, 0, len(all))}
	for _, v := range all {
		out.Items = append(out.Items, convert(v))
	}
	return out
}

func describe(h huma.API) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text, err := h.OpenAPI().MarshalJSON()
		if err != nil {
			refuse(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/openapi+json")
		w.Write(text)
	}
}

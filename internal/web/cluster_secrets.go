package web

import (
	"io"
	"net/http"
	"strings"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/fleet"
)

// secretsData is the page of a cluster's secrets. It holds none of them.
type secretsData struct {
	Row   clusterRow
	Begun string // why they cannot be replaced; "" while they may
}

// clusterSecrets is the page of a cluster's secrets: they are never shown, but can be brought along.
func (s *site) clusterSecrets(r *http.Request) (view, error) {
	b, err := s.clusterBase(r.Context(), r.PathValue("ref"))
	if err != nil {
		return view{}, err
	}
	d := secretsData{Row: b.Row}
	if d.Begun, err = s.Manager.Begun(r.Context(), b.Cluster); err != nil {
		return view{}, err
	}
	v := clusterView(b, "/secrets")
	v.body = func([]fleet.LogLine) templ.Component { return secretsTab(d) }
	v.parts = []part{
		{id: "cluster-head", key: keyOf(d.Row), piece: clusterHead(d.Row)},
		{id: "cluster-secrets", key: keyOf([]any{d.Row.Name, d.Begun}), piece: secretsCard(d)},
	}
	v.same = []command{
		{
			"Replace its secrets, before it runs", "cluster replace-secrets " + b.Row.Name + " --secrets @secrets.yaml",
			"PUT /api/v1/clusters/" + b.Row.Name + `/secrets {"secrets": "…"}`,
		},
		{"Make a bundle from a control plane’s machine config", "secrets generate --from-controlplane-config controlplane.yaml -o secrets.yaml", ""},
		{"Create a cluster with secrets that exist", "cluster create NAME --endpoint https://HOST:6443 --secrets @secrets.yaml", `POST /api/v1/clusters {"name": "NAME", "endpoint": "https://HOST:6443", "secrets": "…"}`},
	}
	return v, nil
}

// replaceSecrets gives a cluster that has not begun to run the secrets of one that exists.
func (s *site) replaceSecrets(w http.ResponseWriter, r *http.Request) error {
	c, err := s.store.Cluster(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	bundle, err := s.broughtSecrets(r)
	if err == nil && bundle == nil {
		err = fleet.Errorf(fleet.Invalid, "no secrets were given").WithHint("choose a file, or paste its contents")
	}
	if err == nil {
		err = insist(r, "replace the secrets of cluster "+c.Name, c.Name)
	}
	if err == nil {
		err = s.Manager.ReplaceSecrets(r.Context(), access.Actor(r.Context()), c.ID, bundle)
	}
	if err != nil {
		return s.again(w, r, s.clusterSecrets, err)
	}
	return s.done(w, r, "/clusters/"+c.ID+"/secrets", "Replaced the secrets of "+c.Name+": its installs use them from now on")
}

// broughtSecrets reads the secrets that a form brings, as a file or pasted, as a bundle; nil if it brings none. They are
// taken out of the form: no page shows them again.
func (s *site) broughtSecrets(r *http.Request) ([]byte, error) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		if err := r.ParseMultipartForm(maxForm); err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "read the form: %w", err).WithHint("a secrets bundle has some 10 kB, a machine config not much more")
		}
	}
	text := []byte(r.PostFormValue("secrets"))
	r.PostForm.Del("secrets")
	if r.MultipartForm != nil && len(r.MultipartForm.File["file"]) > 0 {
		f, err := r.MultipartForm.File["file"][0].Open()
		if err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "read the file: %w", err)
		}
		defer f.Close()
		uploaded, err := io.ReadAll(f)
		if err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "read the file: %w", err)
		}
		if len(uploaded) > 0 && len(strings.TrimSpace(string(text))) > 0 {
			return nil, fleet.Errorf(fleet.Invalid, "secrets were pasted, and a file was chosen too").WithHint("give one of them")
		}
		text = append(text, uploaded...)
	}
	if len(strings.TrimSpace(string(text))) == 0 {
		return nil, nil
	}
	return s.Manager.BundleOf(text)
}

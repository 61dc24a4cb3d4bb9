package api

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// orYAML says that the route answers JSON, or bare YAML to whoever accepts only that.
func orYAML(h huma.API) func(*huma.Operation) {
	schema := h.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[client.MachineConfig](), true, "")
	return func(o *huma.Operation) {
		o.Responses["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{
			"application/json": {Schema: schema},
			"text/yaml":        {Schema: &huma.Schema{Type: "string"}},
		}}
	}
}

// machineConfig makes the config from the records as they are now. With secrets it is noted in the events, before
// it is handed out.
func (a *api) machineConfig(ctx context.Context, in *struct {
	ByRef
	Secrets bool   `query:"secrets" doc:"with secrets instead of stars; this is noted in the events"`
	Accept  string `header:"Accept" hidden:"true"`
},
) (*text, error) {
	s, err := a.store.Server(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	made, err := a.Manager.Renderer.MachineConfig(ctx, s)
	if err != nil {
		return nil, err
	}
	if in.Secrets {
		err = manage.Audit(ctx, a.store, access.Actor(ctx), "server.machine-config", "server", s.ID, "machine config of "+s.Name+" shown with secrets")
	} else {
		var shown []byte
		shown, err = machineconfig.Redact(made.YAML)
		made.YAML = manage.HideConfig(made.YAML, shown)
	}
	if err != nil {
		return nil, err
	}
	if strings.Contains(in.Accept, "yaml") {
		return &text{"text/yaml; charset=utf-8", made.YAML}, nil
	}
	out, err := json.Marshal(describeMade(client.Ref{ID: s.ID, Name: s.Name}, made, in.Secrets))
	return &text{"application/json", append(out, '\n')}, err
}

func describeMade(server client.Ref, made manage.Made, secrets bool) client.MachineConfig {
	m := client.MachineConfig{
		Server: server, Cluster: client.Ref{ID: made.Cluster.ID, Name: made.Cluster.Name},
		Revision: made.Config.Revision, TalosVersion: made.Input.TalosVersion, KubernetesVersion: made.Input.KubernetesVersion,
		Secrets: secrets, YAML: string(made.YAML),
	}
	if made.Config.ID != "" {
		m.Config = &client.Ref{ID: made.Config.ID, Name: made.Config.Name}
	}
	return m
}

package web

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/talos-manager/talos-manager/internal/manage"
)

// configVariablesData is the variables of a layer, and what they are on a chosen server.
type configVariablesData struct {
	configHead
	Own     []option // names and values, by name
	Server  string   // id of the chosen one
	Values  []manage.VariableValue
	Problem string // why they cannot be told
}

// configVariables is the page of a layer's own variables, and of all that patches can use on a chosen server.
func (s *site) configVariables(r *http.Request) (view, error) {
	ctx := r.Context()
	h, err := s.layer(ctx, layerRef(r), "/variables")
	if err != nil {
		return view{}, err
	}
	d := configVariablesData{configHead: h, Server: h.chosenServer(r)}
	for name, value := range h.Layer.Variables {
		d.Own = append(d.Own, option{name, value})
	}
	slices.SortFunc(d.Own, byValue)
	if d.Server != "" {
		if d.Values, err = s.Manager.Variables(ctx, d.Server); err != nil {
			d.Problem = noticeOf(err).Text
		}
	}
	layer := h.cli()
	v := h.view(
		"", configVariablesPage(d),
		command{"List them", "variable list " + layer, "GET " + h.api("")},
		command{"Set one", "variable set " + layer + " NAME VALUE", "PUT " + h.api("/variables/NAME") + ` {"value": "…"}`},
		command{"Take one away", "variable unset " + layer + " NAME", "POST " + h.api("/variables/NAME/remove") + ` {"why": "…"}`},
	)
	if d.Server != "" {
		v.address = layerPage(h.Ref, "/variables", url.Values{"server": {d.Server}})
	}
	v.sheet = func() (sheet, error) {
		out := sheet{name: "variables", columns: []string{"name", "value", "set by"}}
		for _, value := range d.Values {
			out.rows = append(out.rows, []string{value.Name, value.Value, value.By})
		}
		return out, nil
	}
	return v.live(partOf("config-head", h, configHeading), partOf("config-own", d, configOwn), partOf("config-values", d, configServerValues)), nil
}

func byValue(a, b option) int {
	if a.Value < b.Value {
		return -1
	}
	if a.Value > b.Value {
		return 1
	}
	return 0
}

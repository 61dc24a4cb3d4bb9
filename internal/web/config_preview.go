package web

import (
	"cmp"
	"net/http"
	"net/url"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// configPreviewData is the machine config of a chosen server, line by line.
type configPreviewData struct {
	configHead
	Server  string // id of the chosen one
	OfDraft bool
	Preview *manage.Preview
	Problem notice // why there is none
}

// configPreview is the page of what the layer comes to on a server: its whole machine config, and which patch set each line.
func (s *site) configPreview(r *http.Request) (view, error) {
	ctx := r.Context()
	h, err := s.layer(ctx, layerRef(r), "/preview")
	if err != nil {
		return view{}, err
	}
	d := configPreviewData{configHead: h, Server: h.chosenServer(r), OfDraft: r.FormValue("of") == "draft" && h.Layer.Draft != ""}
	if d.Server != "" {
		var change manage.Change
		if d.OfDraft {
			change.Publish = []manage.LayerRef{h.Ref}
		}
		p, err := s.Manager.Preview(ctx, change, d.Server)
		switch {
		case err == nil:
			d.Preview = &p
		case fleet.KindOf(err) == fleet.Invalid:
			d.Problem = noticeOf(err)
		default:
			return view{}, err
		}
	}
	v := h.view(
		"", configPreviewPage(d),
		command{"Say which patch set each line", "machine-config explain SERVER", "GET /api/v1/servers/" + cmp.Or(d.Server, "SERVER") + "/machine-config/explain"},
		command{"Print it, with its secrets", "machine-config show SERVER --secrets", "GET /api/v1/servers/" + cmp.Or(d.Server, "SERVER") + "/machine-config?secrets=true"},
	)
	if d.Server != "" {
		q := url.Values{"server": {d.Server}}
		if d.OfDraft {
			q.Set("of", "draft")
		}
		v.address = layerPage(h.Ref, "/preview", q)
	}
	return v.live(partOf("config-head", h, configHeading), partOf("config-preview", d, configPreviewed)), nil
}

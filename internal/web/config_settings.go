package web

import (
	"net/http"
	"strings"

	"github.com/talos-manager/talos-manager/internal/access"
)

// configSettings is the page of what a config has beside its patches: name, installer image, versions.
func (s *site) configSettings(r *http.Request) (view, error) {
	h, err := s.layer(r.Context(), layerRef(r), "/settings")
	if err != nil {
		return view{}, err
	}
	v := h.view(
		"", configSettingsPage(h),
		command{"Rename it", "config update " + h.Name + " --name NAME", ""},
		command{"Forget it", "config delete " + h.Name, "DELETE /api/v1/configs/" + h.Ref.Owner},
	)
	return v.live(partOf("config-head", h, configHeading), partOf("config-forget", h, configForget)), nil
}

// renameConfig gives a config another name.
func (s *site) renameConfig(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	c, err := s.store.Config(ctx, r.PathValue("ref"))
	if err != nil {
		return err
	}
	c.Name = strings.TrimSpace(r.PostFormValue("name"))
	if c, err = s.Manager.SaveConfig(ctx, access.Actor(ctx), c); err != nil {
		return s.again(w, r, s.configSettings, err)
	}
	return s.done(w, r, "/configs/"+c.ID+"/settings", "It is named "+c.Name+" now")
}

// deleteConfig forgets a config that nobody uses.
func (s *site) deleteConfig(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	c, err := s.store.Config(ctx, r.PathValue("ref"))
	if err != nil {
		return err
	}
	if err := insist(r, "forget config "+c.Name, c.Name); err != nil {
		return s.again(w, r, s.configSettings, err)
	}
	if err := s.Manager.DeleteConfig(ctx, access.Actor(ctx), c.ID); err != nil {
		return s.again(w, r, s.configSettings, err)
	}
	return s.done(w, r, "/configs", "Config "+c.Name+" is forgotten")
}

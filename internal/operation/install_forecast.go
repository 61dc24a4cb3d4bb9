package operation

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// forecastInput is all that a forecast is made of.
type forecastInput struct{}

func (o *Operations) planInput(context.Context, []string, InstallOptions) (forecastInput, error) {
	return forecastInput{}, fleet.Errorf(fleet.Unavailable, "plans of installs are not there yet")
}

func (in forecastInput) forecast() InstallPlan { return InstallPlan{} }

func (o *Operations) preview(context.Context, string, InstallOptions) (InstallPreview, error) {
	return InstallPreview{}, fleet.Errorf(fleet.Unavailable, "previews of installs are not there yet")
}

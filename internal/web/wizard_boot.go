package web

import (
	"net/http"

	"github.com/a-h/templ"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// wizardBootData is the step of how Talos and its config get there.
type wizardBootData struct {
	wizardData

	BadUUID []string // names of servers whose board has no UUID that will do
	Problem notice   // what was chosen that cannot be; zero if all of it can
}

// wizardBoot is the step of how Talos and its config get to the machines.
func (s *site) wizardBoot(r *http.Request) (view, error) {
	var d wizardBootData
	var err error
	if d.wizardData, err = s.wizardServers(r.Context(), wizardOf(r), "/install/boot"); err != nil {
		return view{}, err
	}
	if err := d.options().Check(); err != nil {
		d.Problem = noticeOf(err)
	}
	for _, v := range d.Servers {
		if !v.Facts.At.IsZero() && fleet.CheckUUID(v.Name, v.NodeUUID()) != nil {
			d.BadUUID = append(d.BadUUID, v.Name)
		}
	}
	return d.view(view{
		body: func([]fleet.LogLine) templ.Component { return wizardBootPage(d) },
		same: []command{{What: "What can be chosen here", CLI: "server install --help"}},
	}), nil
}

// way is one of the ways to choose from.
type way struct{ Value, Name, Text string }

func deliveries() []way {
	return []way{
		{"", "The machine fetches it", "It asks this manager once, with a code that is in its META partition. The machine has to reach this manager."},
		{string(fleet.Push), "It is handed to the machine", "This manager gives it to Talos in maintenance mode. For machines that cannot reach this manager."},
	}
}

func bootMethods() []way {
	return []way{
		{"", "From its disk", "The image is written to the disk, and the machine restarts. It works everywhere."},
		{string(fleet.BootKexec), "By kexec, from the rescue system", "Talos’ kernel is started there and installs itself: the firmware is gone through once less, and no restart of the account’s budget hangs on it."},
		{string(fleet.BootAuto), "By kexec when restarts run short", "From the disk as long as the account’s budget of restarts lasts."},
	}
}

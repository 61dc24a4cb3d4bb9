package operation

import (
	"context"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// InstallPreview is what an install would do to a server, as far as the records and its last facts tell.
type InstallPreview struct {
	Server       string
	Cluster      string
	TalosVersion string
	Schematic    string // id at the factory; "" for a plain image
	Image        string // address of the image
	Plain        bool   // an image of the settings, not the factory's
	Delivery     fleet.Delivery
	Boot         fleet.BootMethod
	FactsAt      time.Time // when the machine said what follows; zero: never
	Disk         fleet.Disk
	Contents     []string // of the disk, that would be lost
	Policy       fleet.DiskPolicy
	Verdict      string // what the policy says of that disk; "" if none could be chosen
	Meta         []PreviewMeta
	Steps        []string // of the operation, in order
	Scripts      []PreviewScript
	Problems     []Problem // would have it refused, or fail
}

// PreviewMeta is a value that would be written to the META partition.
type PreviewMeta struct {
	Key   uint8
	Name  string // what Talos calls it
	Value string // or what it would be: a one-time code is made when it is written
}

// PreviewScript is a script that would be run on the machine.
type PreviewScript struct {
	Step string   // in which
	Name string   // of the file
	Args []string // those known before; "…" in place of what only the run knows
	Why  string   // one line
	Text string
}

// DryRunInstall says what an install of the server would do. Nothing is changed by it; the image factory is asked
// whether it has the image.
func (o *Operations) DryRunInstall(ctx context.Context, ref string, options InstallOptions) (InstallPreview, error) {
	if err := options.check(); err != nil {
		return InstallPreview{}, err
	}
	return o.preview(ctx, ref, options)
}

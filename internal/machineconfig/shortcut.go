package machineconfig

//lint:file-ignore SA1019 fields that are deprecated for the newest Talos are all that older ones have

import (
	"reflect"
	"regexp"

	"github.com/siderolabs/talos/pkg/machinery/config/config"
	"github.com/siderolabs/talos/pkg/machinery/config/container"
	"github.com/siderolabs/talos/pkg/machinery/config/types/k8s"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
	"github.com/siderolabs/talos/pkg/machinery/config/validation"
)

// Two checks of the library take longer than everything else of a rendering: that an RSA key is one, and that a disk
// selector compiles. Both are of what is the same for every server: the key that Talos generated, which is checked
// once, and the selector that we make ourselves from the id of a disk. The rest is checked for each config.

// surelyValid checks a config without these two. False means that it has to be checked as a whole, to say why.
func (k *making) surelyValid(d *documents) bool {
	old := peek[*v1alpha1.Config](d)
	if old == nil || old.MachineConfig == nil {
		return false
	}
	list := make([]config.Document, 0, len(d.list))
	for _, doc := range d.list {
		switch c := doc.Document.(type) {
		case *v1alpha1.Config:
			list = append(list, k.withoutOwnSelector(c))
		case *k8s.KubeServiceAccountConfigV1Alpha1:
			if doc.shared == nil || !doc.shared.valid() || c.V1Alpha1ConflictValidate(old) != nil {
				return false
			}
		default:
			list = append(list, doc.Document)
		}
	}
	p, err := container.New(list...)
	return err == nil && len(problemsOf(p)) == 0
}

func validAlone(d config.Document) bool {
	v, ok := d.(config.Validator)
	if !ok {
		return true
	}
	_, err := v.Validate(metal{}, validation.WithStrict())
	return err == nil
}

// diskID is what can stand in a selector without being anything but text.
var diskID = regexp.MustCompile(`^[A-Za-z0-9._:-]+$`)

// withoutOwnSelector gives the same config with a disk by name instead of the selector that we made.
func (k *making) withoutOwnSelector(c *v1alpha1.Config) *v1alpha1.Config {
	install := c.MachineConfig.MachineInstall
	if install == nil || !diskID.MatchString(k.in.InstallDisk) || !reflect.DeepEqual(install.InstallDiskSelector, ownSelector(k.in.InstallDisk)) {
		return c
	}
	changed, machine, byName := *c, *c.MachineConfig, *install
	byName.InstallDisk, byName.InstallDiskSelector = "/dev/sda", nil
	machine.MachineInstall = &byName
	changed.MachineConfig = &machine
	return &changed
}

package imagefactory

import (
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
)

func TestAKernelAndItsCommandLineAreOfTheSchematic(t *testing.T) {
	c, _ := start(t, factory.Options{})
	id, err := c.CreateSchematic(t.Context(), "customization:\n  extraKernelArgs: [\"quiet\"]\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{c.KernelURL(id, "1.14.1", "amd64"), c.InitramfsURL(id, "v1.14.1", "amd64")} {
		if size, err := c.CheckImage(t.Context(), url); err != nil || size <= 0 {
			t.Errorf("%s: %d bytes, %v", url, size, err)
		}
	}
	line, err := c.CommandLine(t.Context(), id, "v1.14.1", "metal", "amd64")
	if err != nil || !strings.HasPrefix(line, "talos.platform=metal ") || !strings.HasSuffix(line, " quiet") {
		t.Errorf("the command line is %q, %v", line, err)
	}
	for why, try := range map[string]struct {
		id, version string
		kind        fleet.Kind
	}{
		"no version":           {id, "latest", fleet.Invalid},
		"an unknown schematic": {strings.Repeat("0", 64), "v1.14.1", fleet.NotFound},
	} {
		if _, err := c.CommandLine(t.Context(), try.id, try.version, "metal", "amd64"); fleet.KindOf(err) != try.kind {
			t.Errorf("%s: %v", why, err)
		}
	}
}

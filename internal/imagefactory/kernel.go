package imagefactory

import (
	"context"
	"net/http"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// KernelURL is where the kernel of a schematic is, for a boot without its disk image: by PXE or kexec.
func (c *Client) KernelURL(id, version, arch string) string {
	return c.base.JoinPath("image", id, tag(version), "kernel-"+arch).String()
}

// InitramfsURL is where the initramfs of a schematic is, with its extensions.
func (c *Client) InitramfsURL(id, version, arch string) string {
	return c.base.JoinPath("image", id, tag(version), "initramfs-"+arch+".xz").String()
}

// CommandLine reads the kernel command line of a schematic: the platform's arguments, what the version needs, and the
// schematic's own. A META of the schematic's is in it too, as talos.environment.
func (c *Client) CommandLine(ctx context.Context, id, version, platform, arch string) (string, error) {
	if err := checkVersion(version); err != nil {
		return "", err
	}
	answer, err := c.do(ctx, http.MethodGet, c.base.JoinPath("image", id, tag(version), "cmdline-"+platform+"-"+arch), nil)
	if err != nil {
		return "", c.explain(ctx, err, "read the kernel command line of schematic %s", id)
	}
	line := strings.TrimSpace(string(answer))
	if !strings.Contains(line, "talos.platform=") {
		return "", fleet.Errorf(fleet.Unavailable, "image factory: the kernel command line of schematic %s is none of Talos'", id).
			WithHint("check that %s is an image factory", c.base)
	}
	return line, nil
}

package cli

import (
	"errors"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

// build is what this program was built from.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
}

// thisBuild completes the version by what the toolchain stamped into the binary: the tag, or one made of the commit.
func thisBuild(version string) build {
	b := build{Version: version, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		b.Version = first(version, "unknown")
		return b
	}
	if v := info.Main.Version; b.Version == "" && v != "(devel)" {
		b.Version = v
	}
	b.Version = first(b.Version, "development")
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Commit = s.Value
		}
	}
	return b
}

func (p *program) versionCommand() *cobra.Command {
	var here bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the versions of this program and of the manager",
		Example: "  talos-manager version\n  talos-manager version --client -o json", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := struct {
				Client build           `json:"client"`
				Server *client.Version `json:"server,omitempty"`
			}{Client: p.build}
			c, problem := p.client()
			if problem == nil && !here {
				s, err := c.Version(cmd.Context())
				if problem = explain(err); err == nil {
					v.Server = &s
				}
			}
			err := p.show(v, func(t *table) {
				t.field("client", v.Client.Version)
				t.field("commit", v.Client.Commit)
				t.field("go", v.Client.Go)
				if v.Server != nil {
					t.field("server", v.Server.Version)
					t.field("server commit", v.Server.Commit)
					t.field("newest Talos", v.Server.Talos)
					t.field("default Kubernetes", v.Server.Kubernetes)
				}
			})
			if _, unnamed := errors.AsType[*usage](problem); err != nil || here || unnamed {
				return err
			}
			return problem
		},
	}
	cmd.Flags().BoolVar(&here, "client", false, "only of this program; ask no manager")
	return cmd
}

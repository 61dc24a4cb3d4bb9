package cli

import (
	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/internal/demo"
)

func (p *program) demoCommand() *cobra.Command {
	o := demo.Options{Version: p.build.Version}
	cmd := &cobra.Command{
		Use: "demo", Short: "Do the whole job on a simulated Hetzner",
		Long: `Do the whole job on a simulated Hetzner: a manager is started, accounts are added, a cluster is made, its servers are
installed and the cluster becomes healthy, while a timeline shows what happens. Then it stays up to be looked at. No
account is needed, and nothing outside of this computer is asked.`,
		Example: `  talos-manager demo
  talos-manager demo --once --servers 20 --faults 7
  talos-manager demo --expose   # then: . talos-manager-demo/env.sh && kubectl get nodes`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Out = p.out; o.Servers == 0 {
				return &usage{text: "demo: --servers 0", hint: "1 to 2000"}
			}
			return demo.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Servers, "servers", 5, "how many servers the cluster has")
	f.Uint64Var(&o.Faults, "faults", 0, "inject faults, chosen by this seed; 0 is none")
	f.StringVar(&o.Dir, "dir", "talos-manager-demo", "folder for its data, talosconfig, kubeconfig and env.sh")
	f.BoolVar(&o.Once, "once", false, "end when the cluster is healthy; exit 0 only then")
	f.BoolVar(&o.Expose, "expose", false, "put every simulated API on loopback addresses, for hcloud, talosctl and kubectl")
	f.Float64Var(&o.Speed, "speed", 20, "how much faster than life the simulated world is")
	f.StringVar(&o.Listen, "listen", "", "address of the manager; the default is 127.0.0.1:8080, or a free port if that is taken")
	f.DurationVar(&o.Within, "within", o.Within, "give up if the cluster is not healthy by then; 0 is 10m")
	must(cmd.MarkFlagDirname("dir"))
	return cmd
}

package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeEnv writes env.sh: what other tools need to talk to this manager, and, in an exposed world, to everything.
func (s *stage) writeEnv() error {
	dir := s.o.Dir
	var b strings.Builder
	set := func(name, value string) { fmt.Fprintf(&b, "export %s=%s\n", name, quote(value)) }
	b.WriteString("# source this file: . env.sh\n")
	set("TALOS_MANAGER_URL", s.url)
	set("TALOS_MANAGER_TOKEN", s.token)
	set("TALOSCONFIG", filepath.Join(dir, "talosconfig"))
	set("KUBECONFIG", filepath.Join(dir, "kubeconfig"))
	if s.o.Expose {
		if len(s.world.tokens) > 0 {
			set("HCLOUD_ENDPOINT", s.sim.ExposedCloud())
			set("HCLOUD_TOKEN", s.world.tokens[0])
		}
		set("ROBOT_URL", s.sim.ExposedRobot())
		set("FACTORY_URL", s.sim.ExposedFactory())
		set("HETZNER_WEBSERVICE_USER", s.world.logins[0].User)
		set("HETZNER_WEBSERVICE_PASSWORD", s.world.logins[0].Password)
	} else {
		b.WriteString("# The simulated APIs are inside the program; start it with --expose to reach them from outside.\n")
	}
	if self, err := os.Executable(); err == nil && filepath.Base(self) == "talos-manager" { // `go run` installs nothing
		fmt.Fprintf(&b, "command -v talos-manager >/dev/null || export PATH=\"$PATH\":%s\n", quote(filepath.Dir(self)))
	}
	return os.WriteFile(filepath.Join(dir, "env.sh"), []byte(b.String()), 0o600)
}

// quote makes one word of any shell out of a text.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// whereToLook says what to do next.
func (s *stage) whereToLook() string {
	var b strings.Builder
	env := filepath.Join(s.o.Dir, "env.sh")
	if strings.ContainsAny(env, " '\"$\\`&;()<>|*?[]#~!{}") {
		env = quote(env)
	}
	fmt.Fprintf(&b, "Look at it:\n")
	fmt.Fprintf(&b, "  %s   user admin, password %s\n", s.url, s.password)
	fmt.Fprintf(&b, "  . %s && talos-manager server list\n", env)
	if !s.o.Expose {
		fmt.Fprintf(&b, "  start it with --expose to use hcloud, talosctl and kubectl on it\n")
		return b.String()
	}
	node := s.world.machines[0].IPv4
	fmt.Fprintf(&b, "  . %s && hcloud server list\n", env)
	fmt.Fprintf(&b, "  . %s && talosctl -n %s version\n", env, node)
	fmt.Fprintf(&b, "  . %s && kubectl get nodes -o wide\n", env)
	fmt.Fprintf(&b, "  . %s && curl -u \"$HETZNER_WEBSERVICE_USER:$HETZNER_WEBSERVICE_PASSWORD\" \"$ROBOT_URL/server\"\n", env)
	fmt.Fprintf(&b, "  servers are at their addresses of 127.0.0.0/8: SSH %d (in rescue), Talos 50000, Kubernetes 6443\n", s.sim.SSHPort())
	return b.String()
}

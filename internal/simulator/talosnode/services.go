package talosnode

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
)

const (
	cniVolumes    = "volumes /var/lib, /var/lib/cni, /var/lib/containerd, /var/run, /var/run/lock to be mounted"
	kubletVolumes = "volumes /var/lib, /var/lib/kubelet, /var/log, /var/log/audit, /var/log/containers, /var/log/pods, " +
		"/var/lib/kubelet/seccomp, /var/lib/kubelet/seccomp/profiles, /var/log/audit/kube, /var/mnt to be mounted"
)

func inContainer(id string) string {
	return "Started task " + id + " (PID %d) for container " + id
}

func process(id string, args ...string) string {
	return "Process Process([\"" + strings.Join(append([]string{id}, args...), "\" \"") + "\"]) started with PID %d"
}

func machined() definition {
	return definition{id: "machined", started: "Service started as goroutine", settles: stepTime}
}

func goroutine(id string) definition {
	return definition{id: id, started: "Service started as goroutine", settles: stepTime}
}

func containerd() definition {
	return definition{id: "containerd", process: true, settles: serviceTime, started: process("/bin/containerd",
		"--address", "/system/run/containerd/containerd.sock", "--state", "/system/run/containerd", "--root", "/system/var/lib/containerd")}
}

func udevd() definition {
	return definition{id: "udevd", process: true, settles: serviceTime, started: process("/usr/bin/systemd-udevd", "--resolve-names=never")}
}

func dashboard() definition {
	return definition{id: "dashboard", process: true, settles: stepTime, started: process("/sbin/dashboard")}
}

// apid serves port 50000 while it runs. It waits for somebody to serve: a config, or maintenance mode.
func (n *node) apid() definition {
	return definition{
		id: "apid", process: true, started: inContainer("apid"), settles: serviceTime,
		waits: `Waiting for service "containerd" to be "up", api certificates, config to be ready`,
		wait: func(ctx context.Context, say func(string)) bool {
			if !n.services.until(ctx, func() bool { return n.services.up("containerd") }) {
				return false
			}
			say("Waiting for config to be ready")
			return n.api.until(ctx)
		},
		health: func() error {
			if !n.api.listening() {
				return errors.New("dial tcp 127.0.0.1:50000: connect: connection refused")
			}
			return nil
		},
		work: n.api.run,
	}
}

func (n *node) cri() definition {
	return definition{
		id: "cri", process: true, settles: serviceTime,
		waits:   "Waiting for " + cniVolumes + ", network",
		started: process("/bin/containerd", "--address", "/run/containerd/containerd.sock", "--config", "/etc/cri/containerd.toml"),
	}
}

func (n *node) trustd() definition {
	return definition{
		id: "trustd", process: true, started: inContainer("trustd"), settles: serviceTime,
		waits: `Waiting for service "containerd" to be "up", time sync, network`,
		wait: func(ctx context.Context, _ func(string)) bool {
			return n.services.until(ctx, func() bool { return n.services.up("containerd") })
		},
	}
}

func (n *node) kubelet() definition {
	return definition{
		id: "kubelet", process: true, stops: true, started: inContainer("kubelet"), settles: 2 * serviceTime,
		waits:   "Waiting for " + kubletVolumes + `, service "cri" to be "up", time sync, network`,
		wait:    n.afterCRI,
		prepare: n.kube.pull,
		work:    n.kube.kubelet,
	}
}

// extension is the service of a system extension, siderolabs/qemu-guest-agent as ext-qemu-guest-agent.
func extension(name string) definition {
	id := "ext-" + name[strings.LastIndex(name, "/")+1:]
	return definition{id: id, process: true, stops: true, started: inContainer(id), settles: stepTime}
}

// afterCRI waits as etcd and the kubelet do.
func (n *node) afterCRI(ctx context.Context, say func(string)) bool {
	if !n.services.up("cri") {
		if !n.sleep(ctx, healthTime) {
			return false
		}
		if !n.services.up("cri") {
			say(`Waiting for service "cri" to be "up"`)
		}
	}
	return n.services.until(ctx, func() bool { return n.services.up("cri") })
}

// earlyServices run before there is a config.
func (n *node) earlyServices() []definition {
	return []definition{machined(), udevd(), goroutine("auditd"), goroutine("syslogd"), n.apid(), containerd()}
}

// lateServices run in a configured node.
func (n *node) lateServices() []definition {
	list := []definition{n.cri()}
	if n.controlPlane() {
		list = append(list, n.trustd(), n.etcd.definition(false, false))
	}
	list = append(list, n.kubelet())
	for _, name := range n.extensions() {
		list = append(list, extension(name))
	}
	return list
}

// extensions that bring a service. Firmware and kernel modules do not.
func (n *node) extensions() []string {
	services := []string{"qemu-guest-agent", "tailscale", "iscsi-tools", "spin", "nut-client", "newt", "cloudflared", "zerotier", "netbird", "vmtoolsd-guest-agent"}
	return slices.DeleteFunc(slices.Clone(n.info.Extensions), func(name string) bool {
		return !slices.Contains(services, name[strings.LastIndex(name, "/")+1:])
	})
}

func sortServices(list []*machine.ServiceInfo) {
	slices.SortFunc(list, func(a, b *machine.ServiceInfo) int { return strings.Compare(a.GetId(), b.GetId()) })
}

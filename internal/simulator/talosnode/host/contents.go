package host

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tree makes the file system of a Talos node as it is now.
func (h *Host) tree() tree {
	t := tree{}
	for _, dir := range []string{"/boot", "/dev", "/lib", "/mnt", "/opt", "/root", "/run", "/system/config", "/tmp", "/var/lib", "/var/log"} {
		t.enter(File{Path: dir, Dir: true})
	}
	for _, part := range [][]File{h.etc(), h.proc(), h.sys(), h.usr(), h.varLog(), h.kubernetes(), ask(h.options.Files)} {
		for _, f := range part {
			t.enter(f)
		}
	}
	return t
}

func text(name, format string, args ...any) File {
	return File{Path: name, Contents: fmt.Appendf(nil, format, args...)}
}

func (h *Host) etc() []File {
	hosts := "127.0.0.1 localhost\n"
	for _, p := range ask(h.options.Addresses) {
		hosts += fmt.Sprintf("%s  %s\n", p.Addr(), ask(h.options.Hostname))
	}
	hosts += "::1       localhost ip6-localhost ip6-loopback\nff02::1   ip6-allnodes\nff02::2   ip6-allrouters\n"
	return []File{
		text("/etc/os-release", "NAME=\"Talos\"\nID=talos\nVERSION_ID=%[1]s\nPRETTY_NAME=\"Talos (%[1]s)\"\nHOME_URL=\"https://www.talos.dev/\"\n"+
			"BUG_REPORT_URL=\"https://github.com/siderolabs/talos/issues\"\nVENDOR_NAME=\"Sidero Labs\"\nVENDOR_URL=\"https://www.siderolabs.com/\"\n",
			h.options.Version),
		text("/etc/hostname", "%s\n", ask(h.options.Hostname)),
		text("/etc/hosts", "%s", hosts),
		text("/etc/resolv.conf", "nameserver 127.0.0.53\n"),
		text("/etc/machine-id", "%s\n", strings.ReplaceAll(h.options.Machine.UUID, "-", "")),
		text("/etc/nsswitch.conf", "hosts: files dns\n"),
		{Path: "/etc/localtime", Link: "/usr/share/zoneinfo/Etc/UTC"},
		{Path: "/etc/ssl/certs/ca-certificates", Size: 221184},
		text("/etc/containerd/config.toml", "version = 3\ndisabled_plugins = [\"io.containerd.internal.v1.tracing\"]\n"),
		text("/etc/cri/conf.d/00-base.part", "version = 3\n"),
		{Path: "/etc/cri/conf.d/01-registries.part", Mode: 0o600, Contents: []byte("[plugins]\n")},
		{Path: "/etc/cri/conf.d/20-customization.part", Mode: 0o600},
		{Path: "/etc/cri/conf.d/cri.toml", Mode: 0o600, Contents: []byte("version = 3\n")},
		{Path: "/etc/cri/conf.d/hosts", Dir: true},
		{Path: "/etc/cni", Dir: true},
	}
}

func (h *Host) proc() []File {
	kib := h.options.Machine.MemoryBytes >> 10
	files := []File{
		text("/proc/cmdline", "%s\n", h.options.Cmdline),
		text("/proc/version", "Linux version %s #1 SMP PREEMPT_DYNAMIC\n", h.options.Kernel),
		text("/proc/meminfo", "MemTotal:       %8d kB\nMemFree:        %8d kB\nMemAvailable:   %8d kB\n", kib, kib*3/4, kib*7/8),
		text("/proc/loadavg", "0.57 0.59 1.36 1/521 2048\n"),
		text("/proc/uptime", "%.2f 0.00\n", time.Since(h.options.Booted).Seconds()),
		text("/proc/mounts", "/dev/loop0 / squashfs ro,relatime 0 0\n"),
		text("/proc/modules", ""),
		text("/proc/sys/kernel/random/boot_id", "%s\n", h.options.BootID),
		text("/proc/sys/kernel/hostname", "%s\n", ask(h.options.Hostname)),
		text("/proc/sys/kernel/osrelease", "%s\n", h.options.Kernel),
	}
	cpus := ""
	for i := range h.options.Machine.Cores {
		cpus += fmt.Sprintf("processor\t: %d\nmodel name\t: %s\n\n", i, h.options.Machine.CPU)
	}
	return append(files, text("/proc/cpuinfo", "%s", cpus))
}

func (h *Host) sys() []File {
	m := h.options.Machine
	files := []File{
		{Path: "/sys/class/dmi/id/product_uuid", Mode: 0o400, Contents: []byte(m.UUID + "\n")},
		text("/sys/class/dmi/id/product_name", "%s\n", m.Product),
		text("/sys/class/dmi/id/sys_vendor", "%s\n", m.Manufacturer),
		{Path: "/sys/class/dmi/id/product_serial", Mode: 0o400, Contents: []byte(m.Serial + "\n")},
		{Path: "/sys/fs/cgroup", Dir: true},
	}
	for _, d := range m.Disks {
		files = append(files,
			text("/sys/block/"+d.Name+"/size", "%d\n", d.SizeBytes/512),
			text("/sys/block/"+d.Name+"/device/model", "%s\n", d.Model),
			text("/sys/block/"+d.Name+"/queue/rotational", "%d\n", map[bool]int{true: 1}[d.Rotational]))
	}
	for i, l := range ask(h.options.Links) {
		if i == 0 {
			files = append(files, text("/sys/class/net/"+l+"/address", "%s\n", m.MAC))
		}
		files = append(files, text("/sys/class/net/"+l+"/operstate", "up\n"))
	}
	if m.UEFI {
		files = append(files, File{Path: "/sys/firmware/efi/efivars", Dir: true})
	}
	return files
}

func (h *Host) usr() []File {
	files := []File{
		{Path: "/bin", Link: "usr/bin"},
		{Path: "/sbin", Link: "usr/bin"},
		{Path: "/usr/sbin", Link: "bin"},
		{Path: "/usr/share/zoneinfo/Etc/UTC", Size: 114},
		text("/usr/lib/modules/"+h.options.Kernel+"/modules.order", ""),
	}
	for name, size := range map[string]int64{"init": 97 << 20, "containerd": 42857 * block, "containerd-shim-runc-v2": 8 << 20, "runc": 12 << 20} {
		files = append(files, File{Path: "/usr/bin/" + name, Mode: 0o755, Size: size})
	}
	return files
}

// varLog: Talos writes the services' logs to EPHEMERAL too.
func (h *Host) varLog() []File {
	if ask(h.options.Maintenance) {
		return nil
	}
	files := []File{{Path: "/var/log/audit", Dir: true}, {Path: "/var/log/containers", Dir: true}, {Path: "/var/log/pods", Dir: true}}
	for _, id := range h.options.Logs.ids() {
		files = append(files, File{Path: "/var/log/" + id + ".log", Mode: 0o600, Contents: h.options.Logs.find(id).contents()})
	}
	for _, p := range ask(h.options.Pods) {
		files = append(files, File{Path: path.Join("/var/log/pods", p.Namespace+"_"+p.Name+"_"+p.UID), Dir: true})
	}
	return files
}

// kubernetes are the kubelet's files, once it runs. What is secret in them is left out.
func (h *Host) kubernetes() []File {
	if !slices.ContainsFunc(ask(h.options.Services), func(p Process) bool { return p.Service == "kubelet" }) {
		return nil
	}
	return []File{
		{Path: "/etc/kubernetes/bootstrap-kubeconfig", Mode: 0o600, Contents: []byte("apiVersion: v1\nkind: Config\n")},
		{Path: "/etc/kubernetes/kubeconfig-kubelet", Mode: 0o600, Contents: []byte("apiVersion: v1\nkind: Config\n")},
		{Path: "/etc/kubernetes/kubelet.yaml", Mode: 0o600, Contents: []byte("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n")},
		{Path: "/etc/kubernetes/pki/ca.crt", Mode: 0o400, Size: 595},
		{Path: "/var/lib/kubelet/pods", Dir: true},
	}
}

// partition is the name of a disk's partition: sda1, nvme0n1p1.
func partition(disk string, n int) string {
	if strings.HasPrefix(disk, "nvme") {
		disk += "p"
	}
	return disk + strconv.Itoa(n)
}

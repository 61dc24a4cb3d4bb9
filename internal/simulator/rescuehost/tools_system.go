package rescuehost

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

func systemTools() map[string]tool {
	all := map[string]tool{
		"hostname": toolHostname, "uname": toolUname, "id": toolID, "whoami": toolWhoami, "date": toolDate, "uptime": toolUptime, "nproc": toolNproc,
		"free": toolFree, "df": toolDf, "lscpu": toolLscpu, "dmidecode": toolDmidecode, "ip": toolIP, "ethtool": toolEthtool, "smartctl": toolSmartctl,
		"nvme": toolNvme, "kexec": toolKexec, "efibootmgr": toolEfibootmgr, "reboot": toolReboot, "poweroff": toolReboot, "halt": toolReboot, "shutdown": toolReboot,
		"systemctl": toolSystemctl, "installimage": toolInstallimage, "dmesg": toolDmesg, "lspci": toolLspci, "arch": toolUname, "modprobe": toolNoLVM,
		"clear": toolNoLVM, "stty": toolNoLVM, "tty": toolTTY, "sysctl": toolSysctl,
	}
	maps.Copy(all, processTools())
	return all
}

func toolHostname(c *call) int {
	if len(c.args) > 0 && slices.Contains([]string{"-I", "--all-ip-addresses"}, c.args[0]) {
		var all []string
		for _, a := range c.h.m.Addresses() {
			all = append(all, a.String())
		}
		c.printf("%s \n", strings.Join(all, " "))
		return 0
	}
	c.printf("%s\n", c.h.name)
	return 0
}

func (h *Host) machineArch() string {
	if h.m.Arch == "arm64" {
		return "aarch64"
	}
	return "x86_64"
}

func toolUname(c *call) int {
	if c.isNamed("arch") {
		c.args = []string{"-m"}
	}
	opts, _, err := getopt(c.args, "asnrvmpio", "all", "kernel-name", "nodename", "kernel-release", "machine")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	parts := map[string]string{
		"s": "Linux", "kernel-name": "Linux", "n": c.h.name, "nodename": c.h.name, "r": kernelVersion, "kernel-release": kernelVersion, "v": "#1 SMP",
		"m": c.h.machineArch(), "machine": c.h.machineArch(), "p": "unknown", "i": "unknown", "o": "GNU/Linux",
	}
	if len(opts) == 0 {
		opts = []option{{name: "s"}}
	}
	if opts[0].name == "a" || opts[0].name == "all" {
		opts = []option{{"s", ""}, {"n", ""}, {"r", ""}, {"v", ""}, {"m", ""}, {"o", ""}}
	}
	var out []string
	for _, o := range opts {
		out = append(out, parts[o.name])
	}
	c.printf("%s\n", strings.Join(out, " "))
	return 0
}

func toolID(c *call) int {
	if len(c.args) > 0 {
		name := strings.Contains(c.args[0], "n")
		c.printf("%s\n", map[bool]string{true: "root", false: "0"}[name])
		return 0
	}
	c.printf("uid=0(root) gid=0(root) groups=0(root)\n")
	return 0
}

func toolWhoami(c *call) int {
	c.printf("root\n")
	return 0
}

func toolTTY(c *call) int {
	c.printf("not a tty\n")
	return 1
}

// toolDate prints the time of the wall clock, by a format of strftime.
func toolDate(c *call) int {
	opts, rest, err := getopt(c.args, "ud:RI:s:r:", "utc", "date=", "iso-8601", "iso-8601=", "set=", "rfc-3339=")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	t, format := time.Now(), "%a %b %e %H:%M:%S %Z %Y"
	for _, o := range opts {
		switch o.name {
		case "u", "utc":
			t = t.UTC()
		case "d", "date":
			seconds, err := strconv.ParseInt(strings.TrimPrefix(o.value, "@"), 10, 64)
			at, httpErr := time.Parse(time.RFC1123, o.value)
			switch {
			case err == nil:
				t = time.Unix(seconds, 0)
			case httpErr == nil:
				t = at
			case o.value != "now":
				return c.fail(1, "invalid date ‘%s’", o.value)
			}
		case "I", "iso-8601", "rfc-3339":
			format = "%Y-%m-%d"
			if strings.HasPrefix(o.value, "s") {
				format = "%Y-%m-%dT%H:%M:%S%:z"
			}
		}
	}
	if len(rest) > 0 {
		format = strings.TrimPrefix(rest[0], "+")
	}
	c.printf("%s\n", strings.NewReplacer("%Y", t.Format("2006"), "%m", t.Format("01"), "%d", t.Format("02"), "%e", t.Format("_2"), "%H", t.Format("15"), "%M", t.Format("04"),
		"%S", t.Format("05"), "%s", strconv.FormatInt(t.Unix(), 10), "%N", fmt.Sprintf("%09d", t.Nanosecond()), "%3N", fmt.Sprintf("%03d", t.Nanosecond()/1e6), "%a", t.Format("Mon"),
		"%b", t.Format("Jan"), "%Z", t.Format("MST"), "%z", t.Format("-0700"), "%:z", t.Format("-07:00"), "%F", t.Format("2006-01-02"), "%T", t.Format("15:04:05"), "%%", "%", "%n", "\n").Replace(format))
	return 0
}

func toolUptime(c *call) int {
	if len(c.args) > 0 && c.args[0] == "-s" {
		c.printf("%s\n", c.h.booted.Format("2006-01-02 15:04:05"))
		return 0
	}
	c.printf(" %s up %d min,  1 user,  load average: 0.08, 0.03, 0.01\n", time.Now().Format("15:04:05"), int(c.h.uptime().Minutes()))
	return 0
}

func toolNproc(c *call) int {
	c.printf("%d\n", c.h.m.Cores)
	return 0
}

func toolFree(c *call) int {
	unit := int64(1024)
	if len(c.args) > 0 {
		unit = map[string]int64{"-b": 1, "-k": 1024, "-m": 1 << 20, "-g": 1 << 30, "-h": 1 << 30}[c.args[0]]
	}
	if unit == 0 {
		return c.fail(1, "invalid option %s", c.args[0])
	}
	total := c.h.memory() / unit
	c.printf("               total        used        free      shared  buff/cache   available\nMem:     %11d %11d %11d %11d %11d %11d\nSwap:              0           0           0\n",
		total, total/20, total*9/10, 0, total/20, total*9/10)
	return 0
}

func toolDf(c *call) int {
	opts, rest, err := getopt(c.args, "hkmPTaB:t:l", "output=", "block-size=", "human-readable")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	unit, column := int64(1024), ""
	for _, o := range opts {
		switch o.name {
		case "m":
			unit = 1 << 20
		case "B", "block-size":
			if unit, err = number(strings.Replace("1"+strings.TrimPrefix(o.value, "1"), "1M", "1M", 1)); err != nil || unit == 0 {
				unit = 1
			}
		case "output":
			column = o.value
		}
	}
	c.h.tree.mu.RLock()
	size, used := c.h.tree.limit/unit, c.h.tree.used/unit
	c.h.tree.mu.RUnlock()
	if column != "" {
		c.printf("%s\n%d\n", map[string]string{"avail": "Avail", "size": "1K-blocks", "used": "Used"}[column], map[string]int64{"avail": size - used, "size": size, "used": used}[column])
		return 0
	}
	c.printf("Filesystem     1K-blocks    Used Available Use%% Mounted on\n")
	for _, m := range c.h.mountLines() {
		if m.target == "/" || len(rest) > 0 && rest[0] == m.target {
			c.printf("%-14s %9d %7d %9d %3d%% %s\n", m.source, size, used, size-used, used*100/max(1, size), m.target)
		}
	}
	return 0
}

func toolLscpu(c *call) int {
	rows := [][2]string{
		{"Architecture", c.h.machineArch()},
		{"CPU(s)", strconv.Itoa(c.h.m.Cores)},
		{"Vendor ID", c.h.cpuVendor()},
		{"Model name", c.h.m.CPU},
		{"Thread(s) per core", "2"},
		{"Core(s) per socket", strconv.Itoa(max(1, c.h.m.Cores/2))},
		{"Socket(s)", "1"},
	}
	if len(c.args) > 0 && (c.args[0] == "-J" || c.args[0] == "--json") {
		c.printf("{\n   \"lscpu\": [\n")
		for i, r := range rows {
			c.printf("      {\n         \"field\": \"%s:\",\n         \"data\": %q\n      }%s\n", r[0], r[1], map[bool]string{true: ",", false: ""}[i < len(rows)-1])
		}
		c.printf("   ]\n}\n")
		return 0
	}
	for _, r := range rows {
		c.printf("%-24s%s\n", r[0]+":", r[1])
	}
	return 0
}

func toolDmidecode(c *call) int {
	opts, _, err := getopt(c.args, "s:t:qu", "string=", "type=", "quiet")
	if err != nil {
		return c.fail(2, "%v", err)
	}
	h, kind := c.h, ""
	for _, o := range opts {
		switch o.name {
		case "s", "string":
			value, ok := map[string]string{
				"system-uuid": h.m.UUID, "system-manufacturer": h.m.Manufacturer, "system-product-name": h.product(), "system-serial-number": h.m.Serial,
				"system-family": h.family(), "baseboard-manufacturer": h.m.Manufacturer, "baseboard-product-name": h.product(), "bios-vendor": h.biosVendor(), "bios-version": "20171111",
				"processor-version": h.m.CPU, "system-version": "Not Specified",
			}[o.value]
			if !ok {
				return c.fail(2, "Invalid string keyword: %s", o.value)
			}
			c.printf("%s\n", value)
			return 0
		case "t", "type":
			kind = o.value
		}
	}
	c.printf("# dmidecode 3.4\nGetting SMBIOS data from sysfs.\nSMBIOS 2.8 present.\n\n")
	if kind == "" || kind == "0" || kind == "bios" {
		c.printf("Handle 0x0000, DMI type 0, 24 bytes\nBIOS Information\n\tVendor: %s\n\tVersion: 20171111\n\n", h.biosVendor())
	}
	if kind == "" || kind == "1" || kind == "system" {
		c.printf("Handle 0x0100, DMI type 1, 27 bytes\nSystem Information\n\tManufacturer: %s\n\tProduct Name: %s\n\tVersion: Not Specified\n\tSerial Number: %s\n\tUUID: %s\n\tWake-up Type: Power Switch\n\tSKU Number: Not Specified\n\tFamily: %s\n\n",
			h.m.Manufacturer, h.product(), h.m.Serial, h.m.UUID, h.family())
	}
	if kind == "" || kind == "2" || kind == "baseboard" {
		c.printf("Handle 0x0200, DMI type 2, 15 bytes\nBase Board Information\n\tManufacturer: %s\n\tProduct Name: %s\n\n", h.m.Manufacturer, h.product())
	}
	if kind == "17" || kind == "memory" {
		c.printf("Handle 0x1100, DMI type 17, 40 bytes\nMemory Device\n\tSize: %d GB\n\tForm Factor: DIMM\n\n", h.m.MemoryBytes>>30)
	}
	return 0
}

func toolEthtool(c *call) int {
	if len(c.args) == 0 {
		return c.fail(1, "bad command line argument(s)")
	}
	if c.args[0] == "-i" {
		c.printf("driver: %s\nversion: %s\nbus-info: 0000:01:00.0\n", map[world.Kind]string{world.Dedicated: "igb", world.Cloud: "virtio_net"}[c.h.m.Kind], kernelVersion)
		return 0
	}
	if name := c.args[len(c.args)-1]; name != "eth0" && name != "*" {
		fmt.Fprintf(c.err, "netlink error: no device matches name (offset 24)\nnetlink error: No such device\n")
		return 75
	}
	c.printf("Settings for eth0:\n\tSpeed: 1000Mb/s\n\tDuplex: Full\n\tLink detected: yes\n")
	return 0
}

func toolSmartctl(c *call) int {
	if len(c.args) == 0 {
		return c.fail(1, "missing device")
	}
	b, err := c.h.device(c.dir, c.args[len(c.args)-1])
	d, ok := b.(*disk)
	if err != nil || !ok {
		c.printf("Smartctl open device: %s failed: No such device\n", c.args[len(c.args)-1])
		return 2
	}
	if slices.Contains(c.args, "-j") || slices.Contains(c.args, "--json") {
		c.printf("{\n  \"device\": {\"name\": \"/dev/%s\"},\n  \"model_name\": %q,\n  \"serial_number\": %q,\n  \"user_capacity\": {\"bytes\": %d},\n  \"smart_status\": {\"passed\": %v}\n}\n",
			d.name, d.Model, d.Serial, d.SizeBytes, !c.h.m.Faulty().DiskFails)
		return 0
	}
	verdict := "PASSED"
	if c.h.m.Faulty().DiskFails {
		verdict = "FAILED!"
	}
	c.printf("smartctl 7.3 2022-02-28 r5338 [x86_64-linux-%s] (local build)\n\nModel Number:                       %s\nSerial Number:                      %s\n\nSMART overall-health self-assessment test result: %s\n", kernelVersion, d.Model, d.Serial, verdict)
	return 0
}

func toolNvme(c *call) int {
	if len(c.args) == 0 || c.args[0] != "list" {
		return c.fail(1, "unsupported command")
	}
	c.printf("%-21s %-20s %-40s %s\n", "Node", "SN", "Model", "Usage")
	for _, d := range c.h.disks {
		if d.Transport == "nvme" {
			c.printf("/dev/%-16s %-20s %-40s %d B\n", d.name, d.Serial, d.Model, d.SizeBytes)
		}
	}
	return 0
}

// toolReboot ends the system: the connection breaks without an exit status (HETZNER.md F).
func toolReboot(c *call) int {
	how := world.Reboot
	name := path.Base(c.name)
	if name == "poweroff" || name == "halt" || name == "shutdown" && !slices.Contains(c.args, "-r") {
		how = world.PowerOff
	}
	if name == "shutdown" && slices.Contains(c.args, "-c") {
		return 0
	}
	if name == "reboot" && c.h.isLoaded() && c.getenv("SYSTEMCTL_SKIP_AUTO_KEXEC") != "1" { // of systemd, in newer versions
		return c.kexecExec()
	}
	return c.end(how)
}

func (c *call) end(how world.Halt) int {
	c.h.halt(how)
	<-c.h.ctx.Done()
	return 143
}

func toolSystemctl(c *call) int {
	for _, a := range c.args {
		switch a {
		case "kexec":
			return c.kexecExec()
		case "reboot":
			return c.end(world.Reboot)
		case "poweroff", "halt":
			return c.end(world.PowerOff)
		case "is-system-running":
			c.printf("running\n")
			return 0
		case "is-active":
			c.printf("active\n")
			return 0
		}
	}
	return 0
}

func toolInstallimage(c *call) int {
	return c.fail(1, "the simulated rescue system installs no images")
}

func toolDmesg(c *call) int {
	c.printf("[    0.000000] Linux version %s\n[    0.000000] DMI: %s %s\n", kernelVersion, c.h.m.Manufacturer, c.h.product())
	for i, d := range c.h.disks {
		c.printf("[    %d.500000] %s: %d 512-byte logical blocks\n", i+1, d.name, d.SizeBytes/world.Sector)
	}
	return 0
}

func toolLspci(c *call) int {
	c.printf("00:00.0 Host bridge\n01:00.0 Ethernet controller: Intel Corporation I210 Gigabit Network Connection\n")
	return 0
}

func toolSysctl(c *call) int {
	for _, a := range c.args {
		if a == "-n" || a == "-w" {
			continue
		}
		name, _, set := strings.Cut(a, "=")
		data, err := c.h.tree.readFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		if err != nil && !set {
			return c.fail(1, "cannot stat /proc/sys/%s: No such file or directory", strings.ReplaceAll(name, ".", "/"))
		}
		c.printf("%s", data)
	}
	return 0
}

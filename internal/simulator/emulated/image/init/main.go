// Package main is the init of a test image: what of Talos happens between the kernel and the machine config, by Talos' rules,
// told on the serial line (package console). It reads the kernel command line and META, sets up the network, fills the variables
// of talos.config and fetches the config, once; without talos.config it hands over to the maintenance API. Then it stays.
// It refuses to do anything with the config.
package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/talos-manager/talos-manager/internal/simulator/emulated/image/console"
)

func main() {
	m := &machine{serial: os.Stdout}
	if err := m.boot(); err != nil {
		m.say(console.Event{Name: console.Failed, Text: err.Error()})
	}
	for { // a kernel whose init ends panics
		var status unix.WaitStatus
		if _, err := unix.Wait4(-1, &status, 0, nil); err != nil {
			time.Sleep(time.Hour)
		}
	}
}

// machine is what the init learns of the machine it runs on.
type machine struct {
	serial  *os.File
	cmdline string
	uuid    string // of SMBIOS, or META's
	number  string // SMBIOS' serial number
	nic     net.Interface
	meta    map[uint32]string
}

func (m *machine) say(e console.Event) {
	_, _ = m.serial.WriteString(e.String()) // there is nobody to tell
}

// boot does what an init does, in order.
func (m *machine) boot() error {
	if err := mountAll(); err != nil {
		return err
	}
	serial, err := os.OpenFile("/dev/ttyS0", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	m.serial = serial
	if err := os.WriteFile("/proc/sys/kernel/printk", []byte("3 4 1 3"), 0); err != nil { // the kernel's words would tear ours
		return err
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	m.cmdline = strings.TrimSpace(string(line))
	m.say(console.Event{Name: console.Started, Text: m.cmdline})
	if err := loadModules(); err != nil {
		return err
	}
	if err := m.identify(); err != nil {
		return err
	}
	if err := m.readMeta(); err != nil {
		return err
	}
	if err := m.configureNetwork(); err != nil {
		return err
	}
	source := arguments(m.cmdline, "talos.config")
	if len(source) == 0 || source[0] == "none" {
		return m.maintain()
	}
	return m.fetch(source[0])
}

func mountAll() error {
	for _, fs := range [][2]string{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}} {
		if err := unix.Mount(fs[0], fs[1], fs[0], 0, ""); err != nil && err != unix.EBUSY {
			return fmt.Errorf("mount %s: %w", fs[1], err)
		}
	}
	return nil
}

// loadModules loads what the image's builder put there, in the order of the names.
func loadModules() error {
	files, err := filepath.Glob("/modules/*.ko")
	if err != nil {
		return err
	}
	slices.Sort(files)
	for _, path := range files {
		code, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, "-nvme.ko") {
			err = loadNVMe(code)
		} else {
			err = unix.InitModule(code, "")
		}
		if err != nil {
			return fmt.Errorf("load %s: %w", path, err)
		}
	}
	return nil
}

// loadNVMe has Linux believe the identifiers of QEMU's NVMe disks, which it ignores because they all used to be the same: the
// quirk goes with the entry of the driver's own table, and an entry added while the driver has no device yet comes before it.
func loadNVMe(code []byte) error {
	const probe, known = "/sys/bus/pci/drivers_autoprobe", "/sys/bus/pci/drivers/nvme/new_id"
	if err := os.WriteFile(probe, []byte("0"), 0); err != nil {
		return err
	}
	if err := unix.InitModule(code, ""); err != nil {
		return err
	}
	if err := os.WriteFile(known, []byte("1b36 0010 ffffffff ffffffff 0 0 0"), 0); err != nil {
		return err
	}
	return os.WriteFile(probe, []byte("1"), 0)
}

// arguments are the values of a kernel argument. Of one that can be given once the first counts, as for Talos (go-procfs First).
func arguments(cmdline, name string) []string {
	var all []string
	for field := range strings.FieldsSeq(cmdline) {
		if value, ok := strings.CutPrefix(field, name+"="); ok {
			all = append(all, value)
		}
	}
	return all
}

// identify asks SMBIOS and the network card who the machine is.
func (m *machine) identify() error {
	m.uuid, m.number = strings.ToLower(dmi("product_uuid")), dmi("product_serial")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) { // devices come when they come
		all, err := net.Interfaces()
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(all, func(i net.Interface) bool { return len(i.HardwareAddr) == 6 && i.Flags&net.FlagLoopback == 0 }); i >= 0 {
			m.nic = all[i]
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("there is no network card")
		}
	}
	m.say(console.Event{Name: console.Identity, UUID: m.uuid, Serial: m.number, MAC: m.nic.HardwareAddr.String()})
	return nil
}

func dmi(file string) string {
	b, err := os.ReadFile("/sys/class/dmi/id/" + file)
	if err != nil {
		return "" // a machine without SMBIOS has no such directory
	}
	return strings.TrimSpace(string(b))
}

// maintain makes the maintenance API the init. Files do not stay open across that.
func (m *machine) maintain() error {
	return unix.Exec("/maintenance", []string{"/maintenance"}, []string{"UUID=" + m.uuid, "SERIAL=" + m.number})
}

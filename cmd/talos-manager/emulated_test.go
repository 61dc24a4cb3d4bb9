package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"

	talos "github.com/siderolabs/talos/pkg/machinery/client"
	"google.golang.org/grpc"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/simulator/emulated"
	"github.com/talos-manager/talos-manager/internal/simulator/emulated/image"
	"github.com/talos-manager/talos-manager/internal/simulator/emulated/image/console"
)

// dummy is a UUID that many boards of one maker have.
const dummy = "03000200-0400-0500-0006-000700080009"

// The whole way of a server: its rescue system is asked what it is, an image is written to the right one of its disks, the
// firmware starts its boot loader, the kernel is told where the config is, META holds the one-time code, and the config comes,
// once. Or the kernel is started from the rescue system; or the config is pushed.
func TestAnEmulatedServerIsInstalledAndGetsItsConfigOnce(t *testing.T) {
	emulated.Need(t)
	image.Need(t)
	parts, err := image.PartsIn(emulated.Cache())
	if err != nil {
		t.Fatal(err)
	}
	parts.Initramfs = filepath.Join(t.TempDir(), "initramfs")
	if err := image.WriteInitramfs(t.Context(), parts.Initramfs, parts.Modules); err != nil {
		t.Fatal(err)
	}
	nvme, eui := emulated.Disk{Bus: emulated.NVMe, WWN: "0025388801b4dff2"}, "eui.0025388801b4dff2"
	sata, naa := emulated.Disk{Bus: emulated.SATA, WWN: "500a07511610dce0"}, "naa.500a07511610dce0"
	for _, c := range []struct {
		why string
		emulatedCase
	}{
		{"an image of a schematic by BIOS, without DHCP", emulatedCase{
			firmware: emulated.BIOS, disks: []emulated.Disk{nvme}, wwid: eui,
			options: client.InstallOptions{StaticNetwork: true},
		}},
		{"an image of a schematic by UEFI, though another disk has a boot loader", emulatedCase{
			firmware: emulated.UEFI, disks: []emulated.Disk{{Bus: emulated.NVMe, Serial: "STALE", Size: 1 << 30}, sata}, wwid: naa,
			furnish: map[int]emulated.Layout{0: emulated.ESP}, answer: "STALE",
		}},
		{"a plain image by BIOS, in place of another Talos, with a UUID of our own", emulatedCase{
			firmware: emulated.BIOS, disks: []emulated.Disk{sata}, wwid: naa, plain: true, uuid: dummy, furnish: map[int]emulated.Layout{0: emulated.Talos},
			options: client.InstallOptions{OverrideUUID: true, Wipe: true},
		}},
		{"a plain image by UEFI, from the manager", emulatedCase{
			firmware: emulated.UEFI, disks: []emulated.Disk{nvme}, wwid: eui, plain: true,
			options: client.InstallOptions{ViaManager: true},
		}},
		{"kernel and initramfs by kexec", emulatedCase{
			firmware: emulated.UEFI, disks: []emulated.Disk{nvme}, wwid: eui, memoryMB: 2304,
			options: client.InstallOptions{Boot: "kexec"},
		}},
		{"a config that is pushed", emulatedCase{
			firmware: emulated.BIOS, disks: []emulated.Disk{nvme}, wwid: eui,
			options: client.InstallOptions{Delivery: "push"},
		}},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			installEmulated(t, parts, c.emulatedCase)
		})
	}
}

func installEmulated(t *testing.T, parts image.Parts, c emulatedCase) {
	other := filepath.Join(t.TempDir(), "other")
	content := bytes.Repeat([]byte("this disk is somebody's "), 64<<10)
	if err := os.WriteFile(other, content, 0o600); err != nil {
		t.Fatal(err)
	}
	c.disks = append(c.disks, emulated.Disk{Bus: emulated.Virtio, Serial: "OTHER", File: other})
	l := newEmulatedLab(t, parts, c)
	l.assign(c)
	op, err := l.client.InstallServer(t.Context(), "node-1", c.options)
	l.must(err)
	if c.answer != "" {
		l.asked(op.ID)
		_, err = l.client.ApproveOperation(t.Context(), op.ID, c.answer)
		l.must(err)
	}
	op = l.past(op.ID, "hand over the config", 10*time.Minute)
	l.recognised(c)
	if c.options.Delivery == "push" {
		l.pushed()
	} else {
		l.pulled(c)
	}
	if now, err := os.ReadFile(other); err != nil || !bytes.Equal(now, content) {
		t.Errorf("the other disk was written to: %v", err)
	}
	want := 2 // kexec is no boot
	if c.options.Boot == "kexec" {
		want = 1
	}
	if boots := l.machine.Boots(); len(boots) != want || !boots[0].Rescue || want == 2 && boots[1].Rescue {
		t.Errorf("it booted %+v", boots)
	}
	if t.Failed() {
		l.story(op)
	}
	_, err = l.client.CancelOperation(t.Context(), op.ID) // this Talos is none that could become a node
	l.must(err)
}

// recognised checks what is known of the machine against what it came up as.
func (l *emulatedLab) recognised(c emulatedCase) {
	l.Helper()
	s, err := l.client.Server(l.Context(), "node-1")
	l.must(err)
	id := l.says(console.Identity)
	if s.Facts == nil || s.Facts.UUID != id.UUID || s.Facts.Serial != id.Serial || s.Facts.Firmware != string(c.firmware) {
		l.Errorf("the facts are %+v, the machine says %+v", s.Facts, id)
	}
	if from := l.says(console.Network).Values["from"]; (from == "META") != c.options.StaticNetwork {
		l.Errorf("its network is of %s", from)
	}
	cmdline := l.says(console.Started).Text
	want := "talos.config=http://" + loopbackOfGuest + ":" + l.port + "/config?uuid=${uuid}&code=${code}"
	if c.options.Boot == "kexec" {
		want = strings.TrimSuffix(want, "${code}") // it is the code itself: there is no META yet
	}
	times := 1
	if c.options.Delivery == "push" {
		times = 0
	}
	if strings.Count(cmdline, want) != times || strings.Count(cmdline, "talos.config=") != times || strings.Count(cmdline, "talos.platform=metal") != 1 {
		l.Errorf("the kernel command line is %s", cmdline)
	}
}

// pulled checks the config that the machine fetched, and that it is gone.
func (l *emulatedLab) pulled(c emulatedCase) {
	l.Helper()
	got := l.says(console.Config)
	u, err := url.Parse(got.URL)
	l.must(err)
	var meta console.Event
	code := ""
	if c.options.Boot == "kexec" {
		_, code, _ = strings.Cut(l.says(console.Started).Text, "&code=")
		code, _, _ = strings.Cut(code, " ")
	} else {
		meta = l.says(console.Meta)
		code = meta.Values["0xb"]
	}
	if code == "" || u.Query().Get("code") != code {
		l.Errorf("it asked for %s, META is %+v", got.URL, meta)
	}
	uuid := l.says(console.Identity).UUID
	if c.options.OverrideUUID {
		uuid = meta.Values["0xf"]
	}
	if u.Query().Get("uuid") != uuid || uuid == dummy {
		l.Errorf("it asked for %s, its UUID is %s", got.URL, uuid)
	}
	l.isConfig(got)
	if status := l.status(got.URL); status != http.StatusForbidden {
		l.Errorf("the config is handed out once more, with status %d", status)
	}
}

// pushed checks the config that was pushed to the machine, which answers those who know its cluster from then on.
func (l *emulatedLab) pushed() {
	l.Helper()
	l.isConfig(l.says(console.Applied))
	text, err := l.client.Talosconfig(l.Context(), "prod")
	l.must(err)
	config, err := clientconfig.FromBytes(text)
	l.must(err)
	const own = "10.0.2.15" // the address that it knows of
	node, err := talos.New(l.Context(), talos.WithConfig(config), talos.WithEndpoints(own), talos.WithGRPCDialOptions(grpc.WithContextDialer(
		func(ctx context.Context, addr string) (net.Conn, error) { return l.machine.Dial(ctx, "tcp", addr) })))
	l.must(err)
	defer node.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		if _, err = node.Version(l.Context()); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		l.Errorf("it does not answer those who know its cluster: %v", err)
	}
}

// isConfig checks that what the machine got is the server's machine config.
func (l *emulatedLab) isConfig(got console.Event) {
	l.Helper()
	made, err := l.client.MachineConfig(l.Context(), "node-1", true)
	l.must(err)
	if sum := sha256.Sum256([]byte(made.YAML)); got.SHA256 != hex.EncodeToString(sum[:]) {
		l.Errorf("it got %+v, its config begins with %.200s", got, made.YAML)
	}
}

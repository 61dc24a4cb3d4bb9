package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/simulator/emulated"
	"github.com/talos-manager/talos-manager/internal/simulator/emulated/image"
	"github.com/talos-manager/talos-manager/internal/simulator/emulated/image/console"
)

// The whole way of a server: its rescue system is asked what it is, an image is written to the right one of its disks, the
// firmware starts its boot loader, the kernel is told where the config is, META holds the one-time code, and the config comes,
// once.
func TestAMachineIsInstalledAndFetchesItsConfigOnce(t *testing.T) {
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
	nvme := emulated.Disk{Bus: emulated.NVMe, WWN: "0025388801b4dff2"}
	sata := emulated.Disk{Bus: emulated.SATA, WWN: "500a07511610dce0"}
	for _, c := range []struct {
		why string
		emulatedCase
	}{
		{"an image of a schematic, by BIOS, on NVMe", emulatedCase{firmware: emulated.BIOS, disks: []emulated.Disk{nvme}, wwid: "eui.0025388801b4dff2"}},
		{"an image of a schematic, by UEFI, on SATA", emulatedCase{firmware: emulated.UEFI, disks: []emulated.Disk{sata}, wwid: "naa.500a07511610dce0"}},
		{"a plain image, by BIOS, on SATA", emulatedCase{firmware: emulated.BIOS, disks: []emulated.Disk{sata}, wwid: "naa.500a07511610dce0", plain: true}},
		{"a plain image, by UEFI, on NVMe", emulatedCase{firmware: emulated.UEFI, disks: []emulated.Disk{nvme}, wwid: "eui.0025388801b4dff2", plain: true}},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			installEmulated(t, parts, c.emulatedCase)
		})
	}
}

func installEmulated(t *testing.T, parts image.Parts, c emulatedCase) {
	other := filepath.Join(t.TempDir(), "other")
	content := bytes.Repeat([]byte("this disk is somebody's "), 100_000)
	if err := os.WriteFile(other, content, 0o600); err != nil {
		t.Fatal(err)
	}
	c.disks = append(c.disks, emulated.Disk{Bus: emulated.Virtio, Serial: "OTHER", File: other})
	l := newEmulatedLab(t, parts, c)
	l.assign(c)
	op, err := l.client.InstallServer(t.Context(), "node-1", client.InstallOptions{})
	l.must(err)
	op = l.past(op.ID, "hand over the config", 5*time.Minute)
	l.booted(c)
	l.served()
	if now, err := os.ReadFile(other); err != nil || !bytes.Equal(now, content) {
		t.Errorf("the other disk was written to: %v", err)
	}
	if boots := l.machine.Boots(); len(boots) != 2 || !boots[0].Rescue || boots[1].Rescue {
		t.Errorf("it booted %+v", boots)
	}
	_, err = l.client.CancelOperation(t.Context(), op.ID) // this Talos is none that could be a node
	l.must(err)
}

// booted checks what the machine came up as, against what was found out about it before.
func (l *emulatedLab) booted(c emulatedCase) {
	l.Helper()
	s, err := l.client.Server(l.Context(), "node-1")
	l.must(err)
	id := l.says(console.Identity)
	if s.Facts == nil || s.Facts.UUID != id.UUID || s.Facts.Serial != id.Serial || s.Facts.Firmware != string(c.firmware) {
		l.Errorf("the facts are %+v, the machine says %+v", s.Facts, id)
	}
	cmdline := l.says(console.Started).Text
	want := "talos.config=http://" + loopbackOfGuest + ":" + l.port + "/config?uuid=${uuid}&code=${code}"
	if n := strings.Count(cmdline, want); n != 1 || strings.Count(cmdline, "talos.config=") != 1 || strings.Count(cmdline, "talos.platform=metal") != 1 {
		l.Errorf("the kernel command line is %s", cmdline)
	}
	if meta := l.says(console.Meta); meta.Values["0xb"] == "" || meta.Text != "" {
		l.Errorf("META is %+v", meta)
	}
}

// served checks the config that the machine got, and that it is gone.
func (l *emulatedLab) served() {
	l.Helper()
	got := l.says(console.Config)
	u, err := url.Parse(got.URL)
	l.must(err)
	if code := l.says(console.Meta).Values["0xb"]; u.Query().Get("code") != code {
		l.Errorf("it asked for %s, META's code is %s", got.URL, code)
	}
	made, err := l.client.MachineConfig(l.Context(), "node-1", true)
	l.must(err)
	if sum := sha256.Sum256([]byte(made.YAML)); got.SHA256 != hex.EncodeToString(sum[:]) {
		l.Errorf("it got %+v, its config begins with %.200s", got, made.YAML)
	}
	if status := l.status(got.URL); status != http.StatusForbidden {
		l.Errorf("the config is handed out once more, with status %d", status)
	}
}

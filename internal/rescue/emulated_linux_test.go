package rescue_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/simulator/emulated"
)

// What Hetzner's installimage left on two disks holds both of them; one is to be installed on. A real kernel, real arrays
// and a real sshd: the disk lets go, the image is on it byte for byte, the other disks are as they were, and the machine
// boots from it.
func TestAnImageIsWrittenOverALiveMirrorOfARealMachine(t *testing.T) {
	m := emulated.New(t, emulated.Options{Disks: []emulated.Disk{
		{Bus: emulated.NVMe, Serial: "S675NX1T364492", WWN: "002538b321c5527c", Size: 11 << 30},
		{Bus: emulated.NVMe, Serial: "S675NX1T364493", WWN: "002538b321c5527d", Size: 11 << 30},
		{Bus: emulated.SATA, Serial: "ZC1KEEP", WWN: "5000c500a1b2c3d4", Size: 11 << 30},
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	key := signer(t)
	if err := m.BootRescue(ctx, key.PublicKey()); err != nil {
		t.Fatal(err)
	}
	furnish(t, m, emulated.RAID1, 0, 1)
	furnish(t, m, emulated.Ext4, 2)
	s := onlyWithItsHostKey(t, ctx, m, key)

	d, err := fleet.ChooseDisk("node-1", "eui.002538b321c5527c", emulatedFacts(t, s).Disks)
	if err != nil {
		t.Fatal(err)
	}
	if a := d.Contents; len(a) < 2 {
		t.Errorf("the disk with a mirror holds only %v", a)
	}
	if done, err := s.Release(ctx, d); err != nil || !strings.Contains(strings.Join(done, "; "), "array md1 stopped") {
		t.Fatalf("released: %v, %v", done, err)
	}
	if _, err := m.Run(ctx, "sync"); err != nil {
		t.Fatal(err)
	}
	before := [][32]byte{fileSum(t, m.DiskFile(1)), fileSum(t, m.DiskFile(2))}

	img := diskImage(t, t.TempDir(), 96<<20, 20<<20, loaderX64)
	w := rescue.Write{Token: "op-1", Disk: d, URL: fromTheGuest(t, newSource(t).add("a.raw.zst", packed(t, t.TempDir(), img, "zst")))}
	writeToEnd(t, ctx, s, w)
	if !bytes.Equal(head(t, m.DiskFile(0), len(img)), img) {
		t.Error("the disk does not hold the image")
	}
	if after := [][32]byte{fileSum(t, m.DiskFile(1)), fileSum(t, m.DiskFile(2))}; after[0] != before[0] || after[1] != before[1] {
		t.Error("another disk was written to")
	}
	if arrays, err := m.Run(ctx, "cat /proc/mdstat"); err != nil || strings.Contains(arrays, "active raid1") {
		t.Errorf("an array came back: %v, %s", err, arrays)
	}

	if err := s.Reboot(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Console().Await(ctx, "Booting from Hard Disk"); err != nil {
		t.Error(err)
	}
	if boots := m.Boots(); len(boots) != 2 || boots[1].Rescue {
		t.Errorf("it booted %+v", boots)
	}
}

// onlyWithItsHostKey opens a session, and sees that none is opened with another key pinned, or with a key that the rescue
// system was not armed with.
func onlyWithItsHostKey(t *testing.T, ctx context.Context, m *emulated.Machine, key ssh.Signer) *rescue.Session {
	t.Helper()
	o := rescue.Options{Server: "node-1", Address: address, Key: key, Dial: m.Dial, Pins: []string{ssh.FingerprintSHA256(signer(t).PublicKey())}}
	if _, err := rescue.Open(ctx, o); !errors.Is(err, rescue.ErrHostKey) || fleet.KindOf(err) != fleet.Refused {
		t.Errorf("a machine with another host key than the pinned one: %v", err)
	}
	o.Pins, o.Key = m.Fingerprints(), signer(t)
	if _, err := rescue.Open(ctx, o); fleet.KindOf(err) != fleet.Unauthorized {
		t.Errorf("a rescue system armed with somebody else's key: %v", err)
	}
	o.Key = key
	s, err := rescue.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// fromTheGuest is an address of this machine's loopback as the emulated machine calls it.
func fromTheGuest(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = net.JoinHostPort("10.0.2.2", u.Port())
	return u.String()
}

// writeToEnd writes an image with the patience that an emulated processor needs.
func writeToEnd(t *testing.T, ctx context.Context, s *rescue.Session, w rescue.Write) {
	t.Helper()
	if err := s.StartWrite(ctx, w); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := s.WriteStatus(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Err(w); err != nil {
			t.Fatalf("%v; its log: %s", err, st.Log)
		}
		if st.Exit == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it stands at %+v", st)
		}
	}
}

// fileSum is the checksum of a disk's content. Holes cost nothing but reading them.
func fileSum(t *testing.T, path string) (sum [32]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, 1<<30)); err != nil {
		t.Fatal(err)
	}
	return [32]byte(h.Sum(nil))
}

func head(t *testing.T, path string, n int) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := make([]byte, n)
	if _, err := io.ReadFull(f, out); err != nil {
		t.Fatal(err)
	}
	return out
}

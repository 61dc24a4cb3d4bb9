package rescue_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// rig is a machine in its rescue system, and an image factory it can reach.
type rig struct {
	w       *world.World
	m       *world.Machine
	factory *factory.Factory
	key     ssh.Signer
	host    ssh.Signer
}

const (
	address = "203.0.113.10"
	image   = "http://factory.sim/image/" + factory.Vanilla + "/v1.14.1/metal-amd64.raw.zst"
)

func newRig(t *testing.T, o rescuehost.Options, change func(*world.Spec)) *rig {
	t.Helper()
	r := &rig{w: world.New(world.Options{Speed: 1000}), key: signer(t), host: signer(t)}
	t.Cleanup(r.w.Close)
	spec := world.Spec{
		Number: 321, Name: "node-1", IPv4: netip.MustParseAddr(address), UUID: "4c4c4544-0042-3510-8050-b4c04f384833", BootTime: time.Second,
		Disks: []*world.Disk{
			{Name: "sda", Model: "SSD", Serial: "A", WWN: "0x500000000000000a", SizeBytes: 512 << 30, Transport: "sata"},
			{Name: "sdb", Model: "SSD", Serial: "B", WWN: "0x500000000000000b", SizeBytes: 512 << 30, Transport: "sata"},
			{Name: "sdc", Model: "SSD", Serial: "C", WWN: "0x500000000000000c", SizeBytes: 512 << 30, Transport: "sata"},
		},
	}
	if change != nil {
		change(&spec)
	}
	r.factory = factory.New(r.w, factory.Options{})
	l, err := r.w.Net.Listen("factory.sim:80")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: r.factory, ReadHeaderTimeout: time.Second}
	t.Cleanup(func() { server.Close() })
	go server.Serve(l) //nolint:errcheck // ends with Close
	r.w.BootRescue = func(m *world.Machine, a world.Rescue) world.System { return rescuehost.New(m, a, o) }
	r.m = r.w.AddMachine(spec)
	r.m.Arm(&world.Rescue{Password: "secret", Keys: []ssh.PublicKey{r.key.PublicKey()}, HostKeys: []ssh.Signer{r.host}, At: time.Now(), OS: "linux"})
	r.m.PowerOn()
	return r
}

func signer(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (r *rig) options() rescue.Options {
	return rescue.Options{Server: "node-1", Address: address, Key: r.key, Pins: []string{ssh.FingerprintSHA256(r.host.PublicKey())}, Dial: r.w.Net.DialContext}
}

// open logs in as soon as sshd is up.
func (r *rig) open(t *testing.T) *rescue.Session {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // to a machine that is off, nothing is refused
		up := rescue.Answers(ctx, r.options())
		cancel()
		if up {
			s, err := rescue.Open(t.Context(), r.options())
			if err == nil {
				t.Cleanup(func() { s.Close() })
				return s
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the rescue system does not answer")
		}
	}
}

// disk is one of the machine's, as the rescue system sees it.
func (r *rig) disk(t *testing.T, s *rescue.Session, serial string) fleet.Disk {
	t.Helper()
	facts, err := s.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, err := fleet.ChooseDisk("node-1", "serial:"+serial, facts.Disks)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// write writes an image and gives how that ended.
func (r *rig) write(t *testing.T, s *rescue.Session, w rescue.Write) error {
	t.Helper()
	if err := s.StartWrite(t.Context(), w); err != nil {
		return err
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		st, err := s.WriteStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if st.Token != w.Token {
			t.Fatalf("the write is of %q", st.Token)
		}
		if err := st.Err(w); err != nil || st.Exit == 0 {
			return err
		}
		if time.Now().After(deadline) {
			t.Fatalf("it stands at %+v", st)
		}
	}
}

func TestWritingOneDiskLeavesTheOthersAlone(t *testing.T) {
	r := newRig(t, rescuehost.Options{}, func(s *world.Spec) {
		s.Disks = append(s.Disks, &world.Disk{Name: "sdd", Model: "SSD", Serial: "D", SizeBytes: 512 << 30, Transport: "sata"})
		for i, d := range s.Disks { // md0 is on A and B, md1 on C and D
			if err := rescuehost.WriteRAIDMember(d, 0, 100<<30, fmt.Sprint("rescue:", i/2), 1, 2); err != nil {
				t.Fatal(err)
			}
		}
	})
	s := r.open(t)
	before := map[string]int64{}
	for _, d := range r.m.Disks {
		before[d.Serial] = d.Written()
	}
	if err := r.write(t, s, rescue.Write{Token: "op1", Disk: r.disk(t, s, "A"), URL: image}); err != nil {
		t.Fatal(err)
	}
	for _, d := range r.m.Disks {
		if changed := d.Written() != before[d.Serial]; changed != (d.Serial == "A") {
			t.Errorf("disk %s: written to: %v", d.Serial, changed)
		}
	}
	facts, err := s.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range facts.Disks {
		contents := strings.Join(d.Contents, ", ")
		switch d.Serial {
		case "A":
			if !strings.Contains(contents, "META") || strings.Contains(contents, "raid") {
				t.Errorf("disk A holds %s", contents)
			}
		case "B":
			if strings.Contains(contents, "md0") || !strings.Contains(contents, "linux_raid_member") {
				t.Errorf("disk B holds %s: its array should be stopped, not gone", contents)
			}
		default:
			if !strings.Contains(contents, "md1") {
				t.Errorf("disk %s holds %s: the array on other disks was stopped", d.Serial, contents)
			}
		}
	}
}

// A partition that Talos makes later at the place of an old one must not show the old one's file system.
func TestSignaturesInOldPartitionsAreGone(t *testing.T) {
	const linux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4" // type of partitions with Linux file systems
	var state int64
	r := newRig(t, rescuehost.Options{}, func(s *world.Spec) {
		d, g := s.Disks[0], world.GPT{}
		if _, err := g.Add(d.SizeBytes, "OLD", linux, "", 20<<30); err != nil {
			t.Fatal(err)
		}
		p, err := g.Add(d.SizeBytes, "STATE", linux, "", 100<<20)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Write(d, d.SizeBytes); err != nil {
			t.Fatal(err)
		}
		state = p.Start
		if _, err := s.Disks[0].WriteAt([]byte("XFSB"), state); err != nil {
			t.Fatal(err)
		}
	})
	s := r.open(t)
	if err := r.write(t, s, rescue.Write{Token: "op1", Disk: r.disk(t, s, "A"), URL: image}); err != nil {
		t.Fatal(err)
	}
	was := make([]byte, 4)
	if _, err := r.m.Disks[0].ReadAt(was, state); err != nil || string(was) == "XFSB" {
		t.Errorf("the old STATE is still there: %q, %v", was, err)
	}
}

func TestAWriteThatCannotSucceedSaysWhyAndWhetherSomethingIsLost(t *testing.T) {
	for _, tc := range []struct {
		why    string
		fault  func(*factory.Faults)
		change func(*rescue.Write)
		kind   fleet.Kind
		text   string
		intact bool
	}{
		{"no such image", func(f *factory.Faults) { f.ImageMissing = 9 }, nil, fleet.Unavailable, "404: nothing was written", true},
		{"no such image, with a checksum", func(f *factory.Faults) { f.ImageMissing = 9 }, func(w *rescue.Write) { w.SHA256 = strings.Repeat("0", 64) }, fleet.Unavailable, "404: nothing was written", true},
		{"another checksum", nil, func(w *rescue.Write) { w.SHA256 = strings.Repeat("0", 64) }, fleet.Refused, "nothing was written", true},
		{"an image for another architecture", nil, func(w *rescue.Write) { w.URL = strings.ReplaceAll(w.URL, "amd64", "arm64") }, fleet.Refused, "is for arm64, this machine is amd64: nothing was written", true},
		{"no such disk", nil, func(w *rescue.Write) { w.Disk.Name = "sdz" }, fleet.Refused, "there is no disk /dev/sdz", true},
		{"an image of an unknown form", nil, func(w *rescue.Write) { w.URL = "http://factory.sim/a.iso" }, fleet.Invalid, "unknown form", true},
		{"a byte is wrong", func(f *factory.Faults) { f.Corrupt = 9 }, nil, fleet.Refused, "cannot be unpacked", false},
	} {
		t.Run(tc.why, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rescuehost.Options{}, nil)
			s := r.open(t)
			w := rescue.Write{Token: "op1", Disk: r.disk(t, s, "A"), URL: image}
			if tc.change != nil {
				tc.change(&w)
			}
			if tc.fault != nil {
				r.factory.Fault(tc.fault)
			}
			err := r.write(t, s, w)
			if fleet.KindOf(err) != tc.kind || err == nil || !strings.Contains(err.Error(), tc.text) || fleet.HintOf(err) == "" {
				t.Errorf("got %s %v; hint: %s", fleet.KindOf(err), err, fleet.HintOf(err))
			}
			if intact := r.m.Disks[0].Written() == 0; intact != tc.intact {
				t.Errorf("the disk is as it was: %v", intact)
			}
		})
	}
}

func TestOneWriterAtATimeAndOneWritePerToken(t *testing.T) {
	r := newRig(t, rescuehost.Options{}, nil)
	r.factory.Fault(func(f *factory.Faults) { f.BytesPerSecond = 1 << 20 }) // some seconds of the world
	s := r.open(t)
	w := rescue.Write{Token: "op1", Disk: r.disk(t, s, "A"), URL: image}
	other := rescue.Write{Token: "op2", Disk: r.disk(t, s, "B"), URL: image}
	for _, try := range []struct {
		why  string
		w    rescue.Write
		kind fleet.Kind
	}{{"the first", w, ""}, {"the first once more", w, ""}, {"a second", other, fleet.Conflict}} {
		err := s.StartWrite(t.Context(), try.w)
		if (err != nil || try.kind != "") && fleet.KindOf(err) != try.kind {
			t.Errorf("%s: %v", try.why, err)
		}
		if st, err := s.WriteStatus(t.Context()); err != nil || st.Token != "op1" || st.Err(w) != nil {
			t.Errorf("%s: it stands at %+v, %v", try.why, st, err)
		}
	}
	if err := r.write(t, s, w); err != nil {
		t.Fatal(err)
	}
	written := r.m.Disks[0].Written()
	if err := s.StartWrite(t.Context(), w); err != nil || r.m.Disks[0].Written() != written {
		t.Errorf("a write that was done is begun again: %v", err)
	}
	if err := r.write(t, s, other); err != nil { // now it may
		t.Error(err)
	}
}

func TestDisksAreKnownByWhatTheyAreNotByTheirNames(t *testing.T) {
	r := newRig(t, rescuehost.Options{SwapNames: true}, func(s *world.Spec) { s.Disks = s.Disks[:2] })
	s := r.open(t)
	d := r.disk(t, s, "A")
	if d.Name != "sdb" || d.WWID != "naa.500000000000000a" {
		t.Fatalf("disk A is %+v", d)
	}
	if err := r.write(t, s, rescue.Write{Token: "op1", Disk: d, URL: image}); err != nil {
		t.Fatal(err)
	}
	if r.m.Disks[0].Written() == 0 || r.m.Disks[1].Written() != 0 {
		t.Error("the image went to the other disk")
	}
	if _, err := s.WriteMeta(t.Context(), r.disk(t, s, "B"), rescue.Meta{rescue.MetaDownloadURLCode: "x"}); err == nil {
		t.Error("META was written to a disk that holds no image")
	}
}

func TestOnlyTheExpectedMachineIsSpokenTo(t *testing.T) {
	r := newRig(t, rescuehost.Options{}, nil)
	r.open(t)
	for _, tc := range []struct {
		why    string
		change func(*rescue.Options)
		kind   fleet.Kind
		text   string
	}{
		{"another host key than the pinned ones", func(o *rescue.Options) { o.Pins = []string{"SHA256:other"} }, fleet.Refused, "host key"},
		{"it does not know our key", func(o *rescue.Options) { o.Key = signer(t) }, fleet.Unauthorized, "does not accept our key"},
		{"nobody is there", func(o *rescue.Options) { o.Port = 23 }, fleet.Unavailable, "node-1"},
	} {
		o := r.options()
		tc.change(&o)
		_, err := rescue.Open(t.Context(), o)
		if fleet.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %s %v", tc.why, fleet.KindOf(err), err)
		}
	}
}

func TestARebootIsOrderedOnlyOverAConnectionThatStands(t *testing.T) {
	r := newRig(t, rescuehost.Options{}, nil)
	booted := make(chan bool, 1)
	r.w.BootDisk = func(*world.Machine) world.System { booted <- true; return nil }
	s := r.open(t)
	broken := r.open(t)
	broken.Close()
	if err := broken.Reboot(t.Context()); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("over a broken connection: %v", err)
	}
	if err := s.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-booted:
	case <-time.After(10 * time.Second):
		t.Error("it did not boot its disk")
	}
}

func TestADownloadThatBreaksGoesOnWhereItBroke(t *testing.T) {
	r := newRig(t, rescuehost.Options{}, nil)
	s := r.open(t)
	r.factory.Fault(func(f *factory.Faults) { f.Truncated = 9 }) // every answer ends after half of the file's length
	w := rescue.Write{Token: "op1", Disk: r.disk(t, s, "A"), URL: image}
	if err := r.write(t, s, w); err != nil {
		t.Fatal(err)
	}
	st, err := s.WriteStatus(t.Context())
	if err != nil || !strings.Contains(st.Log, "the link broke at byte") || st.Restarts != 0 || st.Done != st.Total || st.SHA256 == "" {
		t.Errorf("it ended as %+v, %v", st, err)
	}
}

// A disk that keeps what it had although the kernel was told to forget it gets every zero written.
func TestZeroesAreWrittenWhereTheDiskDoesNotForget(t *testing.T) {
	old := []byte("old data")
	for _, tc := range []struct {
		why    string
		o      rescuehost.Options
		sparse bool
	}{{"a disk that forgets", rescuehost.Options{}, true}, {"a disk that does not", rescuehost.Options{TrimIsAdvisory: true}, false}} {
		r := newRig(t, tc.o, func(s *world.Spec) {
			for off := int64(0); off < 1<<30; off += 1 << 20 {
				if _, err := s.Disks[0].WriteAt(old, off+512); err != nil {
					t.Fatal(err)
				}
			}
		})
		s := r.open(t)
		if err := r.write(t, s, rescue.Write{Token: "op1", Disk: r.disk(t, s, "A"), URL: image}); err != nil {
			t.Fatal(err)
		}
		st, err := s.WriteStatus(t.Context())
		if err != nil || st.Sparse != tc.sparse {
			t.Errorf("%s: it ended as %+v, %v", tc.why, st, err)
		}
		got := make([]byte, len(old))
		for off := int64(0); off+1<<20 <= st.Size; off += 1 << 20 {
			if _, err := r.m.Disks[0].ReadAt(got, off+512); err != nil || string(got) == string(old) {
				t.Fatalf("%s: old data at %d, %v", tc.why, off, err)
			}
		}
	}
}

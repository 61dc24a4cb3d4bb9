package world

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

func TestDiskIsBytesThatTakeNoRoomWhereTheyAreZero(t *testing.T) {
	const size = 5*chunk + 1000
	d, want := &Disk{SizeBytes: size}, make([]byte, size)
	r := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		from := r.IntN(size)
		n := r.IntN(min(size-from, 2*chunk) + 1)
		p := make([]byte, n)
		switch r.IntN(3) {
		case 0: // zeroes
		case 1:
			for i := range p {
				p[i] = byte(r.IntN(256))
			}
		case 2:
			d.Discard(int64(from), int64(n))
			clear(want[from : from+n])
			continue
		}
		if done, err := d.WriteAt(p, int64(from)); done != n || err != nil {
			t.Fatalf("write %d at %d: %d, %v", n, from, done, err)
		}
		copy(want[from:], p)
	}
	got := make([]byte, size)
	if n, err := d.ReadAt(got, 0); n != size || err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %d, %v; same bytes %v", n, err, bytes.Equal(got, want))
	}
	d.Discard(0, size)
	if d.Used() != 0 || !d.Zero(0, size) {
		t.Errorf("%d bytes in use after all was discarded", d.Used())
	}
}

func TestDiskStaysSparse(t *testing.T) {
	d := &Disk{SizeBytes: 4000787030016}
	zeroes := make([]byte, 1<<20)
	for i := range int64(64) {
		if _, err := d.WriteAt(zeroes, i<<30); err != nil {
			t.Fatal(err)
		}
	}
	if d.Used() != 0 || d.Written() != 64<<20 {
		t.Errorf("zeroes take %d bytes; %d written", d.Used(), d.Written())
	}
	d.WriteAt([]byte{1}, 1<<40)
	if d.Used() != chunk {
		t.Errorf("one byte takes %d", d.Used())
	}
	d.WriteAt([]byte{0}, 1<<40)
	if d.Used() != 0 {
		t.Errorf("that byte zeroed takes %d", d.Used())
	}
}

func TestDiskEnds(t *testing.T) {
	d := &Disk{SizeBytes: 1000}
	if _, err := d.WriteAt(make([]byte, 2), 999); err == nil {
		t.Error("wrote past the end")
	}
	if n, err := d.ReadAt(make([]byte, 10), 995); n != 5 || err != io.EOF {
		t.Errorf("read over the end: %d, %v", n, err)
	}
	if n, err := d.ReadAt(make([]byte, 10), 1000); n != 0 || err != io.EOF {
		t.Errorf("read behind the end: %d, %v", n, err)
	}
}

func TestDiskFailsWithItsMachine(t *testing.T) {
	w := New(Options{})
	defer w.Close()
	d := &Disk{SizeBytes: 1 << 30}
	m := w.AddMachine(Spec{Number: 1, Disks: []*Disk{d}})
	if _, err := d.WriteAt([]byte{1}, 100<<20); err != nil {
		t.Error(err)
	}
	m.Fault(func(f *Faults) { f.DiskFails = true })
	if _, err := d.WriteAt([]byte{1}, 0); err != nil {
		t.Errorf("its start: %v", err)
	}
	if _, err := d.WriteAt([]byte{1}, 100<<20); !errors.Is(err, ErrIO) {
		t.Errorf("further on: %v", err)
	}
}

func TestDisksShareEqualContent(t *testing.T) {
	w := New(Options{})
	defer w.Close()
	var disks []*Disk
	for i := range 3 {
		d := &Disk{Name: "sda", SizeBytes: 1 << 30}
		w.AddMachine(Spec{Number: int64(i + 1), Disks: []*Disk{d}})
		disks = append(disks, d)
		if _, err := d.WriteAt(filler("same", 4*chunk), 0); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.shared.chunks) != 4 {
		t.Errorf("three equal disks take %d chunks", len(w.shared.chunks))
	}
	_, _ = disks[0].WriteAt([]byte("mine"), 10)
	disks[1].Discard(chunk+5, 7)
	want := filler("same", 4*chunk)
	for i, d := range disks {
		got := make([]byte, 4*chunk)
		_, _ = d.ReadAt(got, 0)
		expected := bytes.Clone(want)
		switch i {
		case 0:
			copy(expected[10:], "mine")
		case 1:
			clear(expected[chunk+5 : chunk+12])
		}
		if !bytes.Equal(got, expected) {
			t.Errorf("disk %d holds something else", i)
		}
	}
}

package rescue_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// diskImage is laid out as Talos' is as far as a writer can tell: a partition table with an EFI system partition that
// holds a boot loader, META, data here and there, mostly nothing.
func diskImage(t testing.TB, dir string, size, data int64, loader string) []byte {
	t.Helper()
	img := make([]byte, size)
	random := rand.NewChaCha8([32]byte{1})
	for left, at := data, int64(20<<20); left > 0 && at < size-2<<20; {
		n := min(left, []int64{4096, 777, 1 << 20, 3<<20 + 5, 512}[random.Uint64()%5])
		_, _ = random.Read(img[at:min(at+n, size-1<<20)])
		at += n + []int64{1, 4096, 100000, 1 << 20}[random.Uint64()%4]
		left -= n
	}
	_, _ = random.Read(img[size-700 : size-600]) // of the last sector, which a writer of blocks may forget
	path := dir + "/table"
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size/512*512); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sgdisk", "-n", "1:2048:+16M", "-t", "1:ef00", "-c", "1:EFI", "-n", "2:0:+1M", "-c", "2:META", path).CombinedOutput()
	if err != nil {
		t.Fatalf("sgdisk: %v, %s", err, out)
	}
	table, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(img[:1<<20], table[:1<<20])
	esp(img[1<<20:], loader)
	return img
}

// esp makes a FAT32 file system with EFI/BOOT/LOADER. Source: Microsoft's FAT specification 1.03.
func esp(p []byte, loader string) {
	le := binary.LittleEndian
	const reserved, fat, cluster = 32, 256, 1 // in sectors
	le.PutUint16(p[11:], 512)
	p[13], p[16] = cluster, 2
	le.PutUint16(p[14:], reserved)
	le.PutUint32(p[36:], fat)
	le.PutUint32(p[44:], 2) // the root directory's cluster
	le.PutUint16(p[510:], 0xaa55)
	at := func(number int) []byte { return p[(reserved+2*fat+(number-2)*cluster)*512:] }
	entry := func(p []byte, name string, number int) {
		copy(p, name)
		le.PutUint16(p[20:], uint16(number>>16))
		le.PutUint16(p[26:], uint16(number))
	}
	entry(at(2), "LOADER     ", 9)
	entry(at(2)[32:], "EFI        ", 3)
	entry(at(3), "LINUX      ", 8)
	entry(at(3)[32:], "BOOT       ", 4)
	entry(at(4), loader, 5)
}

// packed compresses with the real tools, as the factory does: from a file, so that its size is in the head.
func packed(t testing.TB, dir string, img []byte, name string) []byte {
	t.Helper()
	raw := dir + "/image.raw"
	if err := os.WriteFile(raw, img, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(raw)
	args := map[string][]string{
		"zst": {"zstd", "-q", "-3", "-c", raw}, "xz": {"xz", "-0", "-T2", "-c", raw}, "gz": {"gzip", "-1", "-c", raw}, "raw": {"cat", raw},
		"zst without a checksum": {"zstd", "-q", "-1", "--no-check", "-c", raw},
		"zst of unknown size":    {"bash", "-c", "zstd -q -1 -c <" + raw},
		"zst in two frames":      {"bash", "-c", "{ head -c 20000000 " + raw + " | zstd -q -1 -c --stream-size=20000000; tail -c +20000001 " + raw + " | zstd -q -1 -c; }"},
	}[name]
	out, err := exec.Command(args[0], args[1:]...).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

// source serves files, with ranges and ETags as the factory does, over links that tests spoil.
type source struct {
	URL string

	mu       sync.Mutex
	files    map[string][]byte
	version  int
	noRanges bool
	gone     bool
	asked    []string // ranges
}

func newSource(t testing.TB) *source {
	s := &source{files: map[string][]byte{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

func (s *source) add(name string, content []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = content
	s.version++
	return s.URL + "/" + name
}

func (s *source) change(f func(*source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// ServeHTTP gives a file, as a whole or in parts.
func (s *source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	content, version, noRanges, gone := s.files[strings.TrimPrefix(r.URL.Path, "/")], s.version, s.noRanges, s.gone
	s.asked = append(s.asked, r.Header.Get("Range"))
	s.mu.Unlock()
	switch {
	case content == nil:
		http.NotFound(w, r)
	case gone:
		http.Error(w, "gone for now", http.StatusServiceUnavailable)
	case noRanges:
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content)
	default:
		w.Header().Set("ETag", fmt.Sprintf(`"v%d"`, version))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

// link is a network between the machine and a source: so many bytes a second, cut or silent when told.
type link struct {
	URL    string
	target string

	mu    sync.Mutex
	rate  int64 // bytes a second; 0: as fast as it goes
	spent time.Time
	cut   func(passed int64) fate // of a connection, asked before each piece
	cuts  int
}

type fate int

const (
	flows fate = iota
	breaks
	stalls
)

func newLink(t testing.TB, to *source, rate int64, cut func(passed int64) fate) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{URL: "http://" + l.Addr().String(), target: strings.TrimPrefix(to.URL, "http://"), rate: rate, cut: cut}
	stop := make(chan struct{})
	var running sync.WaitGroup
	t.Cleanup(func() { close(stop); l.Close(); running.Wait() })
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { k.carry(c, stop) })
		}
	})
	return k
}

func (k *link) carry(down net.Conn, stop chan struct{}) {
	defer down.Close()
	up, err := net.Dial("tcp", k.target)
	if err != nil {
		return
	}
	defer up.Close()
	go func() { _, _ = io.Copy(up, down); up.Close() }()
	buf := make([]byte, 64<<10)
	for passed := int64(0); ; {
		n, err := up.Read(buf)
		if n > 0 {
			switch k.allow(passed, int64(n)) {
			case breaks:
				_, _ = down.Write(buf[:n/2]) // not at the border of a piece
				return
			case stalls:
				<-stop
				return
			}
			if _, err := down.Write(buf[:n]); err != nil {
				return
			}
			passed += int64(n)
		}
		if err != nil {
			return
		}
	}
}

// allow waits until the link can carry n bytes more, all its connections together.
func (k *link) allow(passed, n int64) fate {
	k.mu.Lock()
	if k.cut != nil {
		if f := k.cut(passed); f != flows {
			k.cuts++
			k.mu.Unlock()
			return f
		}
	}
	var wait time.Duration
	if k.rate > 0 {
		if late := time.Now().Add(-300 * time.Millisecond); k.spent.Before(late) {
			k.spent = late // what a busy machine could not take just now, the link still carries
		}
		k.spent = k.spent.Add(time.Duration(n * int64(time.Second) / k.rate))
		wait = time.Until(k.spent)
	}
	k.mu.Unlock()
	<-time.After(wait)
	return flows
}

func (k *link) broke() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cuts
}

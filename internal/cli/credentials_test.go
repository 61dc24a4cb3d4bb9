package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Whoever writes to /dev/null as root must still have one afterwards.
func TestAFileIsReplacedButNoDeviceOrLink(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := syscall.Mkfifo(at("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(at("pipe"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	for _, force := range []bool{false, true} {
		if err := keep(at("pipe"), []byte("text"), force); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 4)
		if _, err := pipe.Read(got); err != nil || string(got) != "text" {
			t.Errorf("force %v: %q, %v came through the pipe", force, got, err)
		}
	}
	if info, err := os.Lstat(at("pipe")); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		t.Errorf("the pipe is %v now, %v", info.Mode(), err)
	}

	if err := keep(at("file"), []byte("old"), false); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", at("link")); err != nil {
		t.Fatal(err)
	}
	if err := keep(at("link"), []byte("new"), false); fleet.KindOf(err) != fleet.Refused {
		t.Errorf("over a link, not forced: %v", err)
	}
	if err := keep(at("link"), []byte("new"), true); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(at("file"))
	if target, err := os.Readlink(at("link")); string(text) != "new" || err != nil || target != "file" {
		t.Errorf("%q is in the file, the link leads to %q, %v", text, target, err)
	}
	for _, force := range []bool{false, true} {
		if err := keep(dir, nil, force); fleet.KindOf(err) != fleet.Invalid || fleet.HintOf(err) != "name a file" {
			t.Errorf("a directory, force %v: %v", force, err)
		}
	}
}

package rescue_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/skip"
	"github.com/talos-manager/talos-manager/internal/wait"
)

// host is this machine as a rescue system: a real OpenSSH server for root on loopback, whose sessions see a /run of
// their own, so that several of them can be here at the same time. Its disks are loop devices.
type host struct {
	port int
	key  ssh.Signer
	pin  string
	tmp  string
}

// newHost starts one. What is in commands replaces programs of that name: texts of shell scripts.
func newHost(t testing.TB, commands map[string]string) *host {
	t.Helper()
	needLoop(t)
	h := &host{tmp: t.TempDir()}
	h.key, _ = keyPair(t)
	public, hostKey := keyPair(t)
	h.pin = ssh.FingerprintSHA256(public.PublicKey())
	h.file(t, "host_key", string(hostKey), 0o600)
	h.file(t, "authorized_keys", string(ssh.MarshalAuthorizedKey(h.key.PublicKey())), 0o600)
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for name, text := range commands {
		h.file(t, "bin/"+name, "#!/bin/bash\n"+text+"\n", 0o755)
		path = strings.TrimPrefix(path, h.tmp+"/bin:")
		path = h.tmp + "/bin:" + path
	}
	h.port = freePort(t)
	config := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s/host_key\nAuthorizedKeysFile %s/authorized_keys\nPermitRootLogin prohibit-password\n"+
		"StrictModes no\nUsePAM no\nPidFile none\nMaxStartups 100\nSetEnv PATH=%s\n", h.port, h.tmp, h.tmp, path)
	h.file(t, "sshd_config", config, 0o600)
	cmd := exec.Command("unshare", "-m", "bash", "-c", `mount --make-rprivate / && mount -t tmpfs -o size=64m tmpfs /run && mkdir /run/sshd && exec "$0" -D -e -f "$1"`,
		"/usr/sbin/sshd", h.tmp+"/sshd_config")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd: %s", log.String())
		}
	})
	until(t, "sshd to answer", func(ctx context.Context) (bool, error) {
		return rescue.Answers(ctx, h.options()), nil
	})
	return h
}

// needLoop skips what cannot be done here, loudly. CI does everything.
func needLoop(t testing.TB) {
	t.Helper()
	lack := ""
	for program, from := range map[string]string{
		"/usr/sbin/sshd": "openssh-server", "losetup": "mount", "unshare": "util-linux", "fallocate": "util-linux", "zstd": "zstd", "xz": "xz-utils",
		"curl": "curl", "sgdisk": "gdisk", "sfdisk": "fdisk", "wipefs": "util-linux",
	} {
		if _, err := exec.LookPath(program); err != nil {
			lack += fmt.Sprintf(" %s (apt-get install %s)", program, from)
		}
	}
	if os.Geteuid() != 0 {
		lack += " root"
	} else if out, err := exec.Command("losetup", "-f").CombinedOutput(); err != nil {
		lack += fmt.Sprintf(" loop devices (%s)", bytes.TrimSpace(out))
	}
	if lack != "" {
		skip.UnlessCI(t, "writing real disks needs:%s", lack)
	}
}

func (h *host) file(t testing.TB, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(h.tmp, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func keyPair(t testing.TB) (ssh.Signer, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return s, pem.EncodeToMemory(block)
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func until(t testing.TB, what string, check func(context.Context) (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := wait.Until(ctx, what, 20*time.Millisecond, check); err != nil {
		t.Fatal(err)
	}
}

func (h *host) options() rescue.Options {
	return rescue.Options{Server: "db-1", Address: "127.0.0.1", Port: h.port, Key: h.key, Pins: []string{h.pin}}
}

func (h *host) open(t testing.TB) *rescue.Session {
	t.Helper()
	s, err := rescue.Open(t.Context(), h.options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// do runs a command in a session of its own, as an operator would.
func (h *host) do(t testing.TB, command string) string {
	t.Helper()
	c, err := ssh.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", h.port), &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(h.key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.CombinedOutput(command)
	if err != nil {
		t.Logf("%s: %v, %s", command, err, out)
	}
	return string(out)
}

// loopDisk makes a disk of a size, full of 0xff.
func loopDisk(t testing.TB, dir string, size int64) (fleet.Disk, string) {
	t.Helper()
	f, err := os.CreateTemp(dir, "disk")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	dirt := bytes.Repeat([]byte{0xff}, 1<<20)
	for off := int64(0); off < size; off += 1 << 20 {
		if _, err := f.WriteAt(dirt, off); err != nil {
			t.Fatal(err)
		}
	}
	return attach(t, f.Name(), size), f.Name()
}

// attach makes a loop device of a file.
func attach(t testing.TB, file string, size int64) fleet.Disk {
	t.Helper()
	out, err := exec.Command("losetup", "--find", "--show", file).CombinedOutput()
	if err != nil {
		t.Fatalf("losetup: %v, %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { _ = exec.Command("losetup", "--detach", device).Run() })
	return fleet.Disk{Name: strings.TrimPrefix(device, "/dev/"), Serial: "LOOP", SizeBytes: size}
}

// finish waits for the end of a write, over a new connection each time one is broken.
func (h *host) finish(t testing.TB, w rescue.Write) (rescue.WriteStatus, error) {
	t.Helper()
	var st rescue.WriteStatus
	s := h.open(t)
	until(t, "the write to end", func(ctx context.Context) (bool, error) {
		var err error
		st, err = s.WriteStatus(ctx)
		return err == nil && !st.Running, err
	})
	if st.Token != w.Token {
		t.Fatalf("the write is of %q", st.Token)
	}
	return st, st.Err(w)
}

func (h *host) write(t testing.TB, w rescue.Write) (rescue.WriteStatus, error) {
	t.Helper()
	if err := h.open(t).StartWrite(t.Context(), w); err != nil {
		return rescue.WriteStatus{}, err
	}
	return h.finish(t, w)
}

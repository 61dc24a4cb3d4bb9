package rescuehost

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// rig is a machine in its rescue system.
type rig struct {
	t    *testing.T
	w    *world.World
	m    *world.Machine
	host ssh.Signer
	key  ssh.Signer
}

func signer(t *testing.T) ssh.Signer {
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

func newRig(t *testing.T, o Options, change func(*world.Spec)) *rig {
	t.Helper()
	w := world.New(world.Options{Speed: 1000})
	t.Cleanup(w.Close)
	s := world.Spec{
		Number: 321, Name: "node-1", IPv4: netip.MustParseAddr("203.0.113.10"), IPv6Net: netip.MustParsePrefix("2001:db8:10:20::/64"), MAC: "90:1b:0e:00:00:01",
		UUID: "4c4c4544-0042-3510-8050-b4c04f384833", BootTime: time.Second,
		Disks: []*world.Disk{
			{Name: "nvme0n1", Model: "SAMSUNG MZVL2512HCJQ-00B00", Serial: "S675NX1T364492", WWN: "eui.002538b321c5527c", SizeBytes: 512110190592, Transport: "nvme"},
			{Name: "sda", Model: "ST4000NM0245-1Z2107", Serial: "ZC11ABCD", WWN: "0x5000c500a1b2c3d4", SizeBytes: 4000787030016, Transport: "sata", Rotational: true},
		},
	}
	if change != nil {
		change(&s)
	}
	r := &rig{t: t, w: w, host: signer(t), key: signer(t)}
	w.BootRescue = func(m *world.Machine, a world.Rescue) world.System { return New(m, a, o) }
	r.m = w.AddMachine(s)
	r.arm()
	r.m.PowerOn()
	return r
}

func (r *rig) arm() {
	r.m.Arm(&world.Rescue{Password: "secret", Keys: []ssh.PublicKey{r.key.PublicKey()}, HostKeys: []ssh.Signer{r.host}, At: time.Now(), OS: "linux"})
}

// dial logs in, trying until sshd is up.
func (r *rig) dial(auth ...ssh.AuthMethod) *ssh.Client {
	r.t.Helper()
	if len(auth) == 0 {
		auth = []ssh.AuthMethod{ssh.PublicKeys(r.key)}
	}
	var last error
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(r.t.Context(), 50*time.Millisecond)
		c, err := r.w.Net.DialContext(ctx, "tcp", "203.0.113.10:22")
		cancel()
		if last = err; err != nil {
			continue
		}
		conn, channels, requests, err := ssh.NewClientConn(c, "203.0.113.10:22", &ssh.ClientConfig{User: "root", Auth: auth, HostKeyCallback: ssh.FixedHostKey(r.host.PublicKey())})
		if err != nil {
			r.t.Fatal(err)
		}
		client := ssh.NewClient(conn, channels, requests)
		r.t.Cleanup(func() { client.Close() })
		return client
	}
	r.t.Fatalf("sshd does not answer: %v", last)
	return nil
}

// run runs a command and gives its output, its errors and its exit status (-1: none came).
func run(t *testing.T, c *ssh.Client, command string, stdin io.Reader) (string, string, int) {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var out, eout bytes.Buffer
	s.Stdin, s.Stdout, s.Stderr = stdin, &out, &eout
	err = s.Run(command)
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return out.String(), eout.String(), 0
	case errors.As(err, &exit):
		return out.String(), eout.String(), exit.ExitStatus()
	}
	return out.String(), eout.String(), -1
}

// script runs a script by "bash -s" and gives its output; it must succeed.
func script(t *testing.T, c *ssh.Client, text string) string {
	t.Helper()
	out, eout, status := run(t, c, "bash -s", strings.NewReader(text))
	if status != 0 {
		t.Fatalf("status %d\n%s\n%s", status, out, eout)
	}
	return out
}

func spec() world.ImageSpec {
	return world.ImageSpec{Version: "v1.14.1", Arch: "amd64", Platform: "metal", Schematic: strings.Repeat("ab", 32)}
}

// serveImage serves an image, zstd-compressed, at http://factory.sim/image.zst.
func (r *rig) serve(files map[string][]byte) {
	r.t.Helper()
	l, err := r.w.Net.Listen("factory.sim:80")
	if err != nil {
		r.t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		data, ok := files[req.URL.Path]
		if !ok {
			http.NotFound(w, req)
			return
		}
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(data))
	})}
	go func() { _ = srv.Serve(l) }()
	r.t.Cleanup(func() { srv.Close() })
}

func TestLoginByKeyAndByPassword(t *testing.T) {
	r := newRig(t, Options{}, nil)
	for _, auth := range []ssh.AuthMethod{ssh.PublicKeys(r.key), ssh.Password("secret")} {
		if out, _, status := run(t, r.dial(auth), "hostname", nil); out != "rescue\n" || status != 0 {
			t.Errorf("hostname says %q, %d", out, status)
		}
	}
	c, err := r.w.Net.DialContext(t.Context(), "tcp", "203.0.113.10:22")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := ssh.NewClientConn(c, "x", &ssh.ClientConfig{User: "root", Auth: []ssh.AuthMethod{ssh.Password("wrong")}, HostKeyCallback: ssh.InsecureIgnoreHostKey()}); err == nil {
		t.Error("a wrong password is let in")
	}
}

func TestScriptsBehaveAsInBash(t *testing.T) {
	c := newRig(t, Options{}, nil).dial()
	for _, x := range []struct{ why, script, out string }{
		{"pipelines and pipefail", "set -euo pipefail; false | true || echo failed; printf '%s\\n' b a | sort", "failed\na\nb\n"},
		{"errexit does not look behind !", "set -euo pipefail; ! echo a | grep -q b; ! { false; }; f() { ! ls /no 2>/dev/null | cat; }; f; echo on", "on\n"},
		{"functions, locals, command substitution", "f() { local x=$1; echo \"<$x>\"; }; y=$(f hi); echo \"$y $(hostname)\"", "<hi> rescue\n"},
		{"here documents", "cat <<EOF\na $((1+2))\nEOF\ncat <<'EOF'\n$x\nEOF", "a 3\n$x\n"},
		{"[[ ]] and patterns", `x=nvme0n1; [[ $x == nvme* && $x =~ ^nvme([0-9]+) ]] && echo "${BASH_REMATCH[1]}"`, "0\n"},
		{"while read", "printf 'a 1\\nb 2\\n' | while read -r k v; do echo \"$k=$v\"; done", "a=1\nb=2\n"},
		{"a trap on EXIT sees the status", "set -e; trap 'code=$?; echo bye $code' EXIT INT TERM; false || true; (exit 3) || echo three; echo end", "three\nend\nbye 0\n"},
		{"arrays and loops", "a=(x y z); for i in \"${!a[@]}\"; do echo \"$i:${a[$i]}\"; done; echo ${#a[@]}", "0:x\n1:y\n2:z\n3\n"},
		{"background jobs have ids and statuses", "(exit 4) & p=$!; s=0; wait $p || s=$?; [ $p -gt 1 ] && echo $s; sleep 1000 & kill -0 $!; kill $!; s=0; wait $! || s=$?; echo $s", "4\n143\n"},
		{"a job outlives its subshell and writes when it is ready", "( (sleep 1; echo done >/tmp/x) & ); while [ ! -s /tmp/x ]; do sleep 0.1; done; cat /tmp/x", "done\n"},
		{"locks by descriptor", "exec 9>/run/l; flock -n 9 && echo got; ( exec 8>/run/l; flock -n 8 || echo busy ); flock -u 9; flock -n /run/l echo free", "got\nbusy\nfree\n"},
		{"a lock of a subshell ends with it", "( flock -n 9 || exit 1; echo in ) 9>/run/m; flock -n /run/m true && echo out", "in\nout\n"},
		{"output to a saved descriptor", "exec 3>&1; x=$(echo shown >&3; echo kept); echo $x", "shown\nkept\n"},
		{"files, appending, redirecting both", "cd /tmp; { echo a; echo b >&2; } >f 2>&1; echo c >>f; wc -l <f; rm f; [ -e f ] || echo gone", "3\ngone\n"},
		{"command -v knows the tools and no others", "command -v zstd; command -v python3 || echo none; command -v cd", "/usr/bin/zstd\nnone\ncd\n"},
		{"sed, grep, cut, tr", `printf 'token=abc\nphase=x\n' >/tmp/s; sed -n 's/^phase=//p' /tmp/s; grep -qx 'token=abc' /tmp/s && echo yes; printf 'a b c' | cut -d ' ' -f 2; printf '1\r2\r' | tr '\r' '\n' | tail -n 1`, "x\nyes\nb\n2\n"},
		{
			"sed -i with an escaped replacement", `echo 'linux /A/vmlinuz talos.platform=metal x' >/tmp/g; e=$(printf '%s' 'talos.config=http://h/c?uuid=${uuid}&m=1' | sed 's/[&|\\]/\\&/g'); sed -i "s|talos.platform=metal|talos.platform=metal $e|" /tmp/g; cat /tmp/g`,
			"linux /A/vmlinuz talos.platform=metal talos.config=http://h/c?uuid=${uuid}&m=1 x\n",
		},
		{"xargs and find", "mkdir -p /tmp/d/e; touch /tmp/d/e/1.txt; find /tmp/d -name '*.txt' -type f | xargs -n 1 basename", "1.txt\n"},
		{"scripts as files", "printf '#!/bin/bash\\necho \"$0 $1 $#\"\\n' >/root/x.sh; chmod +x /root/x.sh; /root/x.sh one; bash /root/x.sh a b", "/root/x.sh one 1\n/root/x.sh a 2\n"},
		{"source and eval", "echo 'v=7; g() { echo g$v; }' >/tmp/lib; . /tmp/lib; g; eval 'sleep 1 & wait $!; echo ok'", "g7\nok\n"},
		{"printf -v and set -E", "set -Eeuo pipefail; printf -v s '%03d' 7; echo $s", "007\n"},
		{"time-outs", "s=0; timeout 5 sleep 100 || s=$?; echo $s; timeout 100 echo fine", "124\nfine\n"},
		{"process substitution", "cmp <(echo a) <(echo a) && echo same; read -r x < <(echo in); echo $x", "same\nin\n"},
	} {
		t.Run(x.why, func(t *testing.T) {
			if got := script(t, c, x.script); got != x.out {
				t.Errorf("got\n%s\nwant\n%s", got, x.out)
			}
		})
	}
}

func TestNothingOfTheRealMachineIsVisible(t *testing.T) {
	real := filepath.Join(t.TempDir(), "real.sh")
	if err := os.WriteFile(real, []byte("echo leaked\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := newRig(t, Options{}, nil).dial()
	for _, command := range []string{
		"[ -e F ] && echo leaked", "cat F", "echo x <F", ". F", "F", "bash F", "command -v F", "cd $(dirname F) && echo leaked",
		"echo $(<F)", "ls $(dirname F)/*.sh", "PATH=$(dirname F) real.sh", "PATH=$(dirname F) type real.sh", "echo leaked >F",
	} {
		if out, _, _ := run(t, c, strings.ReplaceAll(command, "F", real), nil); strings.Contains(out, "leaked") || strings.Contains(out, "real.sh\n") && !strings.Contains(out, "*") {
			t.Errorf("%q says %q", command, out)
		}
	}
	if data, err := os.ReadFile(real); err != nil || string(data) != "echo leaked\n" {
		t.Errorf("the real file now holds %q, %v", data, err)
	}
	if out := script(t, c, "ls /; env | cut -d = -f 1 | sort | tr '\\n' ' '"); out != "bin\ndev\netc\nhome\nlib\nmedia\nmnt\nopt\nproc\nroot\nrun\nsbin\nsys\ntmp\nusr\nvar\n"+
		"HOME LANG LOGNAME PATH PWD SHELL SSH_CLIENT SSH_CONNECTION USER " {
		t.Errorf("the system shows %q", out)
	}
}

func TestExitStatusesReachTheClient(t *testing.T) {
	c := newRig(t, Options{}, nil).dial()
	for command, want := range map[string]int{"exit 7": 7, "false": 1, "nosuchtool": 127, "set -e; false; true": 1, "cat /nowhere": 1, "kill -TERM $$; echo no": -1, "(": 2} {
		if _, _, status := run(t, c, command, nil); status != want && !(want == -1 && status != 0) {
			t.Errorf("%q ends with %d, want %d", command, status, want)
		}
	}
}

func TestAnImageIsStreamedThroughSSHToADisk(t *testing.T) {
	r := newRig(t, Options{}, nil)
	c := r.dial()
	img, err := world.BuildImage(spec())
	if err != nil {
		t.Fatal(err)
	}
	_, eout, status := run(t, c, "set -o pipefail; zstd -dc | dd of=/dev/nvme0n1 bs=4M iflag=fullblock conv=fsync", bytes.NewReader(compressed(t, img)))
	if status != 0 || !strings.Contains(eout, "67108864 bytes (67 MB, 64 MiB) copied") || !strings.Contains(eout, "16+0 records in") {
		t.Fatalf("status %d: %s", status, eout)
	}
	info, err := world.ReadBoot(r.m.Disks[0])
	if err != nil || info.Version != "v1.14.1" {
		t.Errorf("the disk boots %+v, %v", info, err)
	}
	out := script(t, c, "dd if=/dev/nvme0n1 bs=1M count=64 status=none | sha256sum; ls /dev/disk/by-partlabel; blockdev --getsize64 /dev/nvme0n1p4")
	if !strings.HasSuffix(out, "BIOS\nBOOT\nEFI\nMETA\n1048576\n") {
		t.Errorf("read back: %s", out)
	}
}

func TestADetachedWriteSurvivesItsSession(t *testing.T) {
	r := newRig(t, Options{}, nil)
	img, err := world.BuildImage(spec())
	if err != nil {
		t.Fatal(err)
	}
	r.serve(map[string][]byte{"/image.zst": compressed(t, img)})
	c := r.dial()
	script(t, c, `mkdir -p /run/w; cat >/run/w/job.sh <<'EOF'
set -euo pipefail
trap 'echo $? >/run/w/exit' EXIT
curl -fsSL --retry 3 "$1" | zstd -dc | dd of="$2" bs=4M iflag=fullblock conv=fsync status=progress 2>/run/w/dd
sync
EOF
setsid nohup flock -n /run/w/lock bash /run/w/job.sh http://factory.sim/image.zst /dev/sda >/run/w/log 2>&1 </dev/null &
echo $! >/run/w/pid`)
	c.Close()
	c = r.dial()
	var out string
	for deadline := time.Now().Add(5 * time.Second); out == "" && time.Now().Before(deadline); {
		out, _, _ = run(t, c, "cat /run/w/exit 2>/dev/null", nil)
	}
	if out != "0\n" {
		log, _, _ := run(t, c, "cat /run/w/log /run/w/dd; ps aux", nil)
		t.Fatalf("the job ended with %q\n%s", out, log)
	}
	if _, err := world.ReadBoot(r.m.Disks[1]); err != nil {
		t.Error(err)
	}
}

func TestRebootEndsTheConnectionWithoutAStatus(t *testing.T) {
	r := newRig(t, Options{}, nil)
	booted := make(chan bool, 1)
	r.w.BootDisk = func(*world.Machine) world.System { booted <- true; return nil }
	if _, _, status := run(t, r.dial(), "sync; reboot", nil); status != -1 {
		t.Errorf("reboot gave the status %d", status)
	}
	select {
	case <-booted:
	case <-time.After(5 * time.Second):
		t.Error("the machine did not boot its disk")
	}
}

func TestFaults(t *testing.T) {
	t.Run("other host keys than published", func(t *testing.T) {
		r := newRig(t, Options{}, func(s *world.Spec) { s.Faults.WrongHostKey = true })
		var c net.Conn
		for c == nil {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			c, _ = r.w.Net.DialContext(ctx, "tcp", "203.0.113.10:22")
			cancel()
		}
		_, _, _, err := ssh.NewClientConn(c, "x", &ssh.ClientConfig{User: "root", Auth: []ssh.AuthMethod{ssh.Password("secret")}, HostKeyCallback: ssh.FixedHostKey(r.host.PublicKey())})
		if err == nil {
			t.Error("the published host key was presented")
		}
	})
	t.Run("a disk that fails", func(t *testing.T) {
		r := newRig(t, Options{}, func(s *world.Spec) { s.Faults.DiskFails = true })
		_, eout, status := run(t, r.dial(), "dd if=/dev/zero of=/dev/sda bs=1M count=64", nil)
		if status != 1 || !strings.Contains(eout, "dd: error writing '/dev/sda': Input/output error") {
			t.Errorf("%d %s", status, eout)
		}
	})
	t.Run("a session that drops", func(t *testing.T) {
		r := newRig(t, Options{}, func(s *world.Spec) { s.Faults.SSHDrops = 1 })
		if out, _, status := run(t, r.dial(), "echo hi", nil); status != -1 {
			t.Errorf("the session went well: %q %d", out, status)
		}
		if out, _, status := run(t, r.dial(), "echo hi", nil); status != 0 || out != "hi\n" {
			t.Errorf("the second session: %q %d", out, status)
		}
	})
}

package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// demo is `talos-manager demo` as a process of its own, with nothing in its environment.
type demo struct {
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

// startDemo starts one, as a user without rights if this is root.
func startDemo(t *testing.T, args ...string) *demo {
	t.Helper()
	home := t.TempDir()
	d := &demo{t: t, dir: filepath.Join(home, "demo"), out: &output{}, done: make(chan struct{})}
	d.cmd = exec.Command(binary(t), append([]string{"demo", "--dir", d.dir}, args...)...)
	d.cmd.Dir, d.cmd.Env = home, []string{"HOME=" + home}
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	withoutRights(t, d.cmd, home)
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		d.cmd.Wait() //nolint:errcheck // how it ended is in its state
		close(d.done)
	}()
	t.Cleanup(func() {
		d.cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-d.done
		if t.Failed() {
			t.Logf("it said:\n%s", d.out)
		}
	})
	return d
}

// withoutRights has a command run as somebody who may do nothing special, and gives that user the folder.
func withoutRights(t *testing.T, cmd *exec.Cmd, folder string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	for dir := folder; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(folder, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

// says waits until it has said something, and gives all it has said.
func (d *demo) says(within time.Duration, what string) string {
	d.t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		ended := d.ended()
		if said := d.out.String(); strings.Contains(said, what) {
			return said
		} else if ended || time.Now().After(deadline) {
			d.t.Fatalf("it ended, or %s passed, and it did not say %q", within, what)
		}
	}
}

func (d *demo) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// ends waits for the end and gives the exit code.
func (d *demo) ends(within time.Duration) int {
	d.t.Helper()
	select {
	case <-d.done:
		return d.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		d.t.Fatalf("it does not end within %s", within)
		return -1
	}
}

func (d *demo) interrupt() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		d.t.Fatal(err)
	}
}

// env reads env.sh.
func (d *demo) env() map[string]string {
	d.t.Helper()
	f, err := os.Open(filepath.Join(d.dir, "env.sh"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	values := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if m := regexp.MustCompile(`^export (\w+)='([^']*)'$`).FindStringSubmatch(lines.Text()); m != nil {
			values[m[1]] = m[2]
		}
	}
	return values
}

const staysUp = "It stays up"

// With port 8080 taken, no environment and no rights, a demo makes its cluster; the only socket it listens on is the
// manager's; Ctrl-C ends it.
func TestADemoListensOnOneSocketAndEndsAtCtrlC(t *testing.T) {
	t.Parallel()
	if l, err := net.Listen("tcp", "127.0.0.1:8080"); err == nil { // else somebody else has it, which is as good
		defer l.Close()
	}
	d := startDemo(t, "--speed", "40")
	said := d.says(40*time.Second, staysUp)
	url := d.env()["TALOS_MANAGER_URL"]
	if url == "" || strings.HasSuffix(url, ":8080") || !strings.Contains(said, url) {
		t.Errorf("it is at %q", url)
	}
	if got := listening(t, d.cmd.Process.Pid); len(got) != 1 || "http://"+got[0] != url {
		t.Errorf("it listens on %v, want the manager's %s alone", got, url)
	}
	if strings.Contains(said, "hcloud server list") || d.env()["HCLOUD_ENDPOINT"] != "" {
		t.Error("it tells of APIs that nobody can reach")
	}
	d.interrupt()
	if code := d.ends(10 * time.Second); code != 0 {
		t.Errorf("exit code %d after Ctrl-C", code)
	}
}

// listening lists the TCP and UDP addresses that a process has open for others.
func listening(t *testing.T, pid int) (addresses []string) {
	t.Helper()
	own := map[string]bool{}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, "socket:[") {
			own[strings.Trim(to, "socket:[]")] = true
		}
	}
	if len(own) == 0 {
		t.Fatal("/proc shows no sockets of the process")
	}
	const listen, udp = "0A", "07"
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) > 9 && own[f[9]] && (f[3] == listen || strings.HasPrefix(table, "udp") && f[3] == udp) {
				addresses = append(addresses, socketAddress(f[1]))
			}
		}
	}
	return addresses
}

// socketAddress reads an address of /proc/net/tcp: IPv4 in the host's order, which is little-endian where we test.
func socketAddress(text string) string {
	var a, b, c, d, port int
	if n, _ := fmt.Sscanf(text, "%02X%02X%02X%02X:%04X", &d, &c, &b, &a, &port); n != 5 || len(text) != len("0100007F:1F90") {
		return text
	}
	return fmt.Sprintf("%d.%d.%d.%d:%d", a, b, c, d, port)
}

// Each of these demos ends by itself or is ended, and its exit code and its last line say why.
func TestADemoThatCannotSucceedSaysWhy(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	somebodys := t.TempDir()
	if err := os.WriteFile(filepath.Join(somebodys, "thesis.txt"), []byte("years of work"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		why  string
		args []string
		code int
		says string
	}{
		{"the time is too short", []string{"--once", "--within", "3s"}, 8, "not healthy after 3s: "},
		{"the folder is a file", []string{"--once", "--dir", filepath.Join(somebodys, "thesis.txt")}, 3, "--dir: "},
		{"the folder cannot be made", []string{"--once", "--dir", "/proc/demo"}, 3, "--dir: "},
		{"the folder may not be written to", []string{"--once", "--dir", readOnly(t)}, 3, "--dir: "},
		{"the folder holds something else", []string{"--once", "--dir", somebodys}, 6, "is not empty and no demo made it"},
		{"the address is taken", []string{"--once", "--listen", taken.Addr().String()}, 3, "address already in use"},
		{"no servers", []string{"--once", "--servers", "0"}, 2, "--servers 0"},
		{"too many servers", []string{"--once", "--servers", "100000"}, 3, "1 to 2000"},
	} {
		t.Run(c.why, func(t *testing.T) {
			d := startDemo(t, c.args...)
			if code := d.ends(20 * time.Second); code != c.code || !strings.Contains(d.out.String(), c.says) {
				t.Errorf("exit code %d, want %d and %q", code, c.code, c.says)
			}
		})
	}
	if text, err := os.ReadFile(filepath.Join(somebodys, "thesis.txt")); err != nil || string(text) != "years of work" {
		t.Errorf("the thesis: %q, %v", text, err)
	}
}

// readOnly is a folder that its user may not write to.
func readOnly(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for up := dir; up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Ctrl-C in the middle of the job: with --once it is no success.
func TestCtrlCInTheMiddleOfTheJob(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why  string
		args []string
		code int
	}{
		{"the cluster is not healthy", []string{"--once"}, 130},
		{"it would have stayed up", nil, 0},
	} {
		t.Run(c.why, func(t *testing.T) {
			d := startDemo(t, c.args...)
			d.says(20*time.Second, "installs started")
			d.interrupt()
			begun := time.Now()
			if code := d.ends(20 * time.Second); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if took := time.Since(begun); took > 8*time.Second {
				t.Errorf("it took %s to end", took)
			}
		})
	}
}

// Two demos run side by side, exposed ones too; a second one in the same folder is refused, and harms nothing.
func TestDemosDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	a := startDemo(t, "--servers", "2", "--speed", "40", "--expose")
	b := startDemo(t, "--servers", "2", "--speed", "40", "--expose")
	a.says(20*time.Second, "installs started")
	c := exec.Command(binary(t), "demo", "--once", "--dir", a.dir)
	withoutRights(t, c, filepath.Dir(a.dir))
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 5 || !strings.Contains(string(out), "a demo runs in --dir "+a.dir) {
		t.Errorf("a second demo in one folder: %v %s", err, out)
	}
	for _, d := range []*demo{a, b} {
		if said := d.says(40*time.Second, staysUp); !strings.Contains(said, "all 2 nodes are Ready") {
			t.Error("it is not healthy")
		}
	}
	for name, value := range a.env() {
		if strings.Contains(value, "127.0.0.1") && value == b.env()[name] {
			t.Errorf("both have %s=%s", name, value)
		}
	}
}

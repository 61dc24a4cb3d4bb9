package kube_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/talos-manager/talos-manager/internal/skip"
)

// binaryVariable names a kube-apiserver made by tools/kube-apiserver/build.sh that is not at its usual place.
const binaryVariable = "TALOS_MANAGER_KUBE_APISERVER"

// realServer is the one real cluster of a test run; starting it takes seconds.
type realServer struct {
	once  sync.Once
	url   string
	ca    *authority
	why   string // it is not there
	log   string
	ended chan struct{} // closed when the process has ended
	stop  func()
}

// said is the end of what the server logged.
func (r *realServer) said() string {
	data, _ := os.ReadFile(r.log)
	return string(data[max(0, len(data)-2000):])
}

var shared realServer //nolint:gochecknoglobals // one for all tests; TestMain stops it

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.stop != nil {
		shared.stop()
	}
	os.Exit(code)
}

// realCluster connects to a real kube-apiserver with etcd. Nodes of other tests may be there: name yours after the
// test. Where the binary is missing, a developer's run goes on without; CI fails.
func realCluster(t *testing.T) *lab {
	t.Helper()
	shared.once.Do(func() { shared.start(t) })
	if shared.why != "" {
		skip.UnlessCI(t, "%s", shared.why)
	}
	l := &lab{T: t, url: shared.url, ca: &authority{t: t, cert: shared.ca.cert, key: shared.ca.key, pem: shared.ca.pem}, real: true}
	l.open()
	l.until("the real API is ready", func() bool {
		select {
		case <-shared.ended:
			t.Fatal("kube-apiserver ended: ", shared.said())
		default:
		}
		said, err := l.admin.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(t.Context())
		return err == nil && string(said) == "ok"
	})
	return l
}

func (r *realServer) start(t *testing.T) {
	binary := os.Getenv(binaryVariable)
	if binary == "" {
		binary = filepath.Join("..", "..", "bin", "kube-apiserver")
	}
	if _, err := os.Stat(binary); err != nil {
		r.why = "no real kube-apiserver: run tools/kube-apiserver/build.sh (minutes, once), or set " + binaryVariable
		return
	}
	dir, err := os.MkdirTemp("", "kube-apiserver-")
	if err != nil {
		t.Fatal(err)
	}
	r.ca = newAuthority(t)
	cert, key := r.ca.server()
	for name, data := range map[string][]byte{
		"ca.crt": r.ca.pem, "server.crt": pemBlock("CERTIFICATE", cert.Raw), "server.key": keyPEM(t, key),
		"accounts.key": keyPEM(t, newKey(t)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(binary, dir)
	if _, err := cmd.StdinPipe(); err != nil { // it ends when this closes, however we end
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.log, r.ended = log.Name(), make(chan struct{})
	line, _ := bufio.NewReader(out).ReadString('\n')
	go func() { defer close(r.ended); cmd.Wait() }()
	r.stop = func() { cmd.Process.Kill(); <-r.ended; log.Close(); os.RemoveAll(dir) }
	if r.url = strings.TrimSpace(line); r.url == "" {
		<-r.ended
		r.why = "kube-apiserver did not start: " + r.said()
		t.Fatal(r.why)
	}
}

package host_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/host"
)

// TestMethodsAnswerAsRecorded replays what a real control plane was asked: code, message, the names of the fields
// of the answer, the number of stream messages where it is not chance.
func TestMethodsAnswerAsRecorded(t *testing.T) {
	w := open(t)
	conn := serve(t, w, healthy(w))
	for _, r := range recording(t, "testdata/07-methods.jsonl") {
		t.Run(r.Method+" "+string(r.Request), func(t *testing.T) {
			timeout := 10 * time.Second
			if r.Code == "DeadlineExceeded" {
				timeout = 50 * time.Millisecond // an endless stream
			}
			all, err := call(t, conn, timeout, r.Method, string(r.Request))
			got := status.Convert(err)
			if got.Code().String() != r.Code {
				t.Fatalf("%v %q, recorded %s %q", got.Code(), got.Message(), r.Code, r.Message)
			}
			if r.Code != "DeadlineExceeded" && ports(got.Message()) != ports(r.Message) {
				t.Errorf("message %q, recorded %q", got.Message(), r.Message)
			}
			have := keys(t, all)
			for _, k := range r.Keys {
				if !have[k] && !made(r.Method, k) {
					t.Errorf("no field %q", k)
				}
			}
			if steady(r) && len(all) != r.Messages {
				t.Errorf("%d messages, recorded %d", len(all), r.Messages)
			}
			checkPieces(t, r.Method, all)
		})
	}
}

// ports takes the port numbers that are chance out of a message.
func ports(s string) string { return regexp.MustCompile(`:\d{5}->`).ReplaceAllString(s, ":PORT->") }

// made says which recorded fields another node would not have: the uid of somebody's process.
func made(method, key string) bool { return strings.HasSuffix(method, "Netstat") && key == "uid" }

// steady says where the number of messages is no chance: the recorded root had a directory of the lab, logs and
// binaries have their own length, the images are those of more pods.
func steady(r recorded) bool {
	switch {
	case strings.HasSuffix(r.Method, "/List") && len(r.Request) > 0 && !strings.Contains(r.Method, "Image"),
		strings.HasSuffix(r.Method, "/Read"), strings.HasSuffix(r.Method, "/DiskUsage"), strings.HasSuffix(r.Method, "/Pull"):
		return true
	}
	return strings.HasSuffix(r.Method, "/Logs") && r.Messages <= 1
}

// checkPieces: logs and files come in pieces of 1024 bytes, only the last is shorter.
func checkPieces(t *testing.T, method string, all []proto.Message) {
	t.Helper()
	if !strings.HasSuffix(method, "/Logs") && !strings.HasSuffix(method, "/Read") {
		return
	}
	for i, m := range all {
		if n := len(m.(*common.Data).Bytes); n > 1024 || n < 1024 && i < len(all)-1 {
			t.Errorf("piece %d of %d has %d bytes", i, len(all), n)
		}
	}
}

func keys(t *testing.T, all []proto.Message) map[string]bool {
	t.Helper()
	have := map[string]bool{}
	for i, m := range all {
		if i > 100 {
			break
		}
		b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		collect(v, have)
	}
	return have
}

func collect(v any, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			into[k] = true
			collect(inner, into)
		}
	case []any:
		for _, inner := range v {
			collect(inner, into)
		}
	}
}

func TestFollowingALogGetsWhatComesAndEndsWithTheClient(t *testing.T) {
	w := open(t)
	o := healthy(w)
	c := machine.NewMachineServiceClient(serve(t, w, o))
	s, err := c.Logs(t.Context(), &machine.LogsRequest{Id: "kubelet", Follow: true, TailLines: 1})
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.Recv()
	if err != nil || bytes.Count(first.Bytes, []byte("\n")) != 1 {
		t.Fatalf("first message %q, %v: want the last line", first.GetBytes(), err)
	}
	io.WriteString(o.Logs.Service("kubelet"), "something new\n")
	next, err := s.Recv()
	if err != nil || string(next.Bytes) != "something new\n" {
		t.Errorf("next message %q, %v", next.GetBytes(), err)
	}
}

func TestALongLogForgetsItsBeginningByWholeLines(t *testing.T) {
	w := open(t)
	o := healthy(w)
	line := strings.Repeat("x", 99) + "\n"
	for range 15000 {
		io.WriteString(o.Logs.Service("etcd"), line)
	}
	all, err := call(t, serve(t, w, o), 10*time.Second, "machine.MachineService/Logs", `{"id":"etcd","tail_lines":-1}`)
	if err != nil {
		t.Fatal(err)
	}
	var log []byte
	for _, m := range all {
		log = append(log, m.(*common.Data).Bytes...)
	}
	if len(log) > 5<<18 || len(log) < 1<<20-200 || string(log[:100]) != line {
		t.Errorf("%d bytes are kept, beginning %q", len(log), log[:20])
	}
}

func TestDmesgSaysWhoSpokeAndWhen(t *testing.T) {
	w := open(t)
	all, err := call(t, serve(t, w, healthy(w)), 10*time.Second, "machine.MachineService/Dmesg", "")
	if err != nil || len(all) != 2 {
		t.Fatalf("%d messages, %v", len(all), err)
	}
	if !regexp.MustCompile(`^user: warning: \[\d{4}-\d\d-\d\dT[\d:.]+Z\]: \[talos\] task loadConfig \(1/1\): done\n$`).Match(all[1].(*common.Data).Bytes) {
		t.Errorf("%q", all[1].(*common.Data).Bytes)
	}
}

func TestCopyIsATarOfTheDirectory(t *testing.T) {
	w := open(t)
	all, err := call(t, serve(t, w, healthy(w)), 10*time.Second, "machine.MachineService/Copy", `{"root_path":"/etc/kubernetes"}`)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	for _, m := range all {
		packed.Write(m.(*common.Data).Bytes)
	}
	zip, err := gzip.NewReader(&packed)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for archive := tar.NewReader(zip); ; {
		head, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, head.Name)
	}
	if want := []string{".", "bootstrap-kubeconfig", "kubeconfig-kubelet", "kubelet.yaml", "pki", "pki/ca.crt"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

func TestListFindsFilesBehindLinksAndOfAType(t *testing.T) {
	w := open(t)
	conn := serve(t, w, healthy(w))
	for _, c := range []struct{ reason, request, first string }{
		{"a link is not followed at the end", `{"root":"/bin"}`, "/bin"},
		{"a link on the way is", `{"root":"/bin/init"}`, "/bin/init"},
		{"only links", `{"root":"/","types":["SYMLINK"]}`, "/bin"},
		{"the machine's UUID is readable", `{"root":"/sys/class/dmi/id/product_uuid"}`, "/sys/class/dmi/id/product_uuid"},
	} {
		all, err := call(t, conn, 10*time.Second, "machine.MachineService/List", c.request)
		if err != nil || len(all) == 0 || all[0].(*machine.FileInfo).Name != c.first {
			t.Errorf("%s: %v, %v", c.reason, all, err)
		}
	}
}

func TestMaintenanceHasNoFeaturesAndNoPlaceForImages(t *testing.T) {
	w := open(t)
	o := healthy(w)
	o.Maintenance, o.Services, o.Pods = constant(true), nil, nil
	conn := serve(t, w, o)
	v, err := call(t, conn, 10*time.Second, "machine.MachineService/Version", "")
	if err != nil || v[0].(*machine.VersionResponse).Messages[0].Features != nil {
		t.Errorf("version %v, %v", v, err)
	}
	if _, err := call(t, conn, 50*time.Millisecond, "machine.MachineService/ImageList", `{"namespace":"NS_SYSTEM"}`); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("image list: %v, want no answer", err)
	}
}

func TestWipeEmptiesADiskButNotTheSystems(t *testing.T) {
	w := open(t)
	o := healthy(w)
	conn := serve(t, w, o)
	spare := o.Machine.Disk("nvme1n1")
	if _, err := spare.WriteAt([]byte("data"), 5<<30); err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, conn, 10*time.Second, "storage.StorageService/BlockDeviceWipe", `{"devices":[{"device":"nvme0n1"}]}`); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("system disk: %v", err)
	}
	if _, err := call(t, conn, 10*time.Second, "storage.StorageService/BlockDeviceWipe", `{"devices":[{"device":"nvme1n1","method":"ZEROES"}]}`); err != nil {
		t.Error(err)
	}
	if spare.Used() != 0 {
		t.Errorf("%d bytes are left", spare.Used())
	}
}

func TestAPulledImageIsThereUntilItIsRemoved(t *testing.T) {
	w := open(t)
	o := healthy(w)
	h := host.New(o)
	conn := serve(t, w, o)
	if h.HasImage(common.ContainerdNamespace_NS_SYSTEM, "ghcr.io/siderolabs/installer:v1.14.1") {
		t.Error("an image nobody pulled")
	}
	request := `{"containerd":{"driver":"CRI","namespace":"NS_SYSTEM"},"image_ref":"ghcr.io/siderolabs/installer:v1.14.1"}`
	for _, step := range []struct {
		method string
		want   codes.Code
	}{{"Remove", codes.NotFound}, {"Pull", codes.OK}, {"Remove", codes.OK}, {"Remove", codes.NotFound}} {
		if _, err := call(t, conn, 10*time.Second, "machine.ImageService/"+step.method, request); status.Code(err) != step.want {
			t.Errorf("%s: %v, want %v", step.method, err, step.want)
		}
	}
}

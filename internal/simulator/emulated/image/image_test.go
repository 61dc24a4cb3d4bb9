package image

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	talos "github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talos-manager/talos-manager/internal/simulator/emulated"
	"github.com/talos-manager/talos-manager/internal/simulator/emulated/image/console"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

const (
	smbios = "4c4c4544-0042-3510-8050-b4c04f384833"
	other  = "0f6d2c1e-7a54-4d1b-9d1b-2f6a7c3e5b90"
)

func TestByBIOSItFetchesItsConfigWithTheCodeInMeta(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	served := []byte("version: v1alpha1\nmachine: {}\n")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.RawQuery)
		if len(asked) == 1 {
			w.WriteHeader(420) // not yet
			return
		}
		_, _ = w.Write(served)
	}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	source := "http://10.0.2.2:" + port + "/config?uuid=${uuid}&code=${code}&serial=${SERIAL}"
	i := build(t, Options{KernelArgs: []string{"talos.config=" + source}, Meta: map[uint8]string{
		world.MetaDownloadURLCode: "one time", world.MetaUUIDOverride: other,
		world.MetaNetworkConfig: "addresses: [{address: 10.0.2.77/32, linkName: eth0}]\n" +
			"routes: [{dst: 10.0.2.2/32, outLinkName: eth0}, {gateway: 10.0.2.2, outLinkName: eth0}]\n",
	}})
	m := start(t, i, emulated.BIOS)
	started := until(t, m, console.Started)
	if want := "BOOT_IMAGE=/A/vmlinuz " + i.Cmdline; started.Text != want {
		t.Errorf("the kernel command line is\n%s, not\n%s", started.Text, want)
	}
	got := until(t, m, console.Config)
	if sum := sha256.Sum256(served); got.SHA256 != hex.EncodeToString(sum[:]) || got.Text != string(served) {
		t.Errorf("it got %+v", got)
	}
	if e := until(t, m, console.Refused); e.Status != 420 {
		t.Errorf("before it was refused with %+v", e)
	}
	if e := until(t, m, console.Identity); e.UUID != smbios || e.Serial != "SN 1" {
		t.Errorf("SMBIOS is read as %+v", e)
	}
	if e := until(t, m, console.Network); e.Values["from"] != "META" || !strings.Contains(e.Values["address0"], "10.0.2.77/32") {
		t.Errorf("its network is %+v", e.Values)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := "code=one+time&serial=SN+1&uuid=" + other; len(asked) != 2 || asked[1] != want {
		t.Errorf("it asked for %q, not for %q", asked, want)
	}
}

func TestByUEFIWithoutAConfigItIsInMaintenanceMode(t *testing.T) {
	i := build(t, Options{})
	m := start(t, i, emulated.UEFI)
	if e := until(t, m, console.Started); e.Text != i.Cmdline {
		t.Errorf("the kernel command line is\n%s, not\n%s", e.Text, i.Cmdline)
	}
	pin := until(t, m, console.Maintenance).Text
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	shown, err := x509.ParseFingerprint(pin)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{InsecureSkipVerify: true, VerifyConnection: x509.MatchSPKIFingerprints(shown)}
	node, err := talos.New(ctx, talos.WithTLSConfig(config), talos.WithEndpoints("127.0.0.1"), talos.WithGRPCDialOptions(grpc.WithContextDialer(
		func(ctx context.Context, addr string) (net.Conn, error) { return m.Dial(ctx, "tcp", addr) })))
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	if v, err := node.Version(ctx); err != nil || v.GetMessages()[0].GetVersion().GetTag() != "v1.14.1" {
		t.Errorf("its version is %v, %v", v, err)
	}
	info, err := safe.StateGetByID[*hardware.SystemInformation](ctx, node.COSI, hardware.SystemInformationID)
	if err != nil || info.TypedSpec().UUID != smbios || info.TypedSpec().SerialNumber != "SN 1" {
		t.Errorf("it says to be %+v, %v", info, err)
	}
	disks, err := safe.StateListAll[*block.Disk](ctx, node.COSI)
	if err != nil || disks.Len() != 1 || disks.Get(0).TypedSpec().Serial != "D1" || disks.Get(0).TypedSpec().Size != 200*mib {
		t.Errorf("its disks are %+v, %v", disks, err)
	}
	if err := node.Reboot(ctx); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a stranger may reboot it: %v", err)
	}
	if _, err := node.ApplyConfiguration(ctx, &machine.ApplyConfigurationRequest{Data: []byte("nonsense: [")}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("it takes nonsense: %v", err)
	}
	text := []byte("version: v1alpha1\nmachine:\n  type: worker\ncluster: {}\n")
	if _, err := node.ApplyConfiguration(ctx, &machine.ApplyConfigurationRequest{Data: text}); err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(text); until(t, m, console.Applied).SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("it got %+v", until(t, m, console.Applied))
	}
}

// build makes an image of the parts in the build cache.
func build(t *testing.T, o Options) Image {
	t.Helper()
	t.Parallel()
	emulated.Need(t)
	Need(t)
	p, err := PartsIn(emulated.Cache())
	if err != nil {
		t.Fatal(err)
	}
	i, err := Build(t.Context(), t.TempDir(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func start(t *testing.T, i Image, firmware emulated.Firmware) *emulated.Machine {
	t.Helper()
	m := emulated.New(t, emulated.Options{Firmware: firmware, UUID: smbios, Serial: "SN 1", Disks: []emulated.Disk{{Bus: emulated.Virtio, File: i.Raw, Serial: "D1"}}})
	m.PowerOn()
	return m
}

// until waits for an event and gives the last of that name.
func until(t *testing.T, m *emulated.Machine, name string) console.Event {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		text := m.Console().String()
		if e, ok := console.Last(text, name); ok {
			return e
		}
		if e, ok := console.Last(text, console.Failed); ok {
			t.Fatalf("the init gave up: %s", e.Text)
		}
	}
	t.Fatalf("the init does not say %q", name)
	return console.Event{}
}

package apid_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/cluster"
	"github.com/siderolabs/talos/pkg/machinery/api/inspect"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	_ "github.com/siderolabs/talos/pkg/machinery/api/security"
	"github.com/siderolabs/talos/pkg/machinery/api/storage"
	timeapi "github.com/siderolabs/talos/pkg/machinery/api/time"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/apid"
	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/resources"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// idle registers services that have rights but do nothing: a call that is let in answers Unimplemented, "method
// … not implemented". COSI is the real one, because its rights are checked in two places.
func idle(t *testing.T) func(grpc.ServiceRegistrar) {
	t.Helper()
	store, err := resources.New(apid.Roles)
	if err != nil {
		t.Fatal(err)
	}
	return func(r grpc.ServiceRegistrar) {
		machine.RegisterMachineServiceServer(r, machine.UnimplementedMachineServiceServer{})
		machine.RegisterImageServiceServer(r, machine.UnimplementedImageServiceServer{})
		machine.RegisterLifecycleServiceServer(r, machine.UnimplementedLifecycleServiceServer{})
		machine.RegisterDebugServiceServer(r, machine.UnimplementedDebugServiceServer{})
		cluster.RegisterClusterServiceServer(r, cluster.UnimplementedClusterServiceServer{})
		inspect.RegisterInspectServiceServer(r, inspect.UnimplementedInspectServiceServer{})
		storage.RegisterStorageServiceServer(r, storage.UnimplementedStorageServiceServer{})
		timeapi.RegisterTimeServiceServer(r, timeapi.UnimplementedTimeServiceServer{})
		store.Register(r)
	}
}

// TestEveryRoleMayCallWhatItMayCallOnARealNode walks the recorded matrix of role and method.
func TestEveryRoleMayCallWhatItMayCallOnARealNode(t *testing.T) {
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	ca := newAuthority(t)
	serve(t, w, ca, "10.5.0.2", apid.Options{Register: idle(t), Forwards: true})

	lines := strings.Split(read(t, "testdata/02-access-matrix.tsv"), "\n")[1:]
	roles := strings.Split(lines[0], "\t")[2:]
	conns := map[string]*grpc.ClientConn{"none": connect(t, w, ca, "10.5.0.2", nil)}
	for _, r := range roles[:len(roles)-1] {
		conns[r] = connect(t, w, ca, "10.5.0.2", ca.issue("", time.Hour, r))
	}
	for _, line := range lines[1:] {
		cells := strings.Split(line, "\t")
		for i, want := range cells[2:] {
			if want == "-" {
				continue // not recorded
			}
			_, err := call(t.Context(), t, conns[roles[i]], cells[0], cells[1])
			if text := wrong(cells[0], want, err); text != "" {
				t.Errorf("%s %s as %s: %s, recorded %s", cells[0], cells[1], roles[i], text, want)
			}
		}
	}
}

// wrong says what is wrong with err, "" if it agrees with the recorded code: as far as the front decides. What a
// call that is let in answers is decided behind it.
func wrong(method, recorded string, err error) string {
	code, text := status.Code(err), status.Convert(err).Message()
	unknown := strings.HasPrefix(text, "unknown service ")
	recorded, _, _ = strings.Cut(recorded, "(")
	let := code == codes.Unimplemented && strings.Contains(text, "not implemented")
	switch recorded {
	case "PermissionDenied", "Unavailable":
		let = code.String() == recorded
	case "Unimplemented":
		let = unknown
	case "OK", "NotFound":
		if strings.HasPrefix(method, "cosi.") {
			// this store is empty: what a real node has is not found here
			let = code == codes.OK || code == codes.NotFound
		}
	case "Internal":
		let = code == codes.Internal
	}
	if let {
		return ""
	}
	return code.String() + " " + text
}

// TestMaintenanceAllowsWhatARealNodeAllowsInMaintenance walks every recorded method without a certificate.
func TestMaintenanceAllowsWhatARealNodeAllowsInMaintenance(t *testing.T) {
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	ca := newAuthority(t)
	serve(t, w, ca, "10.5.0.2", apid.Options{Register: idle(t), Maintenance: true})
	conn := connect(t, w, ca, "10.5.0.2", nil)

	denied := 0
	for _, line := range strings.Split(read(t, "testdata/01-maintenance-methods.jsonl"), "\n")[1:] {
		var r struct {
			Method, Code, Message string
			Request               json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		_, err := call(t.Context(), t, conn, r.Method, string(r.Request))
		got := status.Convert(err)
		if r.Code == "PermissionDenied" {
			denied++
			if got.Code() != codes.PermissionDenied || got.Message() != r.Message {
				t.Errorf("%s %s: %v %q, recorded %q", r.Method, r.Request, got.Code(), got.Message(), r.Message)
			}
			continue
		}
		if got.Code() == codes.PermissionDenied {
			t.Errorf("%s %s: refused, recorded %s %s", r.Method, r.Request, r.Code, r.Message)
		}
	}
	if denied < 20 {
		t.Errorf("only %d refusals recorded: the recording is not what it was", denied)
	}
	if _, err := call(t.Context(), t, conn, "machine.MachineService/ApplyConfiguration", `{"data":"aGVsbG8="}`); status.Code(err) != codes.Unimplemented {
		t.Errorf("ApplyConfiguration in maintenance: %v", err)
	}
}

// TestEveryRoleReadsTheTypesItReadsOnARealNode walks the recorded table of COSI types and roles.
func TestEveryRoleReadsTheTypesItReadsOnARealNode(t *testing.T) {
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	ca := newAuthority(t)
	serve(t, w, ca, "10.5.0.2", apid.Options{Register: idle(t), Forwards: true})
	serve(t, w, ca, "10.5.0.3", apid.Options{Register: idle(t), Maintenance: true})
	store, err := resources.New(apid.Roles)
	if err != nil {
		t.Fatal(err)
	}
	definitions, err := safe.StateListAll[*meta.ResourceDefinition](t.Context(), store.State())
	if err != nil {
		t.Fatal(err)
	}
	namespace := map[string]string{}
	for d := range definitions.All() {
		namespace[d.TypedSpec().Type] = d.TypedSpec().DefaultNamespace
	}

	lines := strings.Split(read(t, "testdata/02-cosi-access.tsv"), "\n")[1:]
	roles := strings.Split(lines[0], "\t")[1:]
	conns := map[string]*grpc.ClientConn{}
	for _, r := range roles {
		if r == "maintenance" {
			conns[r] = connect(t, w, ca, "10.5.0.3", nil)
			continue
		}
		conns[r] = connect(t, w, ca, "10.5.0.2", ca.issue("", time.Hour, r))
	}
	for _, line := range lines[1:] {
		cells := strings.Split(line, "\t")
		for i, want := range cells[1:] {
			_, err := call(t.Context(), t, conns[roles[i]], "cosi.resource.State/List",
				fmt.Sprintf(`{"namespace":%q,"type":%q}`, namespace[cells[0]], cells[0]))
			if got := status.Code(err).String(); got != want {
				t.Errorf("%s as %s: %v, recorded %s", cells[0], roles[i], err, want)
			}
		}
	}
	if len(lines) != 168 {
		t.Errorf("%d lines recorded, want 167 types and a heading", len(lines))
	}
}

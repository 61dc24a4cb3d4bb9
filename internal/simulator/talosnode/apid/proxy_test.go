package apid_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/apid"
	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/resources"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// node answers the few methods that the recording of proxying uses, with what the recorded nodes answered.
type node struct {
	machine.UnimplementedMachineServiceServer
	name   string
	worker bool
}

func (n node) Hostname(context.Context, *emptypb.Empty) (*machine.HostnameResponse, error) {
	return &machine.HostnameResponse{Messages: []*machine.Hostname{{Hostname: n.name}}}, nil
}

func (n node) Version(context.Context, *emptypb.Empty) (*machine.VersionResponse, error) {
	return &machine.VersionResponse{Messages: []*machine.Version{{Version: &machine.VersionInfo{Tag: "v1.13.9"}}}}, nil
}

func (node) ServiceStop(_ context.Context, r *machine.ServiceStopRequest) (*machine.ServiceStopResponse, error) {
	return nil, status.Errorf(codes.Unknown, "service %q not defined", r.Id)
}

func (n node) EtcdMemberList(context.Context, *machine.EtcdMemberListRequest) (*machine.EtcdMemberListResponse, error) {
	if n.worker {
		return nil, status.Error(codes.Unimplemented, "member list is only available on control plane nodes")
	}
	return &machine.EtcdMemberListResponse{Messages: []*machine.EtcdMembers{{LegacyMembers: []string{n.name}}}}, nil
}

func (node) Logs(r *machine.LogsRequest, s grpc.ServerStreamingServer[common.Data]) error {
	if r.Id == "nosuch" {
		return status.Errorf(codes.Unknown, "log %q was not registered", r.Id)
	}
	return s.Send(&common.Data{Bytes: []byte("a line\n")})
}

func three(t *testing.T) (*world.World, *authority) {
	t.Helper()
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	ca := newAuthority(t)
	for address, n := range map[string]node{
		"10.5.0.2": {name: "n1"}, "10.5.0.3": {name: "n2"}, "10.5.0.4": {name: "n3"}, "10.5.0.5": {name: "n4", worker: true},
	} {
		store, err := resources.New(apid.Roles)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Apply(t.Context(), resources.View{Version: "v1.13.9", Hostname: n.name}); err != nil {
			t.Fatal(err)
		}
		serve(t, w, ca, address, apid.Options{Forwards: !n.worker, Register: func(r grpc.ServiceRegistrar) {
			machine.RegisterMachineServiceServer(r, n)
			store.Register(r)
		}})
	}
	return w, ca
}

type recorded struct {
	Label, Nodes, Method, Code, Message, Endpoint string
	Request                                       json.RawMessage
	Response                                      []json.RawMessage
}

// elsewhere are recorded lines that say nothing about the front: names the lab's DNS did not know, other ports,
// and clients that give up by themselves.
func elsewhere(label string) bool {
	return slices.ContainsFunc([]string{"by hostname", "unresolvable", "port", "host down", "client checks server", "talos-role"},
		func(part string) bool { return strings.Contains(label, part) })
}

// TestForwardingAnswersAsRecorded replays the recording of the metadata keys nodes and node.
func TestForwardingAnswersAsRecorded(t *testing.T) {
	w, ca := three(t)
	for _, line := range strings.Split(read(t, "testdata/02-proxying-and-tls.jsonl"), "\n")[1:] {
		var r recorded
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if elsewhere(r.Label) {
			continue
		}
		t.Run(r.Label, func(t *testing.T) { replay(t, w, ca, r) })
	}
}

func replay(t *testing.T, w *world.World, ca *authority, r recorded) {
	t.Helper()
	certificate := ca.issue("", time.Hour, "os:admin")
	switch {
	case strings.Contains(r.Label, "role reader"):
		certificate = ca.issue("", time.Hour, "os:reader")
	case strings.Contains(r.Label, "no client certificate"):
		certificate = nil
	case strings.Contains(r.Label, "expired"):
		certificate = ca.issue("", -time.Hour, "os:admin")
	case strings.Contains(r.Label, "foreign"):
		certificate = newAuthority(t).issue("", time.Hour, "os:admin")
	}
	ctx := t.Context()
	key := "nodes"
	if strings.Contains(r.Label, "node (singular)") || strings.Contains(r.Label, "node = ") ||
		strings.Contains(r.Label, "through node:") || strings.Contains(r.Label, "with node") && !strings.Contains(r.Label, "with nodes") {
		key = "node"
	}
	if r.Nodes != "" {
		for target := range strings.SplitSeq(r.Nodes, ",") {
			ctx = metadata.AppendToOutgoingContext(ctx, key, target)
		}
	}
	answer, err := call(ctx, t, connect(t, w, ca, r.Endpoint, certificate), r.Method, string(r.Request))
	got := status.Convert(err)
	if got.Code().String() != r.Code {
		t.Fatalf("%v %q, recorded %s %q", got.Code(), got.Message(), r.Code, r.Message)
	}
	if r.Code != "Unavailable" && got.Message() != r.Message || strings.Contains(r.Message, "no route") && got.Message() != r.Message {
		t.Errorf("message %q, recorded %q", got.Message(), r.Message)
	}
	want, whole := shape(t, r.Response)
	have, _ := shape(t, encode(t, answer))
	if diff := cmp.Diff(want, have); whole && diff != "" {
		t.Errorf("answer differs from the recorded one:\n%s", diff)
	}
}

func encode(t *testing.T, all []proto.Message) []json.RawMessage {
	t.Helper()
	var out []json.RawMessage
	for _, m := range all {
		b, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: false}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// shape is what must agree: the metadata of every message in any order, and host names; false for an answer that
// the recorder cut.
func shape(t *testing.T, messages []json.RawMessage) (out []string, whole bool) {
	t.Helper()
	for _, m := range messages {
		var one struct {
			Metadata json.RawMessage
			Messages []struct {
				Metadata json.RawMessage
				Hostname string
			}
		}
		if json.Unmarshal(m, &one) != nil {
			return nil, false
		}
		out = append(out, string(plain(t, one.Metadata)))
		for _, inner := range one.Messages {
			out = append(out, inner.Hostname+" "+string(plain(t, inner.Metadata)))
		}
	}
	slices.Sort(out)
	return out, true
}

func plain(t *testing.T, raw json.RawMessage) []byte {
	t.Helper()
	var v any
	if raw != nil {
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

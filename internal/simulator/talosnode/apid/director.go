package apid

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/siderolabs/grpc-proxy/proxy"
	"github.com/siderolabs/talos/pkg/machinery/api/cluster"
	"github.com/siderolabs/talos/pkg/machinery/api/inspect"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/api/storage"
	"github.com/siderolabs/talos/pkg/machinery/api/time"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// oneToMany are the services whose answers carry metadata, so that many nodes can answer in one.
func oneToMany() []grpc.ServiceDesc {
	return []grpc.ServiceDesc{
		machine.MachineService_ServiceDesc, cluster.ClusterService_ServiceDesc, inspect.InspectService_ServiceDesc,
		storage.StorageService_ServiceDesc, time.TimeService_ServiceDesc,
	}
}

// direct decides where a call goes. The metadata keys are Talos' own: nodes asks many and gets errors inside
// answers, node asks one and gets plain errors, proxyfrom says that another apid has decided already.
func (s *Server) direct(ctx context.Context, method string) (proxy.Mode, []proxy.Backend, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	nodes, node := md.Get("nodes"), md.Get("node")
	if s.options.Maintenance || len(md.Get("proxyfrom")) > 0 {
		return proxy.One2One, []proxy.Backend{s.self}, nil
	}
	if len(node) > 1 {
		return proxy.One2One, nil, status.Error(codes.InvalidArgument, "node metadata must be single-valued")
	}
	if !s.options.Forwards && onlySelf(s.options, nodes) && onlySelf(s.options, node) {
		nodes, node = nil, nil
	}
	switch {
	case len(nodes) > 0:
		return s.many(method, nodes)
	case len(node) == 1:
		return s.one(node[0])
	}
	return proxy.One2One, []proxy.Backend{s.self}, nil
}

// onlySelf says that a worker is asked for nothing but itself.
func onlySelf(o Options, targets []string) bool {
	return len(targets) == 0 || len(targets) == 1 && o.local(targets[0])
}

func (s *Server) one(target string) (proxy.Mode, []proxy.Backend, error) {
	b, err := s.backend(target)
	if err != nil {
		return proxy.One2One, nil, err
	}
	return proxy.One2One, []proxy.Backend{b}, nil
}

func (s *Server) many(method string, targets []string) (proxy.Mode, []proxy.Backend, error) {
	known := func(d grpc.ServiceDesc) bool { return strings.HasPrefix(method, "/"+d.ServiceName+"/") }
	if !slices.ContainsFunc(oneToMany(), known) {
		return proxy.One2One, nil, status.Errorf(codes.InvalidArgument,
			"one-2-many proxying is not supported for method %s", method)
	}
	all := make([]proxy.Backend, 0, len(targets))
	for _, target := range targets {
		b, err := s.backend(target)
		if err != nil {
			return proxy.One2Many, nil, err
		}
		all = append(all, b)
	}
	return proxy.One2Many, all, nil
}

// backend finds or makes the way to a target.
func (s *Server) backend(target string) (proxy.Backend, error) {
	if !s.options.Forwards {
		return nil, status.Error(codes.PermissionDenied, "no request forwarding")
	}
	if _, _, err := net.SplitHostPort(target); target == "" || err == nil {
		return nil, status.Error(codes.Internal, fmt.Sprintf("invalid target %q", target))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.backends[target]
	if ok {
		return b, nil
	}
	if s.options.local(target) {
		b = s.inside(target)
	} else {
		b = s.remote(target)
	}
	s.backends[target] = b
	return b, nil
}

// streams says whether a method answers with a stream.
func streams(method string) bool {
	for _, d := range oneToMany() {
		name, ok := strings.CutPrefix(method, "/"+d.ServiceName+"/")
		if ok {
			return slices.ContainsFunc(d.Streams, func(s grpc.StreamDesc) bool { return s.StreamName == name })
		}
	}
	return false
}

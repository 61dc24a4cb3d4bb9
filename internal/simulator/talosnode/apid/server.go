package apid

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/siderolabs/grpc-proxy/proxy"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// pipeSize is what a connection inside holds in each direction: a world has hundreds of them.
const pipeSize = 32 << 10

// Server is one API server. It serves one listener once.
type Server struct {
	options Options
	outer   *grpc.Server // what clients reach
	inner   *grpc.Server // the node's services, behind pipe
	pipe    *bufconn.Listener
	self    *backend

	mu       sync.Mutex
	backends map[string]*backend
}

// New makes a server.
func New(o Options) *Server {
	s := &Server{options: o, pipe: bufconn.Listen(pipeSize), backends: map[string]*backend{}}
	s.self = s.inside("machined")
	s.inner = newInner(o)
	s.outer = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(s.tls())),
		grpc.MaxRecvMsgSize(constants.GRPCMaxMessageSize),
		grpc.ForceServerCodecV2(proxy.Codec()),
		grpc.StreamInterceptor(s.identify),
		grpc.UnknownServiceHandler(proxy.TransparentHandler(s.direct, proxy.WithStreamedDetector(streams))),
	)
	return s
}

// Serve accepts until Stop; then it gives nil. It closes l.
func (s *Server) Serve(l net.Listener) error {
	done := make(chan error, 1)
	go func() { done <- s.inner.Serve(s.pipe) }()
	err := s.outer.Serve(l)
	s.inner.Stop()
	<-done
	if errors.Is(err, grpc.ErrServerStopped) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Stop closes the listener at once, lets calls end for at most grace (of the clock on the wall), then cuts them.
// A real node gives 10 s; 0 is a power cut. It returns when nothing runs any more.
func (s *Server) Stop(grace time.Duration) {
	cut := time.AfterFunc(grace, s.outer.Stop)
	if grace > 0 {
		s.outer.GracefulStop()
	} else {
		s.outer.Stop()
	}
	cut.Stop()
	s.inner.Stop()
	s.self.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.backends {
		b.close()
	}
}

// tls asks for certificates and CAs at every handshake.
func (s *Server) tls() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			certificate, err := s.options.Certificate()
			if err != nil {
				return nil, err
			}
			c := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{*certificate}}
			if !s.options.Maintenance {
				c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, s.options.ClientCAs()
			}
			return c, nil
		},
	}
}

// identify puts the caller's roles into the context of its call.
func (s *Server) identify(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	return handle(srv, stream{ss, withRoles(ss.Context(), s.outerRoles(ss.Context()))})
}

// newInner makes the server of the node's own services, which believes the roles in the metadata: only the outer
// server reaches it.
func newInner(o Options) *grpc.Server {
	a := newAuthorizer(o.Maintenance, o.Old)
	enter := func(ctx context.Context, method string) (context.Context, error) {
		roles, _ := metadataRoles(ctx)
		ctx = withRoles(ctx, roles)
		return ctx, a.check(ctx, method)
	}
	s := grpc.NewServer(
		grpc.MaxRecvMsgSize(constants.GRPCMaxMessageSize),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (_ any, err error) {
			defer recovered(&err)
			ctx, err = enter(ctx, info.FullMethod)
			if err != nil {
				return nil, err
			}
			return handle(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
			defer recovered(&err)
			ctx, err := enter(ss.Context(), info.FullMethod)
			if err != nil {
				return err
			}
			return handle(srv, stream{ss, ctx})
		}),
	)
	o.Register(s)
	return s
}

// recovered turns a panic of a handler into the answer a real node gives: Internal, with the panic's text.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = status.Error(codes.Internal, fmt.Sprint(p))
	}
}

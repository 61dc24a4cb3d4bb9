package apid

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/siderolabs/grpc-proxy/proxy"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// backend is where a call goes: the node's own services or another node. With a target, answers and errors carry
// it in their metadata when several nodes are asked at once.
type backend struct {
	target string
	dial   func() (*grpc.ClientConn, error)
	pairs  []string // metadata of its calls

	mu   sync.Mutex
	conn *grpc.ClientConn
}

func (b *backend) String() string { return b.target }

// GetConnection connects on first use; gRPC reconnects by itself afterwards.
func (b *backend) GetConnection(ctx context.Context, _ string) (context.Context, *grpc.ClientConn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == nil {
		conn, err := b.dial()
		if err != nil {
			return ctx, nil, err
		}
		b.conn = conn
	}
	return outgoing(ctx, b.pairs...), b.conn, nil
}

// AppendInfo writes the target into the metadata of an answer without decoding it: a stream's message has the
// metadata as its own field 1; a unary answer is a list of messages (field 1) of which every node sends one, and
// each of those has it as field 1. Appending a field to a message is appending bytes.
func (b *backend) AppendInfo(streaming bool, answer []byte) ([]byte, error) {
	info, err := proto.Marshal(&common.Empty{Metadata: &common.Metadata{Hostname: b.target}})
	if err != nil {
		return nil, err
	}
	if streaming {
		return append(answer, info...), nil
	}
	field, kind, n := protowire.ConsumeTag(answer)
	if n < 0 || field != 1 || kind != protowire.BytesType {
		return nil, fmt.Errorf("answer of %s is no list of messages", b.target)
	}
	message, m := protowire.ConsumeBytes(answer[n:])
	if m < 0 {
		return nil, protowire.ParseError(m)
	}
	rest := answer[n+m:]
	out := protowire.AppendTag(nil, 1, protowire.BytesType)
	out = protowire.AppendBytes(out, append(append([]byte(nil), message...), info...))
	return append(out, rest...), nil
}

// BuildError turns a node's error into an answer, so that one bad node does not hide the good ones.
func (b *backend) BuildError(streaming bool, failure error) ([]byte, error) {
	message := &common.Empty{Metadata: &common.Metadata{
		Hostname: b.target, Error: failure.Error(), Status: status.Convert(failure).Proto(),
	}}
	if streaming {
		return proto.Marshal(message)
	}
	return proto.Marshal(&common.EmptyResponse{Messages: []*common.Empty{message}})
}

func (b *backend) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		b.conn.Close()
	}
}

// inside is a backend of the node's own services.
func (s *Server) inside(target string) *backend {
	return &backend{target: target, dial: func() (*grpc.ClientConn, error) {
		return grpc.NewClient("passthrough:///machined",
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.pipe.DialContext(ctx) }),
			grpc.WithTransportCredentials(insecure.NewCredentials()), callOptions())
	}}
}

// remote is a backend of another node. How long a node that was down stays down for those who ask through
// another one is gRPC's back-off, which Talos limits to 15 s.
func (s *Server) remote(target string) *backend {
	return &backend{target: target, pairs: []string{"proxyfrom", "apid"}, dial: func() (*grpc.ClientConn, error) {
		config, err := s.options.RemoteTLS()
		if err != nil {
			return nil, err
		}
		wait := backoff.DefaultConfig
		wait.BaseDelay, wait.MaxDelay = s.options.real(wait.BaseDelay), s.options.real(15*time.Second)
		return grpc.NewClient("passthrough:///"+net.JoinHostPort(target, Port),
			grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
				return s.options.Dial(ctx, "tcp", addr)
			}),
			grpc.WithTransportCredentials(credentials.NewTLS(config)),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: wait, MinConnectTimeout: s.options.real(20 * time.Second)}),
			callOptions())
	}}
}

func callOptions() grpc.DialOption {
	return grpc.WithDefaultCallOptions(
		grpc.MaxCallRecvMsgSize(constants.GRPCMaxMessageSize), grpc.ForceCodecV2(proxy.Codec()))
}

package apid

import (
	"context"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

type rolesKey struct{}

// Roles gives the roles of the caller whose call ctx belongs to; none for a context of something else.
func Roles(ctx context.Context) role.Set {
	roles, ok := ctx.Value(rolesKey{}).(role.Set)
	if !ok {
		return role.Zero
	}
	return roles
}

func withRoles(ctx context.Context, roles role.Set) context.Context {
	return context.WithValue(ctx, rolesKey{}, roles)
}

// outerRoles are those of the client: the organizations of its certificate. An impersonator, which every apid is
// when it forwards, speaks with the roles it names in the metadata. In maintenance nobody shows a certificate
// and everybody reads.
func (s *Server) outerRoles(ctx context.Context) role.Set {
	if s.options.Maintenance {
		return role.MakeSet(role.Reader)
	}
	p, ok := peer.FromContext(ctx)
	if !ok {
		return role.Zero
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return role.Zero
	}
	roles, _ := role.Parse(info.State.PeerCertificates[0].Subject.Organization)
	if roles.Includes(role.Impersonator) {
		if named, ok := metadataRoles(ctx); ok {
			return named
		}
	}
	return roles
}

// metadataRoles are the roles the outer server or another node's apid wrote into the call.
func metadataRoles(ctx context.Context) (role.Set, bool) {
	md, _ := metadata.FromIncomingContext(ctx)
	names := md.Get(constants.APIAuthzRoleMetadataKey)
	if len(names) == 0 {
		return role.Zero, false
	}
	roles, _ := role.Parse(names)
	return roles, true
}

// outgoing is the context of a forwarded call. Nothing the client wrote goes on, only who it is.
func outgoing(ctx context.Context, pairs ...string) context.Context {
	md := metadata.Pairs(pairs...)
	md.Set(constants.APIAuthzRoleMetadataKey, Roles(ctx).Strings()...)
	return metadata.NewOutgoingContext(ctx, md)
}

// stream is a server stream with another context.
type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s stream) Context() context.Context { return s.ctx }

package api

import (
	"context"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

func (a *api) listTokens(ctx context.Context, _ *nothing) (*body[client.List[client.Token]], error) {
	all, err := a.store.Tokens(ctx)
	return answer(items(all, token), err)
}

func (a *api) createToken(ctx context.Context, in *body[client.NewToken]) (*body[client.CreatedToken], error) {
	actor := access.Actor(ctx)
	t, text, err := a.Access.NewToken(ctx, actor, in.Body.Name)
	if err != nil {
		return nil, err
	}
	err = manage.Audit(ctx, a.store, actor, "token.create", "token", t.ID, "created "+t.Name)
	return answer(client.CreatedToken{ID: t.ID, Name: t.Name, CreatedAt: t.CreatedAt, Token: text}, err)
}

func (a *api) deleteToken(ctx context.Context, in *ByRef) (*nothing, error) {
	if err := a.store.RemoveToken(ctx, in.Ref); err != nil {
		return nil, err
	}
	return nil, manage.Audit(ctx, a.store, access.Actor(ctx), "token.delete", "token", in.Ref, "revoked "+in.Ref)
}

func token(t store.Token) client.Token {
	return client.Token{ID: t.ID, Name: t.Name, Actor: t.Actor, CreatedAt: t.CreatedAt, UsedAt: t.UsedAt, ExpiresAt: t.ExpiresAt}
}

package hcloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/wait"
)

// tries while a server is locked by its previous action, or was changed at the same moment. hcloud-go does not
// retry the former. After that the caller looks again.
const lockTries = 4

// settle calls until the server is no longer locked, for some seconds.
func (d *Driver) settle(ctx context.Context, call func() error) error {
	var last error
	tries := 0
	err := wait.Until(ctx, "the server to be unlocked", d.every, func(context.Context) (bool, error) {
		last = call()
		tries++
		return !busy(last) || tries == lockTries, nil
	})
	if err != nil {
		return err
	}
	return last
}

func busy(err error) bool {
	return hcloud.IsError(err, hcloud.ErrorCodeLocked, hcloud.ErrorCodeConflict)
}

// explain turns an error of hcloud-go into one for people. Nil stays nil.
func (d *Driver) explain(ctx context.Context, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	doing := "hcloud: " + fmt.Sprintf(format, args...)
	if b, ok := errors.AsType[*provider.BudgetError](err); ok {
		return fmt.Errorf("%s: %w", doing, b)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	kind, hint := d.meaning(err)
	return &fleet.Error{Kind: kind, Text: doing, Hint: hint, Err: err}
}

// meaning finds what kind of error it is, and what a person does about it.
func (d *Driver) meaning(err error) (fleet.Kind, string) {
	if e, ok := errors.AsType[hcloud.Error](err); ok {
		return meaningOf(e.Code, statusOf(e))
	}
	if e, ok := errors.AsType[hcloud.ActionError](err); ok {
		if e.Code == string(hcloud.ErrorCodeLocked) || e.Code == string(hcloud.ErrorCodeConflict) {
			return fleet.Conflict, "the server is busy: try again"
		}
		return fleet.Unavailable, "the action failed at Hetzner: try again, and if it fails again ask Hetzner support"
	}
	if strings.ContainsFunc(d.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fleet.Unauthorized, tokenHint // hcloud-go refuses to send such a token
	}
	if errors.Is(err, hcloud.ErrStatusCode) {
		return fleet.Unavailable, outageHint + "; or the base URL is not that of the Cloud API"
	}
	return fleet.Unavailable, "check that this machine reaches " + DefaultURL + ", and https://status.hetzner.com"
}

func statusOf(e hcloud.Error) int {
	if r := e.Response(); r != nil && r.Response != nil {
		return r.StatusCode
	}
	return 0
}

const (
	tokenHint  = "create a token at https://console.hetzner.cloud (project, Security, API tokens, Read & Write) and give it to the account"
	outageHint = "the Cloud API seems to be out of order: https://status.hetzner.com"
)

// meaningOf is the table of codes.
func meaningOf(code hcloud.ErrorCode, status int) (fleet.Kind, string) {
	switch code {
	case hcloud.ErrorCodeUnauthorized:
		return fleet.Unauthorized, tokenHint
	case "token_readonly":
		return fleet.Forbidden, "the token may only read; " + tokenHint
	case hcloud.ErrorCodeForbidden:
		return fleet.Forbidden, "the token may not do this; " + tokenHint
	case hcloud.ErrorCodeNotFound:
		return fleet.NotFound, ""
	case hcloud.ErrorCodeLocked, hcloud.ErrorCodeConflict:
		return fleet.Conflict, "an earlier action on the server still runs: try again"
	case hcloud.ErrorCodeUniquenessError:
		return fleet.Conflict, "the project has this name already: take another"
	case hcloud.ErrorCodeProtected:
		return fleet.Invalid, "take the protection off at https://console.hetzner.cloud first"
	case hcloud.ErrorCodeResourceLocked:
		return fleet.Invalid, "Hetzner has locked it: ask Hetzner support"
	case hcloud.ErrorCodeResourceLimitExceeded:
		return fleet.Invalid, "the project's limit is reached: ask for more at https://console.hetzner.cloud"
	case hcloud.ErrorCodeMaintenance, hcloud.ErrorCodeServerError, hcloud.ErrorCodeBadGateway, hcloud.ErrorCodeTimeout,
		hcloud.ErrorCodeServiceError, hcloud.ErrorCodeUnknownError, hcloud.ErrorCodeResourceUnavailable, "unavailable":
		return fleet.Unavailable, outageHint
	case hcloud.ErrorDeprecatedAPIEndpoint:
		return fleet.Internal, "Hetzner has removed this call: a newer talos-manager is needed"
	}
	switch {
	case status >= http.StatusInternalServerError:
		return fleet.Unavailable, outageHint
	case status == http.StatusConflict || status == http.StatusLocked:
		return fleet.Conflict, "try again"
	}
	return fleet.Invalid, ""
}

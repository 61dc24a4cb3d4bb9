package robot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
)

// APIError is what Robot answers instead of a result. Code decides, never the status: the two were seen to differ
// between versions of the documentation.
type APIError struct {
	Status  int
	Code    string // SERVER_NOT_FOUND; "" if the answer was not Robot's
	Message string
	Missing []string // with INVALID_INPUT: parameters
	Invalid []string
	Path    string
	// Interval is the length of the window of a used up limit, in seconds, 0 if not said.
	Interval int
}

// Error is Robot's own words.
func (e *APIError) Error() string {
	if e.Code == "" {
		return strings.TrimSpace(fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status)))
	}
	text := fmt.Sprintf("%d %s", e.Status, e.Code)
	if e.Message != "" {
		text += ", " + strings.ToLower(e.Message[:1]) + e.Message[1:]
	}
	if len(e.Missing) > 0 {
		text += "; missing: " + strings.Join(e.Missing, ", ")
	}
	if len(e.Invalid) > 0 {
		text += "; invalid: " + strings.Join(e.Invalid, ", ")
	}
	return text
}

// hasCode says whether err is Robot's answer with one of the codes.
func hasCode(err error, codes ...string) bool {
	e, ok := errors.AsType[*APIError](err)
	return ok && slices.Contains(codes, e.Code)
}

// words is a list of names that Robot may also send as null, a single string or something else.
type words []string

func (w *words) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil && one != "" {
		*w = words{one}
		return nil
	}
	var many []any
	if json.Unmarshal(data, &many) == nil {
		for _, v := range many {
			*w = append(*w, fmt.Sprint(v))
		}
	}
	return nil
}

// refusal finds the error in an answer, nil if there is none. An error object counts whatever the status.
func refusal(r request, a answer) error {
	var body struct {
		Error struct {
			Code     string `json:"code"`
			Message  string `json:"message"`
			Missing  words  `json:"missing"`
			Invalid  words  `json:"invalid"`
			Interval int    `json:"interval"`
		} `json:"error"`
	}
	said := json.Unmarshal(a.body, &body) == nil && body.Error.Code != ""
	if a.ok() && !said {
		return nil
	}
	e := &APIError{
		Status: a.status, Code: body.Error.Code, Message: body.Error.Message, Path: r.path,
		Missing: body.Error.Missing, Invalid: body.Error.Invalid, Interval: body.Error.Interval,
	}
	if !said {
		return wordless(r, e)
	}
	kind, hint := meaning(e)
	if e.Code == "RESET_MANUAL_ACTIVE" {
		return &fleet.Error{Kind: kind, Text: r.String(), Hint: hint, Err: fmt.Errorf("a technician is at work on the server: %w", e)}
	}
	return &fleet.Error{Kind: kind, Text: r.String(), Hint: hint, Err: e}
}

// wordless explains an error answer without Robot's error object: the web server or something before it speaks.
func wordless(r request, e *APIError) error {
	kind, hint := fleet.Unavailable, "Robot seems to be out of order: https://status.hetzner.com"
	switch e.Status {
	case http.StatusUnauthorized:
		kind, hint = fleet.Unauthorized, ""
	case http.StatusForbidden:
		kind, hint = fleet.Forbidden, ""
	case http.StatusServiceUnavailable:
		hint = "Robot is in maintenance: https://status.hetzner.com"
	case http.StatusNotFound, http.StatusMovedPermanently, http.StatusFound:
		hint = "check that the base URL is that of the Robot webservice, " + DefaultURL
	}
	return &fleet.Error{Kind: kind, Text: r.String(), Hint: hint, Err: e}
}

// meaning is the table of codes: what kind of error each is, and what a person does about it.
func meaning(e *APIError) (fleet.Kind, string) {
	switch e.Code {
	case "UNAUTHORIZED":
		return fleet.Unauthorized, ""
	case "RATE_LIMIT_EXCEEDED":
		return fleet.Exhausted, ""
	case "INVALID_INPUT":
		return fleet.Invalid, ""
	case "SERVER_NOT_FOUND":
		return fleet.NotFound, "look at https://robot.hetzner.com/server whether the account still has it"
	case "BOOT_NOT_AVAILABLE", "RESET_NOT_AVAILABLE", "WOL_NOT_AVAILABLE":
		return fleet.Invalid, "Robot offers this not for this server: ask Hetzner support"
	case "RESET_MANUAL_ACTIVE":
		return fleet.Refused, "nothing else is ordered meanwhile: wait for the mail from Hetzner, then try again"
	case "VSWITCH_IN_PROCESS", "FIREWALL_IN_PROCESS":
		return fleet.Conflict, "Robot still works on an earlier change, up to two minutes: try again"
	case "BOOT_ALREADY_ENABLED", "BOOT_BLOCKED", "CONFLICT":
		return fleet.Conflict, "something else changes the server at this moment: try again"
	case "VSWITCH_VLAN_NOT_UNIQUE":
		return fleet.Invalid, "the server is in another vSwitch with the same VLAN: take it out there first"
	case "VSWITCH_LIMIT_REACHED", "VSWITCH_SERVER_LIMIT_REACHED", "VSWITCH_PER_SERVER_LIMIT_REACHED":
		return fleet.Invalid, "a vSwitch holds at most 100 servers, a server is in at most 5: take something out first"
	case "VSWITCH_NOT_AVAILABLE":
		return fleet.Invalid, "the server's location or product has no vSwitches: ask Hetzner support"
	case "BOOT_ACTIVATION_FAILED", "BOOT_DEACTIVATION_FAILED", "RESET_FAILED", "WOL_FAILED", "INTERNAL_ERROR":
		return fleet.Unavailable, "this passes as a rule: try again"
	}
	switch {
	case strings.HasSuffix(e.Code, "NOT_FOUND"):
		return fleet.NotFound, ""
	case e.Status == http.StatusConflict:
		return fleet.Conflict, ""
	case e.Status == http.StatusForbidden:
		return fleet.Forbidden, "give the webservice user this right at https://robot.hetzner.com/preferences/index"
	case e.Status >= 500:
		return fleet.Unavailable, "Robot seems to be out of order: https://status.hetzner.com"
	}
	return fleet.Invalid, ""
}

// unreachable explains that no answer came. A change may have happened all the same.
func unreachable(ctx context.Context, r request, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", r, err)
	}
	return &fleet.Error{
		Kind: fleet.Unavailable, Text: r.String(), Err: err,
		Hint: "check that this machine reaches " + DefaultURL + ", and https://status.hetzner.com",
	}
}

// garbled explains an answer that is not what the call promises.
func garbled(path string, why error) error {
	return &fleet.Error{
		Kind: fleet.Unavailable, Text: "robot: the answer to " + path + " makes no sense", Err: why,
		Hint: "Robot seems to be out of order, or the base URL is not its own: try again later",
	}
}

// noteLimit turns the refusal of a used up limit into a BudgetError and tells the budget. Robot says how long
// the window is, not when this one ends: its full length is waited, so that no second call is refused.
func (c *Client) noteLimit(ctx context.Context, group string, err error) error {
	e, ok := errors.AsType[*APIError](err)
	if !ok || e.Code != "RATE_LIMIT_EXCEEDED" {
		return err
	}
	interval := time.Duration(e.Interval) * time.Second
	if interval <= 0 {
		interval = time.Hour
	}
	until := time.Now().Add(interval)
	if err := c.budget.Exhaust(ctx, group, until); err != nil {
		return err
	}
	return &provider.BudgetError{Group: group, Until: until}
}

package robot

import (
	"context"
	"encoding/json"
	"net/url"
	"time"
	_ "time/tzdata" // Robot's times are of Europe/Berlin, which a small container does not know
)

// Rescue is a rescue boot: what could be (inactive), what is armed (active), or what was (GET …/last). Robot
// sends os and arch as lists of what is on offer while inactive and as scalars while active.
type Rescue struct {
	Active bool `json:"active"`
	OS     any  `json:"os"`
	Keys   []struct {
		Key struct {
			Name        string `json:"name"`
			Fingerprint string `json:"fingerprint"`
		} `json:"key"`
	} `json:"authorized_key"`
	HostKeys []HostKey `json:"host_key"` // empty until the rescue system has booted, and then only in …/last
	BootTime *string   `json:"boot_time"`
}

// HostKey of a rescue system: the SHA-256 of the key, unpadded base64, without a prefix.
type HostKey struct {
	Key struct {
		Fingerprint string `json:"fingerprint"`
		Type        string `json:"type"`
	} `json:"key"`
}

// Booted is when this rescue system booted, zero if it has not. Robot gives the wall clock of Berlin without an
// offset, so one hour a year is ambiguous: then it is the later one that is not after now.
func (r Rescue) Booted(now time.Time) (time.Time, error) {
	if r.BootTime == nil || *r.BootTime == "" {
		return time.Time{}, nil
	}
	return berlin(*r.BootTime, now)
}

type rescueAnswer struct {
	Rescue Rescue `json:"rescue"`
}

// Rescue reads what is armed.
func (c *Client) Rescue(ctx context.Context, number int64) (Rescue, error) {
	return c.rescue(ctx, at("/boot", number, "rescue"))
}

// LastRescue reads the last activation: after its boot, this is where the host keys are.
func (c *Client) LastRescue(ctx context.Context, number int64) (Rescue, error) {
	return c.rescue(ctx, at("/boot", number, "rescue", "last"))
}

func (c *Client) rescue(ctx context.Context, path string) (Rescue, error) {
	var a rescueAnswer
	err := c.get(ctx, path, &a)
	return a.Rescue, err
}

// ActivateRescue arms the next boot, for 60 minutes. Keys are MD5 fingerprints of keys the account has.
func (c *Client) ActivateRescue(ctx context.Context, number int64, keys ...string) error {
	form := url.Values{"os": {"linux"}, "authorized_key[]": keys}
	return c.post(ctx, at("/boot", number, "rescue"), form, &rescueAnswer{})
}

// Deactivate disarms a boot configuration: rescue, linux, vnc, windows, plesk or cpanel.
func (c *Client) Deactivate(ctx context.Context, number int64, configuration string) error {
	return c.delete(ctx, at("/boot", number, configuration), nil)
}

// ActiveBoot names the boot configuration that is armed, "" if none is. At most one can be.
func (c *Client) ActiveBoot(ctx context.Context, number int64) (string, error) {
	var a struct {
		Boot map[string]json.RawMessage `json:"boot"`
	}
	if err := c.get(ctx, at("/boot", number), &a); err != nil {
		return "", err
	}
	for name, raw := range a.Boot {
		var state struct {
			Active bool `json:"active"`
		}
		// A configuration that the server lacks is null or another shape: it is not active.
		if json.Unmarshal(raw, &state) == nil && state.Active {
			return name, nil
		}
	}
	return "", nil
}

// berlin reads one of Robot's times.
func berlin(text string, now time.Time) (time.Time, error) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.ParseInLocation(time.DateTime, text, zone)
	if err != nil {
		return time.Time{}, err
	}
	for _, later := range []time.Duration{time.Hour, -time.Hour} {
		other := t.Add(later)
		same := other.Format(time.DateTime) == text
		if same && (t.After(now) || (other.After(t) && !other.After(now))) {
			return other, nil
		}
	}
	return t, nil
}

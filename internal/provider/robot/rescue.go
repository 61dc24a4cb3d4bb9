package robot

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/wait"
)

// ArmRescue implements provider.Driver. An activation that stands is taken away first: it may be another's, with
// other keys, and a server was seen not to come back from an activation that was only confirmed.
func (d *Driver) ArmRescue(ctx context.Context, id string, key ssh.PublicKey) (string, error) {
	n, err := number(id)
	if err != nil {
		return "", err
	}
	replaced, err := d.armRescue(ctx, n, key)
	return replaced, during(err, "arm rescue of server %s", id)
}

func (d *Driver) armRescue(ctx context.Context, n int64, key ssh.PublicKey) (replaced string, err error) {
	armed, err := d.api.Rescue(ctx, n)
	if err != nil {
		return "", err
	}
	fingerprint := ssh.FingerprintLegacyMD5(key)
	if armed.Active {
		if err := d.api.Deactivate(ctx, n, "rescue"); err != nil {
			return "", err
		}
		replaced = armed.foreign(fingerprint)
	}
	err = d.activate(ctx, n, fingerprint)
	switch {
	case hasCode(err, "INVALID_INPUT"): // an unknown fingerprint
		if err := d.EnsureKey(ctx, provider.KeyName, key); err != nil {
			return replaced, err
		}
		return replaced, d.activate(ctx, n, fingerprint)
	case hasCode(err, "BOOT_ALREADY_ENABLED", "BOOT_BLOCKED"): // another boot configuration, or somebody was faster
		other, err := d.deactivateAny(ctx, n)
		if err != nil {
			return replaced, err
		}
		return other, d.activate(ctx, n, fingerprint)
	}
	return replaced, err
}

// foreign names an activation that is not for this key alone.
func (r Rescue) foreign(fingerprint string) string {
	var keys []string
	for _, k := range r.Keys {
		keys = append(keys, strings.TrimSpace(k.Key.Name+" "+k.Key.Fingerprint))
	}
	switch {
	case len(keys) == 0:
		return fmt.Sprintf("the system %v, with a password and no SSH key", r.OS)
	case len(keys) == 1 && r.Keys[0].Key.Fingerprint == fingerprint:
		return ""
	}
	return fmt.Sprintf("the system %v, for the SSH key %s", r.OS, strings.Join(keys, ", "))
}

// activate tries three times: BOOT_ACTIVATION_FAILED passes.
func (d *Driver) activate(ctx context.Context, n int64, fingerprint string) error {
	tries := 0
	return wait.Until(ctx, "Robot to activate rescue", d.every, func(ctx context.Context) (bool, error) {
		err := d.api.ActivateRescue(ctx, n, fingerprint)
		if tries++; hasCode(err, "BOOT_ACTIVATION_FAILED") && tries < 3 {
			return false, nil
		}
		return err == nil, err
	})
}

func (d *Driver) deactivateAny(ctx context.Context, n int64) (replaced string, err error) {
	active, err := d.api.ActiveBoot(ctx, n)
	if err != nil {
		return "", err
	}
	if active == "" {
		active = "rescue" // Robot said that something is armed; this is what we want to replace
	}
	return "the boot configuration " + active + ", which somebody else armed", d.api.Deactivate(ctx, n, active)
}

// RescueHostKeys implements provider.Driver. The keys appear some 80 s after the reset, a few seconds before the
// rescue system answers. since is compared with Robot's clock, to the second.
func (d *Driver) RescueHostKeys(ctx context.Context, id string, since time.Time) ([]string, error) {
	n, err := number(id)
	if err != nil {
		return nil, err
	}
	last, err := d.api.LastRescue(ctx, n)
	if hasCode(err, "NOT_FOUND") { // never rescued
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read rescue host keys of server %s: %w", id, err)
	}
	booted, err := last.Booted(time.Now())
	if err != nil {
		return nil, garbled(at("/boot", n, "rescue", "last"), err)
	}
	if booted.Before(since.Truncate(time.Second)) {
		return nil, nil
	}
	var keys []string
	for _, k := range last.HostKeys {
		keys = append(keys, "SHA256:"+strings.TrimRight(strings.TrimPrefix(k.Key.Fingerprint, "SHA256:"), "="))
	}
	return keys, nil
}

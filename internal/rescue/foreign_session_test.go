package rescue_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// boots has the machine boot a system of another make, that presents these host keys.
func (r *rig) boots(foreign *rescuehost.Foreign, keys ...ssh.Signer) {
	r.m.PowerCut()
	r.w.BootRescue = func(m *world.Machine, a world.Rescue) world.System {
		return rescuehost.NewForeign(m, a, rescuehost.Options{}, foreign)
	}
	r.m.Arm(&world.Rescue{Keys: []ssh.PublicKey{r.key.PublicKey()}, HostKeys: keys, At: time.Now(), OS: "linux"})
	r.m.PowerOn()
}

// reach opens a session once sshd listens.
func (r *rig) reach(t *testing.T, o rescue.Options) (*rescue.Session, error) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // to a machine that is off, nothing is refused
		up := rescue.Answers(ctx, o)
		cancel()
		if up {
			break
		}
	}
	s, err := rescue.Open(t.Context(), o)
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

func TestSystemsOfAnyMakeAreRescueSystemsIfTheyRunInMemory(t *testing.T) {
	for _, tc := range []struct {
		why     string
		foreign *rescuehost.Foreign
		anyMake bool
		text    string // of the refusal
	}{
		{"Debian live", rescuehost.DebianLive(), true, ""},
		{"another provider's", rescuehost.OVH(), true, ""},
		{"an installed system with its root in memory", rescuehost.Impermanent(), true, "its /nix is on /dev/sda2"},
		{"Debian live, where Hetzner's is expected", rescuehost.DebianLive(), false, "not Hetzner's rescue system"},
		{"another provider's of the same hostname, where Hetzner's is expected", rescuehost.OVH(), false, "not Hetzner's rescue system"},
	} {
		t.Run(tc.why, func(t *testing.T) {
			r := newRig(t, rescuehost.Options{}, nil)
			r.boots(tc.foreign, r.host)
			o := r.options()
			o.AnyMake = tc.anyMake
			s, err := r.reach(t, o)
			if err != nil {
				t.Fatal(err)
			}
			facts, err := s.Facts(t.Context())
			if tc.text == "" {
				if err != nil || facts.UUID == "" || len(facts.Disks) != 3 {
					t.Errorf("got %+v, %v", facts, err)
				}
				return
			}
			if fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), tc.text) || fleet.HintOf(err) == "" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// An operator has the fingerprint of one of a machine's host keys; which one sshd presents is for the client to ask.
func TestAnyOfAMachinesHostKeysMayBeTheOneThatWasGiven(t *testing.T) {
	r := newRig(t, rescuehost.Options{}, nil)
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := []ssh.Signer{r.host}
	for _, key := range []crypto.Signer{elliptical, old} {
		s, err := ssh.NewSignerFromSigner(key)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, s)
	}
	r.boots(rescuehost.DebianLive(), keys...)
	for _, key := range keys {
		o := r.options()
		o.AnyMake, o.Pins = true, []string{ssh.FingerprintSHA256(key.PublicKey())}
		s, err := r.reach(t, o)
		if err != nil || s.HostKey != o.Pins[0] {
			t.Errorf("%s: %v", key.PublicKey().Type(), err)
		}
	}
	o := r.options()
	o.AnyMake, o.Pins = true, []string{"SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"}
	if _, err := r.reach(t, o); !errors.Is(err, rescue.ErrHostKey) || fleet.KindOf(err) != fleet.Refused {
		t.Errorf("another key: %v", err)
	}
}

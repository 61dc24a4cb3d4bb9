package seal

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const place = "accounts/token/a1"

func TestOpenGivesBackWhatWasSealed(t *testing.T) {
	box := NewBox(NewKey())
	for _, plain := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("secret"), 10_000)} {
		sealed := box.Seal(plain, place)
		if len(plain) > 4 && bytes.Contains(sealed, []byte("secret")) {
			t.Fatal("the secret stands in the sealed value")
		}
		got, err := box.Open(sealed, place)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("Open = %d bytes, %v; want %d bytes", len(got), err, len(plain))
		}
	}
}

func TestSealingTwiceGivesDifferentValues(t *testing.T) {
	box := NewBox(NewKey())
	if bytes.Equal(box.Seal([]byte("same"), place), box.Seal([]byte("same"), place)) {
		t.Error("two sealings of one secret are equal: an observer learns that")
	}
}

func TestOpenRefuses(t *testing.T) {
	box := NewBox(NewKey())
	sealed := box.Seal([]byte("secret"), place)
	changed := func(at int) []byte {
		b := bytes.Clone(sealed)
		b[at] ^= 1
		return b
	}
	for _, test := range []struct {
		why    string
		sealed []byte
		ad     string
		want   string
	}{
		{"moved to another record", sealed, "accounts/token/a2", "another place"},
		{"changed ciphertext", changed(len(sealed) - 20), place, "was changed"},
		{"changed tag", changed(len(sealed) - 1), place, "was changed"},
		{"changed nonce", changed(headerSize), place, "was changed"},
		{"changed key id", changed(1), place, "sealed with key"},
		{"unknown version", changed(0), place, "version"},
		{"cut off", sealed[:minSize-1], place, "too few"},
		{"nothing", nil, place, "too few"},
	} {
		_, err := box.Open(test.sealed, test.ad)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Open = %v, want an error with %q", test.why, err, test.want)
		}
	}
}

func TestOpenSaysWhichKeyIsNeeded(t *testing.T) {
	old, now := NewKey(), NewKey()
	sealed := NewBox(old).Seal([]byte("secret"), place)
	_, err := NewBox(now).Open(sealed, place)
	if err == nil || !strings.Contains(err.Error(), old.ID()) || !strings.Contains(fleet.HintOf(err), old.ID()) {
		t.Errorf("Open with another key = %v, hint %q; want both to name key %s", err, fleet.HintOf(err), old.ID())
	}
	if fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("kind = %s, want %s: the setting is wrong", fleet.KindOf(err), fleet.Invalid)
	}
}

func TestRotatedBoxOpensOldAndSealsNew(t *testing.T) {
	old, now := NewKey(), NewKey()
	sealed := NewBox(old).Seal([]byte("secret"), place)
	box := NewBox(now, old)
	if got, err := box.Open(sealed, place); err != nil || string(got) != "secret" {
		t.Fatalf("Open of an old value = %q, %v", got, err)
	}
	if box.Current(sealed) {
		t.Error("a value sealed with the old key counts as current")
	}
	fresh := box.Seal([]byte("secret"), place)
	if id, _ := KeyIDOf(fresh); id != now.ID() || !box.Current(fresh) {
		t.Errorf("a new value is sealed with key %s, want %s", id, now.ID())
	}
}

func TestParseKey(t *testing.T) {
	k := NewKey()
	hexed := fmt.Sprintf("%x", k.bytes)
	for _, test := range []struct {
		why, text string
		ok        bool
	}{
		{"base64", k.Text(), true},
		{"base64 with a line end", k.Text() + "\n", true},
		{"base64 without padding", strings.TrimRight(k.Text(), "="), true},
		{"URL alphabet", strings.NewReplacer("+", "-", "/", "_").Replace(k.Text()), true},
		{"hex", hexed, true},
		{"half a key", hexed[:32], false},
		{"nothing", "", false},
		{"words without the prefix", "correct horse battery staple", false},
		{"short passphrase", "passphrase:hunter2", false},
	} {
		got, err := ParseKey(test.text)
		if (err == nil) != test.ok || test.ok && got != k {
			t.Errorf("%s: ParseKey = %v, %v; want ok %v", test.why, got, err, test.ok)
		}
		if err != nil && fleet.HintOf(err) == "" {
			t.Errorf("%s: no hint says what to write instead", test.why)
		}
	}
}

func TestPassphraseIsTheSameKeyEverywhere(t *testing.T) {
	a, err := ParseKey("passphrase: correct horse battery staple")
	if err != nil {
		t.Fatal(err)
	}
	// Fixed: a changed derivation would lock everybody out.
	if want := "b5b0424501d18d19"; a.ID() != want {
		t.Errorf("key id = %s, want %s", a.ID(), want)
	}
	if b, _ := ParseKey("passphrase:correct horse battery stapler"); b == a {
		t.Error("two passphrases give one key")
	}
}

func TestParseBoxRefusesNoKey(t *testing.T) {
	for _, text := range []string{"", "\n", "# only a comment\n"} {
		if _, err := ParseBox(text); err == nil {
			t.Errorf("ParseBox(%q) worked", text)
		}
	}
}

func TestKeyDoesNotPrintItself(t *testing.T) {
	k := NewKey()
	for _, verb := range []string{"%v", "%s", "%+v", "%#v"} {
		if got := fmt.Sprintf(verb, k); got != "key "+k.ID() {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

func TestKeyFileIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "key")
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			box, err := LoadOrCreate(path)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = box.KeyID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("programs that started at once have different keys: %v", ids)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v; want 0600", info.Mode(), err)
	}
	rest, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".key-*"))
	if len(rest) != 0 {
		t.Errorf("left behind: %v", rest)
	}
}

func TestKeyFileWithOlderKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	old, now := NewKey(), NewKey()
	if err := os.WriteFile(path, []byte("# new\n"+now.Text()+"\n\n# old\n"+old.Text()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	box, err := LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := box.Open(NewBox(old).Seal(nil, place), place); err != nil || box.KeyID() != now.ID() {
		t.Errorf("seals with %s (want %s); the older key: %v", box.KeyID(), now.ID(), err)
	}
}

func TestKeyFileRefused(t *testing.T) {
	for _, test := range []struct {
		why, text string
		mode      os.FileMode
		want      string
	}{
		{"everybody may read it", NewKey().Text(), 0o644, "chmod 600"},
		{"damaged", "garbage\n", 0o600, "openssl"},
		{"empty", "", 0o600, "openssl"},
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(test.text), test.mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadOrCreate(path)
		if err == nil || !strings.Contains(fleet.HintOf(err), test.want) {
			t.Errorf("%s: LoadOrCreate = %v, hint %q; want a hint with %q", test.why, err, fleet.HintOf(err), test.want)
		}
	}
}

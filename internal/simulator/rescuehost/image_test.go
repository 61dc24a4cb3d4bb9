package rescuehost

import (
	"strings"
	"testing"
)

// What GNU's tools and zstd's print for the same input.
func TestChecksumsAndDumpsAreThoseOfTheRealTools(t *testing.T) {
	c := newRig(t, Options{}, nil).dial()
	for _, tc := range []struct{ command, want string }{
		{"printf talos | cksum", "1039440600 5\n"},
		{"cksum </dev/null", "4294967295 0\n"},
		{"zstd --no-asyncio -V", "*** Zstandard CLI (64-bit) v1.5.4, by Yann Collet ***\n"},
		{"printf talos | zstd -q -c --check --fast=100 | tail -c 4 | od -An -v -tx1", " 43 ea 5c d8\n"},
		{"printf abcdef | od -An -v -tu1 -N4 -w32", "  97  98  99 100\n"},
		{"printf abcdef | od -An -v -tx1 -w3", " 61 62 63\n 64 65 66\n"},
		{"date -u -d 'Fri, 20 Nov 2026 17:00:54 GMT' +%s", "1795194054\n"},
	} {
		if got := script(t, c, tc.command); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.command, got, tc.want)
		}
	}
}

func TestAHoleReadsAsZeroWhereTheDiskCanMakeOne(t *testing.T) {
	const fill = "head -c 8192 /dev/zero | tr '\\0' x | dd of=/dev/nvme0n1 bs=4k conv=fsync status=none; "
	const look = "; echo $?; dd if=/dev/nvme0n1 bs=4k count=2 status=none | tr -d '\\0' | wc -c; read -ra s </sys/block/nvme0n1/stat; echo ${s[6]}"
	for _, tc := range []struct {
		why, command, want string
		o                  Options
	}{
		{"a hole is made", "fallocate --punch-hole --offset 0 --length 4096 /dev/nvme0n1", "0\n4096\n16\n", Options{}},
		{"the disk forgets nothing", "fallocate --punch-hole --offset 0 --length 4096 /dev/nvme0n1 2>/dev/null", "1\n8192\n16\n", Options{TrimIsAdvisory: true}},
		{"no whole sector", "fallocate --punch-hole --offset 0 --length 100 /dev/nvme0n1 2>/dev/null", "1\n8192\n16\n", Options{}},
		{"zstd leaves zeroes out", "{ printf a; head -c 9000000 /dev/zero; printf b; } | zstd -q -c | zstd -dqf --sparse -o /dev/nvme0n1", "0\n", Options{}},
	} {
		c := newRig(t, tc.o, nil).dial()
		if got := script(t, c, fill+tc.command+look); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s: got %q, want %q", tc.why, got, tc.want)
		}
	}
}

func TestCurlSaysHowMuchCameBeforeItFailed(t *testing.T) {
	c := newRig(t, Options{}, nil).dial()
	got, text, status := run(t, c, "curl -fsS -C 5 -w '%{stderr}got=%{size_download} code=%{http_code}\\n' http://nobody.sim/a", nil)
	if got != "" || status == 0 || !strings.Contains(text, "got=0 code=000") {
		t.Errorf("got %q, %q, %d", got, text, status)
	}
}

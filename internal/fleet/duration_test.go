package fleet

import (
	"testing"
	"time"
)

func TestDurationsInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 ms", 0: "0 ms", 340 * time.Millisecond: "340 ms", 48 * time.Second: "48 s", time.Minute: "1 min",
		59*time.Second + 700*time.Millisecond: "1 min", 90 * time.Second: "1 min 30 s", 10 * time.Minute: "10 min",
		time.Hour: "1 h", 59*time.Minute + 59*time.Second + 900*time.Millisecond: "1 h", 90 * time.Minute: "1 h 30 min",
		24 * time.Hour: "1 d", 49 * time.Hour: "2 d 1 h", 48*time.Hour - time.Minute: "2 d", 7 * 24 * time.Hour: "7 d",
	} {
		if got := InWords(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

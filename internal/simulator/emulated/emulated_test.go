package emulated

import (
	"context"
	"testing"
	"time"
)

func TestRescueSystemBootsWithBothFirmwares(t *testing.T) {
	for _, firmware := range []Firmware{BIOS, UEFI} {
		t.Run(string(firmware), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			m := New(t, Options{Firmware: firmware})
			start := time.Now()
			if err := m.BootRescue(ctx); err != nil {
				t.Fatal(err)
			}
			t.Log(time.Since(start))
			out, err := m.Run(ctx, "hostname; cat /sys/class/dmi/id/product_uuid")
			t.Log(out, err)
		})
	}
}

package main

import (
	"slices"
	"testing"
)

// The two zeroes that end a structure without texts count, too.
func TestMemoryIsWhatSMBIOSSaysOfItsModules(t *testing.T) {
	device := func(size uint16, extended byte) []byte {
		b := make([]byte, 34)
		b[0], b[1], b[12], b[13], b[31] = 17, 34, byte(size), byte(size>>8), extended
		return b
	}
	bios := append(make([]byte, 24), "QEMU\x001.0\x00\x00"...)
	bios[1] = 24
	end := []byte{127, 4, 0, 0, 0, 0}
	table := slices.Concat(bios, device(1024, 0), []byte("DIMM 0\x00\x00"), device(0, 0), []byte("DIMM 1\x00\x00"), device(0xffff, 0), []byte{0, 0}, device(0x8200, 0), []byte{0, 0}, device(0x7fff, 1), []byte{0, 0}, end)
	if got, want := memory(table), int64(1024<<20+512<<10+1<<24<<20); got != want {
		t.Errorf("%d bytes, not %d", got, want)
	}
	for n := range table { // a torn one ends it
		memory(table[:n])
	}
}

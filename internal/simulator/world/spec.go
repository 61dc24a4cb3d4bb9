package world

import (
	"fmt"
	"time"
)

// complete fills in what a Spec leaves open.
func (w *World) complete(s Spec) Spec {
	if s.Arch == "" {
		s.Arch = "amd64"
	}
	if s.UUID == "" {
		s.UUID = w.uuid()
	}
	if s.Manufacturer == "" {
		s.Manufacturer = map[Kind]string{Dedicated: "ASUS", Cloud: "Hetzner"}[s.Kind]
	}
	if s.Serial == "" {
		s.Serial = fmt.Sprint(s.Number) // on the Cloud the serial is the server id
	}
	if s.CPU == "" {
		s.CPU = map[Kind]string{Dedicated: "AMD Ryzen 5 3600 6-Core Processor", Cloud: "Intel Xeon Processor (Skylake)"}[s.Kind]
	}
	if s.Cores == 0 {
		s.Cores = map[Kind]int{Dedicated: 12, Cloud: 2}[s.Kind]
	}
	if s.MemoryBytes == 0 {
		s.MemoryBytes = map[Kind]int64{Dedicated: 64 << 30, Cloud: 4 << 30}[s.Kind]
	}
	if s.MAC == "" {
		s.MAC = fmt.Sprintf("90:1b:%02x:%02x:%02x:%02x", int(s.Kind), byte(s.Number>>16), byte(s.Number>>8), byte(s.Number))
	}
	if s.BootTime == 0 {
		s.BootTime = map[Kind]time.Duration{Dedicated: 40 * time.Second, Cloud: 8 * time.Second}[s.Kind]
	}
	return s
}

func (w *World) uuid() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, b := w.rand.Uint64(), w.rand.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(a), uint16(a>>32), uint16(a>>48)&0xfff, uint16(b)&0xfff, (b>>16)&0xffffffffffff)
}

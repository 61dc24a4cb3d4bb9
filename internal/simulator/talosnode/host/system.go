package host

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// Memory in KiB. How much is used is a fixed share of what the machine has.
func (h *Host) Memory(context.Context, *emptypb.Empty) (*machine.MemoryResponse, error) {
	total := uint64(h.options.Machine.MemoryBytes) >> 10
	part := func(n uint64) uint64 { return max(1, total/n) }
	m := &machine.MemInfo{
		Memtotal: total, Memfree: total - part(3), Memavailable: total - part(8), Buffers: part(256), Cached: part(5),
		Active: part(9), Inactive: part(6), Activeanon: part(4096), Inactiveanon: part(14), Activefile: part(9), Inactivefile: part(10),
		Unevictable: part(1700), Mlocked: part(1800), Dirty: part(20000), Anonpages: part(14), Mapped: part(19), Shmem: part(1900),
		Slab: part(14), Sreclaimable: part(15), Sunreclaim: part(177), Kernelstack: part(1700), Pagetables: part(1100),
		Commitlimit: total / 2, Committedas: part(3), Vmalloctotal: 34359738367, Vmallocused: 27664, Hugepagesize: 2048,
		Directmap4K: 30720, Directmap2M: 2066432, Directmap1G: total,
	}
	return &machine.MemoryResponse{Messages: []*machine.Memory{{Meminfo: m}}}, nil
}

// up are the seconds since boot.
func (h *Host) up() float64 { return max(1, time.Since(h.options.Booted).Seconds()) }

// SystemStat is /proc/stat: a machine that is nine tenths idle.
func (h *Host) SystemStat(context.Context, *emptypb.Empty) (*machine.SystemStatResponse, error) {
	up, cores := h.up(), float64(h.options.Machine.Cores)
	one := func(n float64) *machine.CPUStat {
		return &machine.CPUStat{
			User: up * n * .05, Nice: up * n * .001, System: up * n * .03, Idle: up * n * .9, Iowait: up * n * .01,
			SoftIrq: up * n * .005, Steal: up * n * .001, Guest: up * n * .0001,
		}
	}
	s := &machine.SystemStat{
		BootTime: uint64(h.options.Booted.Unix()), CpuTotal: one(cores), IrqTotal: uint64(up * 1500), Irq: make([]uint64, 64),
		ContextSwitches: uint64(up * 3000), ProcessCreated: uint64(up*10) + 200, ProcessRunning: 1, SoftIrqTotal: uint64(up * 900),
		SoftIrq: &machine.SoftIRQStat{Timer: uint64(up * 300), NetRx: uint64(up * 200), Block: uint64(up * 50), Sched: uint64(up * 250), Rcu: uint64(up * 100)},
	}
	for range h.options.Machine.Cores {
		s.Cpu = append(s.Cpu, one(1))
	}
	return &machine.SystemStatResponse{Messages: []*machine.SystemStat{s}}, nil
}

// CPUInfo is /proc/cpuinfo.
func (h *Host) CPUInfo(context.Context, *emptypb.Empty) (*machine.CPUInfoResponse, error) {
	m, vendor := h.options.Machine, "AuthenticAMD"
	if strings.Contains(m.CPU, "Intel") {
		vendor = "GenuineIntel"
	}
	all := &machine.CPUsInfo{}
	for i := range m.Cores {
		id := strconv.Itoa(i)
		all.CpuInfo = append(all.CpuInfo, &machine.CPUInfo{
			Processor: uint32(i), VendorId: vendor, CpuFamily: "25", Model: "17", ModelName: m.CPU, Stepping: "1", Microcode: "0x1000065",
			CpuMhz: 3600, CacheSize: "1024 KB", PhysicalId: "0", Siblings: uint32(m.Cores), CoreId: id, CpuCores: uint32(m.Cores),
			ApicId: id, InitialApicId: id, Fpu: "yes", FpuException: "yes", CpuIdLevel: 28, Wp: "yes",
			Flags: []string{"fpu", "vme", "sse", "sse2", "ht", "lm", "aes", "avx", "avx2", "sha_ni"}, BogoMips: 7200,
			ClFlushSize: 64, CacheAlignment: 64, AddressSizes: "48 bits physical, 48 bits virtual",
		})
	}
	return &machine.CPUInfoResponse{Messages: []*machine.CPUsInfo{all}}, nil
}

// CPUFreqStats of a machine whose kernel does not scale.
func (h *Host) CPUFreqStats(context.Context, *emptypb.Empty) (*machine.CPUFreqStatsResponse, error) {
	all := &machine.CPUsFreqStats{}
	for range h.options.Machine.Cores {
		all.CpuFreqStats = append(all.CpuFreqStats, &machine.CPUFreqStats{})
	}
	return &machine.CPUFreqStatsResponse{Messages: []*machine.CPUsFreqStats{all}}, nil
}

// LoadAvg of a quiet machine.
func (h *Host) LoadAvg(context.Context, *emptypb.Empty) (*machine.LoadAvgResponse, error) {
	return &machine.LoadAvgResponse{Messages: []*machine.LoadAvg{{Load1: .57, Load5: .59, Load15: 1.36}}}, nil
}

// NetworkDeviceStats of lo and the links.
func (h *Host) NetworkDeviceStats(context.Context, *emptypb.Empty) (*machine.NetworkDeviceStatsResponse, error) {
	s := &machine.NetworkDeviceStats{Total: &machine.NetDev{}}
	names := append([]string{"lo"}, ask(h.options.Links)...)
	for i, name := range names {
		packets := uint64(h.up() * 100 / float64(i+1))
		d := &machine.NetDev{Name: name, RxBytes: packets * 1200, RxPackets: packets, TxBytes: packets * 760, TxPackets: packets}
		s.Devices = append(s.Devices, d)
		s.Total.RxBytes += d.RxBytes
		s.Total.RxPackets += d.RxPackets
		s.Total.TxBytes += d.TxBytes
		s.Total.TxPackets += d.TxPackets
	}
	slices.Sort(names)
	s.Total.Name = strings.Join(names, ", ")
	return &machine.NetworkDeviceStatsResponse{Messages: []*machine.NetworkDeviceStats{s}}, nil
}

// DiskStats of the machine's disks: what was written is what the world saw written.
func (h *Host) DiskStats(context.Context, *emptypb.Empty) (*machine.DiskStatsResponse, error) {
	s := &machine.DiskStats{Total: &machine.DiskStat{}}
	for _, disk := range h.options.Machine.Disks {
		d := h.diskStat(disk)
		s.Devices = append(s.Devices, d)
		t := s.Total
		t.ReadCompleted += d.ReadCompleted
		t.ReadMerged += d.ReadMerged
		t.ReadSectors += d.ReadSectors
		t.ReadTimeMs += d.ReadTimeMs
		t.WriteCompleted += d.WriteCompleted
		t.WriteMerged += d.WriteMerged
		t.WriteSectors += d.WriteSectors
		t.WriteTimeMs += d.WriteTimeMs
		t.IoTimeMs += d.IoTimeMs
		t.IoTimeWeightedMs += d.IoTimeWeightedMs
		t.DiscardCompleted += d.DiscardCompleted
		t.DiscardMerged += d.DiscardMerged
		t.DiscardSectors += d.DiscardSectors
		t.DiscardTimeMs += d.DiscardTimeMs
	}
	return &machine.DiskStatsResponse{Messages: []*machine.DiskStats{s}}, nil
}

func (h *Host) diskStat(disk *world.Disk) *machine.DiskStat {
	sectors, up := uint64(disk.Written())/512, uint64(h.up())
	return &machine.DiskStat{
		Name: disk.Name, ReadCompleted: 2000 + up, ReadMerged: 80, ReadSectors: 90000 + up*8, ReadTimeMs: 400 + up,
		WriteCompleted: sectors/64 + up, WriteMerged: sectors/512 + up/2, WriteSectors: sectors + up*8, WriteTimeMs: sectors/2000 + up,
		IoTimeMs: 500 + up, IoTimeWeightedMs: 900 + 2*up, DiscardCompleted: 8, DiscardMerged: 1, DiscardSectors: 65536, DiscardTimeMs: 12,
	}
}

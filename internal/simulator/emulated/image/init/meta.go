package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/meta"

	"github.com/talos-manager/talos-manager/internal/simulator/emulated/image/console"
)

// META: a block of 256 KiB, twice, big-endian (siderolabs/go-adv v1.0.0 adv/talos).
const (
	block     = 256 << 10
	magic     = 0x5a4b3c2d // at the start; then tag u32, size u32, value, until the tag is 0
	magicEnd  = 0xa5b4c3d2 // in the last 4 bytes
	sumOffset = block - 36 // sha256 of the block, these 32 bytes zero
)

// Keys (talos pkg/machinery/meta/constants.go).
const (
	keyNetwork = 0x0a
	keyCode    = 0x0b
	keyUUID    = 0x0f
)

// patience is how long disks may take to appear.
const patience = 5 * time.Second

// readMeta finds the partition named META and reads it. A Talos that is not installed yet has none; the kernel command line
// may have values for it (talos ReloadMeta in v1alpha1_sequencer_tasks.go).
func (m *machine) readMeta() error {
	disks, err := metaPartitions()
	for begun := time.Now(); err == nil && len(disks) == 0 && time.Since(begun) < patience; {
		time.Sleep(50 * time.Millisecond)
		disks, err = metaPartitions()
	}
	if err != nil {
		return err
	}
	if len(disks) == 0 {
		return m.metaOfCommandLine()
	}
	for _, disk := range disks {
		values, err := decodeFile("/dev/" + disk)
		if err != nil {
			m.say(console.Event{Name: console.Meta, Disk: disk, Text: err.Error()})
			continue
		}
		m.learn(disk, values)
	}
	return nil
}

func (m *machine) metaOfCommandLine() error {
	for _, text := range arguments(m.cmdline, constants.KernelParamEnvironment) {
		encoded, ok := strings.CutPrefix(text, constants.MetaValuesEnvVar+"=")
		if !ok {
			continue
		}
		list, err := meta.DecodeValues(encoded)
		if err != nil {
			return fmt.Errorf("META values of the kernel command line: %w", err)
		}
		values := map[uint32]string{}
		for _, v := range list {
			values[uint32(v.Key)] = v.Value
		}
		m.learn("", values)
	}
	return nil
}

// learn takes values over; the first ones win.
func (m *machine) learn(disk string, values map[uint32]string) {
	shown := map[string]string{}
	for tag, value := range values {
		shown[fmt.Sprintf("%#x", tag)] = value
	}
	m.say(console.Event{Name: console.Meta, Disk: disk, Values: shown})
	if m.meta != nil {
		return
	}
	m.meta = values
	if override := values[keyUUID]; override != "" {
		m.uuid = override
	}
}

// metaPartitions are the names of the block devices whose partition is labelled META.
func metaPartitions() ([]string, error) {
	files, err := filepath.Glob("/sys/class/block/*/uevent")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && slices.Contains(strings.Fields(string(text)), "PARTNAME=META") {
			found = append(found, filepath.Base(filepath.Dir(file)))
		}
	}
	return found, nil
}

func decodeFile(path string) (map[uint32]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	both := make([]byte, 2*block)
	if _, err := io.ReadFull(f, both); err != nil {
		return nil, err
	}
	return decode(both)
}

// decode reads the first copy that is whole.
func decode(both []byte) (map[uint32]string, error) {
	first, err := decodeBlock(both[:block])
	if err == nil {
		return first, nil
	}
	second, err2 := decodeBlock(both[block:])
	if err2 == nil {
		return second, nil
	}
	return nil, fmt.Errorf("first copy: %w; second copy: %w", err, err2)
}

func decodeBlock(b []byte) (map[uint32]string, error) {
	be := binary.BigEndian
	if be.Uint32(b) != magic || be.Uint32(b[block-4:]) != magicEnd {
		return nil, fmt.Errorf("it is not META: %x … %x", b[:4], b[block-4:])
	}
	plain := bytes.Clone(b)
	clear(plain[sumOffset : sumOffset+sha256.Size])
	if sum := sha256.Sum256(plain); !bytes.Equal(sum[:], b[sumOffset:sumOffset+sha256.Size]) {
		return nil, fmt.Errorf("its checksum is wrong")
	}
	values := map[uint32]string{}
	for rest := b[4:sumOffset]; len(rest) >= 8; {
		tag, size := be.Uint32(rest), be.Uint32(rest[4:])
		if tag == 0 {
			break
		}
		if int(size) > len(rest)-8 {
			return nil, fmt.Errorf("value %#x is longer than the block", tag)
		}
		values[tag] = string(rest[8 : 8+size])
		rest = rest[8+size:]
	}
	return values, nil
}

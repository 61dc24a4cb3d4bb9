package schema

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config/types/block"
	"github.com/siderolabs/talos/pkg/machinery/config/types/meta"
	"github.com/siderolabs/talos/pkg/machinery/config/types/network"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
	"github.com/siderolabs/talos/pkg/machinery/nethelpers"
	"go.yaml.in/yaml/v4"
)

// redacted is what takes the place of a key in a config that is shown to people; Talos decodes it.
const redacted = "******"

// checkScalar says whether Talos' decoder takes a single value (or, for args, a list) for a type. The error is for
// people: it says what is wanted.
func checkScalar(f form, n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode && f.typ != "args" {
		return fmt.Errorf("wants %s, not %s", article(f), shape(n))
	}
	switch f.typ {
	case "string", "text", "cel", "disk type":
		return text(f, n)
	case "enum":
		if !slices.ContainsFunc(f.values, func(v string) bool { return strings.EqualFold(v, n.Value) }) {
			return fmt.Errorf("%q is not one of %s", n.Value, strings.Join(f.values, ", "))
		}
		return nil
	case "base64":
		if _, err := base64.StdEncoding.DecodeString(n.Value); err != nil && n.Value != redacted {
			return fmt.Errorf("wants base64, without spaces")
		}
		return nil
	case "args":
		return args(f, n)
	}
	if decodes(f.typ, n) {
		return nil
	}
	return fmt.Errorf("wants %s, not %q", article(f), n.Value)
}

// text takes everything but dates, which the YAML decoder keeps apart.
func text(f form, n *yaml.Node) error {
	switch n.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool":
		return nil
	}
	if f.typ != "string" {
		return nil // decodes itself from the text
	}
	if decodesAs[string](n) {
		return nil
	}
	return fmt.Errorf("wants text: put quotes around %s", n.Value)
}

// args are the values of a command line flag: one, or a list of them.
func args(f form, n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		return text(form{typ: "string"}, n)
	}
	if n.Kind != yaml.SequenceNode {
		return fmt.Errorf("wants %s, not %s", article(f), shape(n))
	}
	for _, e := range n.Content {
		if e = target(e); e.Kind != yaml.ScalarNode {
			return fmt.Errorf("wants a list of text, not of %s", shape(e))
		}
	}
	return nil
}

// decodes asks the decoder of the library.
func decodes(typ string, n *yaml.Node) bool {
	switch typ {
	case "bool":
		return decodesAs[bool](n)
	case "int32":
		return decodesAs[int32](n)
	case "int64":
		return decodesAs[int64](n)
	case "uint8":
		return decodesAs[uint8](n)
	case "uint16":
		return decodesAs[uint16](n)
	case "uint32":
		return decodesAs[uint32](n)
	case "uint64":
		return decodesAs[uint64](n)
	case "duration":
		return decodesAs[time.Duration](n)
	case "ip":
		return decodesAs[netip.Addr](n)
	case "prefix":
		return decodesAs[netip.Prefix](n)
	case "ipport":
		return decodesAs[netip.AddrPort](n)
	case "mac":
		return decodesAs[nethelpers.HardwareAddr](n)
	case "url":
		return decodesAs[meta.URL](n)
	case "ports":
		return decodesAs[network.PortRange](n)
	case "size":
		return decodesAs[block.ByteSize](n)
	case "disk size":
		return decodesAs[v1alpha1.DiskSize](n)
	case "size or percentage":
		return decodesAs[block.Size](n)
	case "failover":
		return decodesAs[nethelpers.FailOverMAC](n)
	case "size match":
		return decodesAs[v1alpha1.InstallDiskSizeMatcher](n)
	}
	return true
}

func decodesAs[T any](n *yaml.Node) bool {
	var v T
	return n.Decode(&v) == nil
}

// article is what a form takes, for a sentence.
func article(f form) string {
	switch f.typ {
	case object, mapping:
		return "a map"
	case list:
		return "a list"
	case anything:
		return "anything"
	case "bool":
		return "true or false"
	case "string", "text", "cel":
		return "text"
	case "enum", "disk type":
		return "one of " + strings.Join(f.values, ", ")
	case "int8", "int16", "int32", "int64", "float":
		return "a number"
	case "uint8", "uint16", "uint32", "uint64":
		return "a whole number" + map[string]string{"uint8": " up to 255", "uint16": " up to 65535"}[f.typ]
	}
	return map[string]string{
		"duration": "a duration like 10m", "ip": "an IP address", "prefix": "a network like 10.0.0.0/8", "ipport": "an address and port",
		"mac": "a MAC address", "url": "a URL", "ports": "a port or a range like 80-90", "size": "a size like 10GB", "disk size": "a size like 10GB",
		"size or percentage": "a size like 10GB or 20%", "size match": "a size like >= 100GB", "base64": "base64",
		"failover": "one of none, active, follow", "args": "text or a list of text", "percentage": "a percentage",
	}[f.typ]
}

// shape is what a node is, for a sentence.
func shape(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a map"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str":
		return "text"
	}
	return fmt.Sprintf("%q", shown(n.Value))
}

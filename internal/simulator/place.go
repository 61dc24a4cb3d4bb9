package simulator

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// place is the range of addresses that a world's machines have. Exposed worlds share the loopback addresses of
// one computer, and its ports with whatever else runs there.
type place struct {
	first, second byte         // bytes of the dedicated machines' addresses; the Cloud's are in the next network
	claim         net.Listener // keeps other worlds out
}

// choosePlace takes the range set apart for measuring (RFC 2544), 198.18.0.0/15, or, for an exposed world, the first
// of 127.18.0.0/15, 127.20.0.0/15, … that no other world has. Where somebody listens on port 22 of all addresses,
// the world has to do with 2222.
func choosePlace(o *world.Options) (*place, error) {
	if !o.Expose {
		return &place{first: 198, second: 18}, nil
	}
	var err error
	for second := byte(18); second < 250; second += 2 {
		p := &place{first: 127, second: second}
		if p.claim, err = net.Listen("tcp", p.at(50001)); err != nil {
			continue
		}
		if ssh, err := net.Listen("tcp", p.at(22)); err != nil {
			o.Unprivileged = true
		} else {
			ssh.Close()
		}
		return p, nil
	}
	return nil, fmt.Errorf("no loopback addresses for the machines: %w", err)
}

// at is a port of an address that no machine gets.
func (p *place) at(port uint16) string {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{p.first, p.second, 255, 254}), port).String()
}

func (p *place) network(k world.Kind) [2]byte {
	if k == world.Cloud {
		return [2]byte{p.first, p.second + 1}
	}
	return [2]byte{p.first, p.second}
}

func (p *place) leave() {
	if p.claim != nil {
		p.claim.Close()
	}
}

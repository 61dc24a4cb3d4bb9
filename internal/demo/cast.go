package demo

import (
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/talos-manager/talos-manager/internal/simulator"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// An account of Robot has 50 resets an hour, one of the Cloud 3600 calls: more servers are spread over more accounts,
// as one would in life.
const (
	perRobot = 30
	perCloud = 100
)

// cast is who plays: the accounts, and the servers by name with the disk to install on.
type cast struct {
	logins   []hetzner.Login
	tokens   []string
	machines []*world.Machine
}

// populate starts a simulator and rents the servers: two in five are dedicated.
func populate(o Options) (*simulator.Simulator, *cast, error) {
	dedicated := max(1, o.Servers*2/5)
	cloud := o.Servers - dedicated
	c := &cast{}
	for i := range (dedicated + perRobot - 1) / perRobot {
		c.logins = append(c.logins, hetzner.Login{User: fmt.Sprintf("#ws+demo%04d", i+1), Password: fmt.Sprintf("demo-password-%d", i+1)})
	}
	for i := range (cloud + perCloud - 1) / perCloud {
		c.tokens = append(c.tokens, hetzner.Token(fmt.Sprintf("demo %d", i+1)))
	}
	so := simulator.Options{
		World:  world.Options{Speed: o.Speed, Seed: o.Faults, Expose: o.Expose, Unprivileged: os.Geteuid() != 0},
		Robot:  hetzner.RobotOptions{Logins: c.logins},
		Rescue: rescuehost.Options{},
	}
	for _, token := range c.tokens {
		so.Cloud.Projects = append(so.Cloud.Projects, hetzner.Project{Token: token})
	}
	sim, err := simulator.New(so)
	if err != nil {
		return nil, nil, err
	}
	d, v := 0, 0
	for i, name := range names(o.Servers) {
		if v >= cloud || d < dedicated && i%5%3 == 0 { // of each five the first and the fourth
			c.machines = append(c.machines, sim.AddDedicated(c.logins[d/perRobot].User, name))
			d++
			continue
		}
		c.machines = append(c.machines, sim.AddCloud(c.tokens[v/perCloud], name))
		v++
	}
	if o.Faults != 0 {
		c.misfortunes(o.Faults)
	}
	return sim, c, nil
}

// names are three control planes (one, of fewer than three servers) and workers.
func names(n int) []string {
	planes := 3
	if n < 3 {
		planes = 1
	}
	var out []string
	for i := range n {
		if i < planes {
			out = append(out, fmt.Sprintf("control-plane-%d", i+1))
		} else {
			out = append(out, fmt.Sprintf("worker-%d", i+1-planes))
		}
	}
	return out
}

// misfortunes injects faults that an install has to survive by itself: about every second machine gets one.
func (c *cast) misfortunes(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	faults := []func(*world.Faults){
		func(f *world.Faults) { f.RescueBootTime = 330 * 1e9 },
		func(f *world.Faults) { f.SSHDrops = 1 + r.IntN(2) },
		func(f *world.Faults) { f.RescueOldSystem = 1 },
		func(f *world.Faults) { f.ResetIgnored = 1 },
	}
	for _, m := range c.machines {
		if r.IntN(2) == 0 {
			m.Fault(faults[r.IntN(len(faults))])
		}
	}
}

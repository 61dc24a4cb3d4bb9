package manage

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/machineconfig"
)

// Offers are versions that a cluster can be made of, newest first.
type Offers struct {
	Talos      []string
	Kubernetes []string // that the Talos minors bring; others do, too, within Siderolabs' table
	Problem    string   // why the image factory's list is not in it, "" if it is
}

// oldestOffered is the oldest minor that is offered; older ones can be typed.
const oldestOffered = "v1.9.0"

const (
	offersTime  = time.Second // for the factory: a page waits for it
	offersPause = time.Minute // before one that did not answer is asked again
)

// offers remembers that the factory did not answer.
type offers struct {
	mu      sync.Mutex
	at      time.Time
	problem string
}

// Offers lists the versions to offer for a cluster: what the image factory builds and this program knows. A factory that
// does not answer soon leaves the newest alone.
func (m *Manager) Offers(ctx context.Context) Offers {
	var o Offers
	newest := machineconfig.NewestTalos()
	if o.Problem = m.offers.failed(m.Now()); o.Problem == "" {
		ctx, cancel := context.WithTimeout(ctx, offersTime)
		defer cancel()
		var err error
		if o.Talos, err = m.Factory.Releases(ctx, oldestOffered, newest); err != nil {
			o.Problem = err.Error()
			m.offers.fail(m.Now(), o.Problem)
		}
	}
	if len(o.Talos) == 0 {
		o.Talos = []string{newest}
	}
	for _, v := range o.Talos {
		if k := machineconfig.KubernetesOf(v); !slices.Contains(o.Kubernetes, k) {
			o.Kubernetes = append(o.Kubernetes, k)
		}
	}
	return o
}

func (o *offers) failed(now time.Time) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.at) < offersPause {
		return o.problem
	}
	return ""
}

func (o *offers) fail(now time.Time, problem string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at, o.problem = now, problem
}

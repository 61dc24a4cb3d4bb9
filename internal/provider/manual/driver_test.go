package manual_test

import (
	"testing"

	"github.com/talos-manager/talos-manager/internal/provider/manual"
	"github.com/talos-manager/talos-manager/internal/provider/providertest"
)

func TestContract(t *testing.T) {
	for _, id := range []string{"203.0.113.10:22", "[2001:db8::1]:2222"} {
		t.Run(id, func(t *testing.T) {
			providertest.Powerless(t, manual.Driver{}, id, "db-1", "1/boot", "", "203.0.113.10")
		})
	}
}

func TestAListingIsEmpty(t *testing.T) {
	l, err := manual.Driver{}.List(t.Context())
	if err != nil || len(l.Servers) > 0 {
		t.Errorf("got %+v, %v", l, err)
	}
}

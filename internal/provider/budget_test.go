package provider_test

import (
	"testing"

	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/provider/providertest"
)

func TestMemoryBudget(t *testing.T) {
	providertest.Budget(t, func(*testing.T) provider.Budget { return &provider.MemoryBudget{} })
}

package manage_test

import (
	"slices"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/imagefactory"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// What a recipe or a rewritten patch needs of a schematic comes to what it has already.
func TestASchematicKeepsWhatItHasWhenARecipeAddsToIt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	l.cluster(t, "prod")
	ok(l.CreateSchematic(ctx, "test", manage.SchematicEdit{Name: "gpu", Parts: &fleet.Customization{Extensions: []string{"zfs"}, KernelArgs: []string{"quiet"}}}))(t)
	used := ok(l.ApplyRecipe(ctx, "test", onCluster("prod"), manage.RecipeUse{Recipe: "nvidia-open", Schematic: "gpu"}, manage.Save{}))(t)
	if used.Schematic == nil || used.Schematic.Name != "gpu" {
		t.Fatalf("added to %v", used.Schematic)
	}
	got := ok(imagefactory.Read(ok(l.Store.Schematic(ctx, "gpu"))(t).YAML))(t)
	if want := append([]string{"siderolabs/zfs"}, used.Parts.Extensions...); !slices.Equal(got.Extensions, want) || !slices.Equal(got.KernelArgs, []string{"quiet"}) {
		t.Errorf("it has %v and %v, want %v", got.Extensions, got.KernelArgs, want)
	}
}

package recipe

import "testing"

func TestEveryRecipeLoads(t *testing.T) {
	if _, err := catalogue(); err != nil {
		t.Fatal(err)
	}
	for _, r := range List() {
		if got, err := Get(r.Name); err != nil || got.Title != r.Title {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
}

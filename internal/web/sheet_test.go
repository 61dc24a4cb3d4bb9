package web_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// What a page exports is all that its filter chooses, over its pages, and names with commas and quotes stay whole.
func TestATableIsExportedWhole(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	robot, _ := l.accounts(t)
	l.list(t, robot, manyServers(130)...)
	r := l.get(t, "/servers?search=box&page=2&export=csv", http.StatusOK)
	rows, err := csv.NewReader(strings.NewReader(r.source)).ReadAll()
	if err != nil || len(rows) != 131 || rows[0][0] != "name" {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if d := r.header.Get("Content-Disposition"); d != `attachment; filename="servers.csv"` {
		t.Errorf("disposition %s", d)
	}
	var all []map[string]string
	if err := json.Unmarshal([]byte(l.get(t, "/servers?export=json", http.StatusOK).source), &all); err != nil || len(all) != 130 {
		t.Fatalf("%d objects, %v", len(all), err)
	}
	for _, row := range all {
		if row["name"] == `box-0 "a", b` {
			return
		}
	}
	t.Errorf("no server with its name whole: %v", all[0])
}

func manyServers(n int) []fleet.Server {
	var all []fleet.Server
	for i := range n {
		name := fmt.Sprintf("box-%d", i)
		if i == 0 {
			name += ` "a", b`
		}
		all = append(all, fleet.Server{ProviderID: fmt.Sprint(7000 + i), Name: name, Product: "AX41-NVMe", Location: "FSN1-DC8", Architecture: fleet.AMD64, Status: "ready", Power: fleet.PowerOn})
	}
	return all
}

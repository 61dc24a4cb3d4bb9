package robot

import (
	"net/http"
	"time"

	"github.com/talos-manager/talos-manager/internal/provider"
)

// budgetOf tells which group of endpoints Robot counts a call in, and what it allows an hour. Where the
// documentation leaves open whether reading and changing share one counter, they do here.
func budgetOf(method, path string) (string, provider.Limit) {
	resource := resourceOf(path)
	group, calls := "/"+resource, 500
	switch read := method == http.MethodGet; {
	case resource == "server":
		calls = 200
	case resource == "ip":
		calls = 5000
	case resource == "reset" && !read:
		group, calls = "POST /reset", 50
	case resource == "wol" && !read:
		group, calls = "POST /wol", 10
	case resource == "key" && !read:
		group, calls = "POST /key", 200
	case resource == "vswitch" && !read:
		group, calls = "POST /vswitch", 100
	}
	return "robot " + group, provider.Limit{Calls: calls, Window: time.Hour}
}

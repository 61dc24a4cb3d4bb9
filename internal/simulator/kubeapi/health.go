package kubeapi

import (
	"fmt"
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/version"
)

// versionInfo is the answer of /version: v1.36.3 has major 1 and minor 36.
func versionInfo(git string) version.Info {
	parts := strings.SplitN(strings.TrimPrefix(git, "v"), ".", 3)
	info := version.Info{GitVersion: git, GitTreeState: "clean", GoVersion: "go1.26.8", Compiler: "gc", Platform: "linux/amd64"}
	if len(parts) == 3 {
		info.Major, info.Minor = parts[0], parts[1]
	}
	return info
}

// health answers /livez, /readyz and /healthz. All of them look at etcd, and none waits for it.
func (s *server) health(w http.ResponseWriter, r *http.Request) {
	which := strings.Trim(r.URL.Path, "/")
	code, etcd := http.StatusOK, "[+]etcd ok"
	if !s.quorum() {
		code, etcd = http.StatusInternalServerError, "[-]etcd failed: reason withheld"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, verbose := r.URL.Query()["verbose"]
	switch {
	case code == http.StatusOK && !verbose:
		fmt.Fprint(w, "ok")
	case code == http.StatusOK:
		fmt.Fprintf(w, "[+]ping ok\n[+]log ok\n%s\n%s check passed\n", etcd, which)
	default:
		fmt.Fprintf(w, "[+]ping ok\n[+]log ok\n%s\n%s check failed\n", etcd, which)
	}
}

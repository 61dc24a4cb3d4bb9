package operation_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/operation"
)

// What answers at the public address is told from what only looks like it.
func TestThePublicAddressIsCheckedAsMachinesUseIt(t *testing.T) {
	t.Parallel()
	serve := func(health, config int) *httptest.Server {
		mux := http.NewServeMux()
		mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(health)
			if health == http.StatusOK {
				w.Write([]byte("ok\n"))
			}
		})
		mux.HandleFunc("/config", func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodHead {
				t.Errorf("/config is asked with %s, which uses up a machine's code", r.Method)
			}
			w.WriteHeader(config)
		})
		s := httptest.NewServer(mux)
		t.Cleanup(s.Close)
		return s
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for _, tc := range []struct {
		why, url, fails, hint string
		checks                int
	}{
		{"all is well", serve(http.StatusOK, http.StatusMethodNotAllowed).URL, "", "", 5},
		{"no address is set", "", "HOST", "set HOST", 1},
		{"nothing listens", closed.URL, "refused", "nothing listens there", 4},
		{"a login page is before it", serve(http.StatusFound, http.StatusFound).URL, "302 Found", "login page", 4},
		{"a proxy keeps /config back", serve(http.StatusOK, http.StatusForbidden).URL, "403 Forbidden", "keeps /config back", 5},
		{"nobody knows the certificate's signer", secure.URL, "certificate", "public authority", 4},
		{"no DNS record", "https://nowhere.invalid", "nowhere.invalid", "create the record", 3},
	} {
		all := operation.New(operation.Env{URL: tc.url}).CheckAddress(t.Context())
		if len(all) != tc.checks {
			t.Errorf("%s: %d checks: %+v", tc.why, len(all), all)
			continue
		}
		last := all[len(all)-1]
		if !strings.Contains(last.Problem, tc.fails) || (last.Problem == "") != (tc.fails == "") || !strings.Contains(last.Hint, tc.hint) {
			t.Errorf("%s: the last is %+v", tc.why, last)
		}
	}
	// An address of a private network, and one without TLS, are named, and looked at all the same.
	for i, c := range operation.New(operation.Env{URL: serve(http.StatusOK, http.StatusMethodNotAllowed).URL}).CheckAddress(t.Context()) {
		if warned := i == 1 || i == 2; c.Warning != warned || warned != (c.Problem != "") {
			t.Errorf("check %d is %+v", i, c)
		}
	}
}

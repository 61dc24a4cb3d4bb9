package bootconfig

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config/configloader"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/imagefactory"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
)

const (
	uuid  = "4c4c4544-0042-3510-8050-b4c04f384833"
	other = "4c4c4544-0042-3510-8050-b4c04f384834"
	code  = "TESTCODE"
)

// secrets are made once: RSA keys take their time.
var secrets = sync.OnceValues(func() ([]byte, error) {
	return machineconfig.NewSecrets(machineconfig.NewestTalos(), time.Now())
})

// window opens the window of an install for one server.
func window(t *testing.T, noCode bool) (*Handler, store.Arm) {
	t.Helper()
	s := storetest.SQLite(t).Open(t)
	ctx := t.Context()
	a, err := s.CreateAccount(ctx, fleet.Account{Name: "cloud", Provider: fleet.HetznerCloud, Token: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SyncServers(ctx, a.ID, []fleet.Server{{Provider: fleet.HetznerCloud, ProviderID: "1", Name: "worker-1", IPv4: "203.0.113.9", IPv6Net: "2001:db8:1::/64", Architecture: fleet.AMD64}}, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	text, err := secrets()
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.CreateCluster(ctx, fleet.Cluster{
		Name: "prod", Endpoint: "https://203.0.113.9:6443", TalosVersion: machineconfig.NewestTalos(),
		KubernetesVersion: machineconfig.DefaultKubernetes(), Secrets: text,
	})
	if err != nil {
		t.Fatal(err)
	}
	server, err := s.Server(ctx, "worker-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Assign(ctx, server.ID, fleet.Assignment{ClusterID: c.ID, Role: fleet.Worker}); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(code))
	arm, err := s.Arm(ctx, store.Arm{
		ServerID: server.ID, OperationID: "op", CodeHash: hex.EncodeToString(sum[:]), NoCode: noCode, UUID: uuid,
		ArmedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	factory, err := imagefactory.New("https://factory.talos.dev", nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Handler{Store: s, Renderer: manage.NewRenderer(s, factory, 1<<20), Log: slog.New(slog.DiscardHandler), Now: time.Now}, arm
}

func get(h *Handler, path, from, forwarded string) (int, string) {
	r := httptest.NewRequest("GET", path, nil)
	r.RemoteAddr = from + ":40000"
	if forwarded != "" {
		r.Header.Set("X-Forwarded-For", forwarded)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(body)
}

func TestTheRightMachineGetsItsConfigOnce(t *testing.T) {
	h, arm := window(t, false)
	status, body := get(h, "/config?uuid="+strings.ToUpper(uuid)+"&code="+code, "198.51.100.1", "")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	config, err := configloader.NewFromBytes([]byte(body))
	if err != nil || !config.CompleteForBoot() {
		t.Errorf("Talos could not boot with it: %v", err)
	}
	if status, _ := get(h, "/config?uuid="+uuid+"&code="+code, "198.51.100.1", ""); status != http.StatusForbidden {
		t.Errorf("the second request got %d", status)
	}
	after, err := h.Store.ArmOf(t.Context(), arm.ServerID)
	if err != nil || after.ServedAt.IsZero() || !strings.Contains(after.Refusal, "already") {
		t.Errorf("recorded is %+v, %v", after, err)
	}
}

func TestEveryoneElseIsRefusedWithARecordedReason(t *testing.T) {
	for _, tc := range []struct {
		why, path, from, forwarded string
		noCode                     bool
		later                      time.Duration
		status                     int
		event                      string // "": nobody's install is concerned
	}{
		{why: "nothing given", path: "/config", status: 403},
		{why: "right UUID, no code", path: "/config?uuid=" + uuid, status: 403, event: "no one-time code"},
		{why: "right UUID from the server's own address, but the install has a code", path: "/config?uuid=" + uuid, from: "203.0.113.9", status: 403, event: "no one-time code"},
		{why: "right UUID, wrong code", path: "/config?uuid=" + uuid + "&code=WRONG", status: 403, event: "unknown or no longer valid"},
		{why: "right code, another machine", path: "/config?uuid=" + other + "&code=" + code, status: 403, event: "its UUID is " + other},
		{why: "too late", path: "/config?uuid=" + uuid + "&code=" + code, later: 2 * time.Hour, status: 403, event: "window ended"},
		{why: "a machine nobody installs asks again later", path: "/config?uuid=" + other, status: 425},
		{why: "no code possible, and another address", noCode: true, path: "/config?uuid=" + uuid, from: "198.51.100.1", status: 403, event: "own address"},
		{why: "no code possible, and the own address", noCode: true, path: "/config?uuid=" + uuid, from: "203.0.113.9", status: 200},
		{why: "no code possible, own IPv6 network", noCode: true, path: "/config?uuid=" + uuid, from: "[2001:db8:1::1]", status: 200},
		{why: "own address claimed to a program without a proxy", noCode: true, path: "/config?uuid=" + uuid, from: "198.51.100.1", forwarded: "203.0.113.9", status: 403, event: "own address"},
		{why: "own address as our proxy saw it", noCode: true, path: "/config?uuid=" + uuid, from: "10.0.0.1", forwarded: "198.51.100.1, 203.0.113.9", status: 200},
		{why: "own address forged before our proxy", noCode: true, path: "/config?uuid=" + uuid, from: "10.0.0.1", forwarded: "203.0.113.9, 198.51.100.1", status: 403, event: "own address"},
	} {
		t.Run(tc.why, func(t *testing.T) {
			h, _ := window(t, tc.noCode)
			h.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
			h.Now = func() time.Time { return time.Now().Add(tc.later) }
			if tc.from == "" {
				tc.from = "198.51.100.1"
			}
			status, body := get(h, tc.path, tc.from, tc.forwarded)
			if status != tc.status {
				t.Fatalf("status %d (%s), want %d", status, body, tc.status)
			}
			if status != 200 && strings.Contains(body, "machine:") {
				t.Error("a refusal carries a config")
			}
			events, err := h.Store.Events(t.Context(), store.EventFilter{Verb: "config.refused"})
			if err != nil {
				t.Fatal(err)
			}
			if (tc.event == "") != (len(events) == 0) || tc.event != "" && !strings.Contains(events[0].Text, tc.event) {
				t.Errorf("events are %+v, want one with %q", events, tc.event)
			}
		})
	}
}

func TestOfTwoRequestsAtOnceOneWins(t *testing.T) {
	h, _ := window(t, false)
	var wg sync.WaitGroup
	codes := make(chan int, 8)
	for range cap(codes) {
		wg.Go(func() {
			status, _ := get(h, "/config?uuid="+uuid+"&code="+code, "198.51.100.1", "")
			codes <- status
		})
	}
	wg.Wait()
	close(codes)
	served := 0
	for status := range codes {
		if status == 200 {
			served++
		}
	}
	if served != 1 {
		t.Errorf("%d requests got the config", served)
	}
}

func TestOnlyAGetUsesUpTheCode(t *testing.T) {
	h, arm := window(t, false)
	for _, method := range []string{http.MethodHead, http.MethodPost} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/config?uuid="+uuid+"&code="+code, nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	if after, err := h.Store.ArmOf(t.Context(), arm.ServerID); err != nil || !after.ServedAt.IsZero() {
		t.Errorf("the code is used up: %+v, %v", after, err)
	}
}

// Whoever can reach /config can ask as often as he likes: that must not fill the database.
func TestAFloodOfRequestsIsAFewEvents(t *testing.T) {
	h, arm := window(t, false)
	refused := func() int {
		t.Helper()
		events, err := h.Store.Events(t.Context(), store.EventFilter{Verb: "config.refused"})
		if err != nil {
			t.Fatal(err)
		}
		return len(events)
	}
	for range 50 {
		get(h, "/config?uuid="+other+"&code=WRONG", "198.51.100.1", "")
	}
	if n := refused(); n != perMinute {
		t.Errorf("50 wrong codes are %d events", n)
	}
	for range 20 {
		get(h, "/config?uuid="+other+"&code="+code, "198.51.100.1", "")
	}
	if n := refused(); n != perMinute+1 {
		t.Errorf("a machine that asks again and again makes %d events", n-perMinute)
	}
	if after, err := h.Store.ArmOf(t.Context(), arm.ServerID); err != nil || after.Attempts != 20 {
		t.Errorf("its requests are counted: %d, %v", after.Attempts, err)
	}
	now := time.Now().Add(time.Minute)
	h.Now = func() time.Time { return now }
	get(h, "/config?uuid="+other+"&code=WRONG", "198.51.100.1", "")
	if n := refused(); n != perMinute+2 {
		t.Errorf("a minute later there are %d", n)
	}
	get(h, "/config?uuid="+uuid+"&code=WRONG", "198.51.100.1", "")
	if after, err := h.Store.ArmOf(t.Context(), arm.ServerID); err != nil || !strings.Contains(after.Refusal, "unknown or no longer valid") {
		t.Errorf("the install does not hear of its machine's old code: %q, %v", after.Refusal, err)
	}
}

package bootconfig

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/imagefactory"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
	"github.com/talos-manager/talos-manager/internal/wait"
)

// replica is a handler over a store of its own.
func replica(t *testing.T, s *store.Store) *Handler {
	t.Helper()
	factory, err := imagefactory.New("https://factory.talos.dev", nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Handler{Store: s, Renderer: manage.NewRenderer(s, factory, 1<<24), Log: slog.New(slog.DiscardHandler), Now: time.Now}
}

// machine is the request of one machine of a cluster.
type machine struct{ server, path string }

// booting has a cluster of so many armed machines.
func booting(t *testing.T, s *store.Store, n int) (fleet.Cluster, []machine) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a, err := s.CreateAccount(ctx, fleet.Account{Name: "cloud", Provider: fleet.HetznerCloud, Token: "x"})
	must(err)
	var listed []fleet.Server
	for i := range n {
		listed = append(listed, fleet.Server{Provider: fleet.HetznerCloud, ProviderID: fmt.Sprint(i), Name: fmt.Sprintf("worker-%d", i), IPv4: fmt.Sprintf("10.0.%d.%d", i>>8, i&255), Architecture: fleet.AMD64})
	}
	synced, err := s.SyncServers(ctx, a.ID, listed, nil, time.Now())
	must(err)
	text, err := secrets()
	must(err)
	c, err := s.CreateCluster(ctx, fleet.Cluster{
		Name: "prod", Endpoint: "https://203.0.113.9:6443", TalosVersion: machineconfig.NewestTalos(),
		KubernetesVersion: machineconfig.DefaultKubernetes(), Secrets: text,
	})
	must(err)
	var all []machine
	for i, v := range synced.Added {
		_, err := s.Assign(ctx, v.ID, fleet.Assignment{ClusterID: c.ID, Role: fleet.Worker})
		must(err)
		uuid, code := fmt.Sprintf("4c4c4544-0042-3510-8050-%012x", i), fmt.Sprintf("CODE%d", i)
		sum := sha256.Sum256([]byte(code))
		_, err = s.Arm(ctx, store.Arm{ServerID: v.ID, CodeHash: hex.EncodeToString(sum[:]), UUID: uuid, ArmedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)})
		must(err)
		all = append(all, machine{v.ID, "/config?uuid=" + uuid + "&code=" + code})
	}
	return c, all
}

func eventually(t *testing.T, what string, look func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := wait.Until(ctx, what, 5*time.Millisecond, func(context.Context) (bool, error) { return look(), nil }); err != nil {
		t.Fatal(err)
	}
}

// Two replicas; each has made all configs in advance. What one of them changes, the other one serves at once.
func TestAConfigIsNeverOlderThanTheRecords(t *testing.T) {
	storetest.EachDatabase(t, func(t *testing.T, d storetest.Database) {
		here, there := replica(t, d.Open(t)), replica(t, d.Open(t))
		c, all := booting(t, here.Store, 5)
		for _, h := range []*Handler{here, there} {
			if err := h.makeReady(t.Context()); err != nil || h.Ready() != len(all) {
				t.Fatalf("%d are ready, %v", h.Ready(), err)
			}
		}
		for i, tc := range []struct {
			why    string
			change func(s *store.Store, server string) error
			want   string
		}{
			{"nothing", func(*store.Store, string) error { return nil }, "https://203.0.113.9:6443"},
			{"its node name", func(s *store.Store, server string) error {
				_, err := s.Assign(t.Context(), server, fleet.Assignment{ClusterID: c.ID, Role: fleet.Worker, Hostname: "renamed"})
				return err
			}, "renamed"},
			{"its patch", func(s *store.Store, server string) error {
				return s.Edit(t.Context(), "patch", nil, func(e *store.Edit) error {
					_, err := e.Layer(t.Context(), store.LayerEdit{Scope: fleet.ScopeServer, OwnerID: server, Verb: store.VerbSave, Contents: fleet.Contents{
						Patches: []fleet.Patch{{Name: "own", Text: "machine: {sysctls: {vm.max_map_count: '262144'}}"}},
					}})
					return err
				})
			}, "262144"},
			{"its cluster", func(s *store.Store, _ string) error {
				c := c
				c.Endpoint = "https://203.0.113.10:6443"
				return s.UpdateCluster(t.Context(), c)
			}, "https://203.0.113.10:6443"},
		} {
			if err := tc.change(there.Store, all[i].server); err != nil {
				t.Fatal(err)
			}
			if status, config := get(here, all[i].path, "198.51.100.1", ""); status != http.StatusOK || !strings.Contains(config, tc.want) {
				t.Errorf("%s changed: %d without %q", tc.why, status, tc.want)
			}
			if status, config := get(there, all[i].path, "198.51.100.1", ""); status != http.StatusForbidden || strings.Contains(config, "machine:") {
				t.Errorf("%s: the other replica gave it a second time: %d", tc.why, status)
			}
		}
		if err := there.Store.Disarm(t.Context(), all[4].server); err != nil {
			t.Fatal(err)
		}
		if status, _ := get(here, all[4].path, "198.51.100.1", ""); status != http.StatusForbidden {
			t.Errorf("an install was given up, and its machine gets %d", status)
		}
	})
}

func TestOfAStormEveryMachineGetsItsOwnConfigOnce(t *testing.T) {
	storetest.EachDatabase(t, func(t *testing.T, d storetest.Database) {
		h := replica(t, d.Open(t))
		_, all := booting(t, h.Store, 100)
		if err := h.makeReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.ready.mu.Lock()
		for code := range h.ready.made { // half of them are rendered when they come
			if code[0]%2 == 0 {
				h.ready.drop(code)
			}
		}
		h.ready.mu.Unlock()
		var wg sync.WaitGroup
		got := make([][2]string, len(all))
		for i, m := range all {
			for try := range 2 {
				wg.Go(func() {
					switch status, config := get(h, m.path, "198.51.100.1", ""); status {
					case http.StatusOK:
						got[i][try] = config
					case http.StatusForbidden:
					default:
						t.Errorf("machine %d got %d", i, status)
					}
				})
			}
		}
		wg.Wait()
		for i, configs := range got {
			if config := configs[0] + configs[1]; (configs[0] == "") == (configs[1] == "") || !strings.Contains(config, fmt.Sprintf("worker-%d\n", i)) {
				t.Errorf("machine %d got %d and %d bytes", i, len(configs[0]), len(configs[1]))
			}
		}
		events, err := h.Store.Events(t.Context(), store.EventFilter{Verb: "config.served"})
		if err != nil || len(events) != len(all) {
			t.Errorf("%d events, %v", len(events), err)
		}
	})
}

func TestConfigsAreMadeAheadAndForgotten(t *testing.T) {
	h := replica(t, storetest.SQLite(t).Open(t))
	_, all := booting(t, h.Store, 3)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.Run(ctx)
	}()
	eventually(t, "all configs to be made", func() bool { return h.Ready() == 3 })
	if status, _ := get(h, all[0].path, "198.51.100.1", ""); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	if h.Ready() != 2 {
		t.Error("the config is used up, and still ready")
	}
	if err := h.Store.Disarm(t.Context(), all[1].server); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the others to be forgotten", func() bool {
		h.ready.mu.Lock()
		defer h.ready.mu.Unlock()
		return len(h.ready.made) == 1
	})
	stop()
	<-ended
	if m := h.ready.of(request{uuid: "4c4c4544-0042-3510-8050-000000000001", code: "CODE2"}); m != nil {
		t.Error("one machine's config is found with another one's UUID")
	}
	m := h.ready.of(request{uuid: "4c4c4544-0042-3510-8050-000000000002", code: "CODE2"})
	if m == nil || h.ready.bytes != len(m.config) {
		t.Errorf("the one that is left: %v, %d bytes are counted", m != nil, h.ready.bytes)
	}
}

func TestOnlySoMuchIsMadeAhead(t *testing.T) {
	var r ready
	big := make([]byte, 1<<20)
	for i := range 2 * readyBytes >> 20 {
		sum := sha256.Sum256(fmt.Append(nil, i))
		r.put(&made{arm: store.Arm{CodeHash: hex.EncodeToString(sum[:])}, config: big})
	}
	if r.bytes > readyBytes || len(r.made) != readyBytes>>20 {
		t.Errorf("%d configs of together %d bytes", len(r.made), r.bytes)
	}
	r.put(&made{arm: store.Arm{NoCode: true}, config: []byte("small")})
	r.put(&made{arm: store.Arm{CodeHash: "no hash"}, config: []byte("small")})
	r.sort(nil)
	if r.bytes != 0 || len(r.made) != 0 {
		t.Errorf("nobody waits, and %d bytes are kept", r.bytes)
	}
}

func TestWithoutTheDatabaseNothingIsServed(t *testing.T) {
	storetest.EachDatabase(t, func(t *testing.T, d storetest.Database) {
		h := replica(t, d.Open(t))
		_, all := booting(t, h.Store, 1)
		if err := h.makeReady(t.Context()); err != nil || h.Ready() != 1 {
			t.Fatal(h.Ready(), err)
		}
		h.Store.Close()
		if status, config := get(h, all[0].path, "198.51.100.1", ""); status != http.StatusServiceUnavailable || strings.Contains(config, "machine:") {
			t.Errorf("status %d: %s", status, config)
		}
		again := replica(t, d.Open(t))
		if status, _ := get(again, all[0].path, "198.51.100.1", ""); status != http.StatusOK {
			t.Errorf("the machine has lost its config: %d", status)
		}
	})
}

// lost is a connection that breaks before the first byte.
type lost struct{ http.ResponseWriter }

func (lost) Write([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

func TestAConfigThatGotLostOnItsWayIsHandedOver(t *testing.T) {
	h := replica(t, storetest.SQLite(t).Open(t))
	_, all := booting(t, h.Store, 1)
	h.ServeHTTP(lost{httptest.NewRecorder()}, httptest.NewRequest("GET", all[0].path, nil))
	if status, _ := get(h, all[0].path, "198.51.100.1", ""); status != http.StatusForbidden {
		t.Errorf("the code opens a second time: %d", status)
	}
	if arm, err := h.Store.ArmOf(t.Context(), all[0].server); err != nil || arm.ServedAt.IsZero() {
		t.Errorf("recorded is %+v, %v", arm, err)
	}
}

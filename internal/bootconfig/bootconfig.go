// Package bootconfig hands a booting machine its config: to the right machine, once. A request must bring the
// one-time code that its install wrote into the machine's META partition, and the UUID that was read in its
// rescue system, within a window that its install opened. The source address alone proves nothing. Every refusal is
// an event with its reason; the machine learns only that it is refused, with a status that Talos retries.
//
// Talos retries every answer that is not 200 for hours, takes an empty 200 and a 204 for a config (and loops),
// and logs 32 bytes of a refusal. Source: talos pkg/download, controllers/config/acquire.go.
package bootconfig

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/httpd"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

// Handler answers GET /config.
type Handler struct {
	Store    *store.Store
	Renderer *manage.Renderer
	Log      *slog.Logger
	Now      func() time.Time
	// Proxies are the addresses whose X-Forwarded-For is believed.
	Proxies []netip.Prefix

	ready     ready
	strangers strangers
}

// request is what a machine says of itself.
type request struct {
	uuid, code, source string
}

// hash is what the store knows of the code.
func (r *request) hash() string {
	sum := sha256.Sum256([]byte(r.code))
	return hex.EncodeToString(sum[:])
}

// ServeHTTP answers a machine: 200 with the config, 403 when it is refused, 425 while it is not its time yet, 503
// when the database does not answer. Never 204, never an empty 200.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet { // a HEAD would use up the code and deliver nothing
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "GET only", http.StatusMethodNotAllowed)
		return
	}
	q := r.URL.Query()
	req := request{uuid: strings.ToLower(strings.TrimSpace(q.Get("uuid"))), code: q.Get("code"), source: httpd.Source(r, h.Proxies)}
	config, arm, err := h.config(r.Context(), req)
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		h.refuse(r.Context(), w, req, arm, err)
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Content-Length", strconv.Itoa(len(config)))
	if _, err := w.Write(config); err != nil {
		h.Log.Warn("config not received", "server", arm.ServerID, "error", err)
	}
}

// refusal is why a machine gets nothing, for the log; and the status.
type refusal struct {
	status int
	why    string
}

func (r *refusal) Error() string { return r.why }

// config finds the machine's config, if it may have it now, and uses up its code: of two requests at once, one wins.
// The store has the last word: it hands over nothing that was served, is over, or was made from records that have
// changed since. So what was made in advance may be tried first.
func (h *Handler) config(ctx context.Context, req request) ([]byte, store.Arm, error) {
	if made := h.ready.of(req); made != nil {
		err := h.handOver(ctx, req, made)
		if fleet.KindOf(err) != fleet.Conflict {
			return made.config, made.arm, err
		}
	}
	for range attempts {
		arm, err := h.find(ctx, req)
		if err != nil {
			return nil, arm, err
		}
		if err := h.check(ctx, req, arm); err != nil {
			return nil, arm, err
		}
		made, err := h.make(ctx, arm)
		if err != nil {
			return nil, arm, err
		}
		err = h.handOver(ctx, req, made)
		if fleet.KindOf(err) != fleet.Conflict {
			return made.config, arm, err
		}
	}
	return nil, store.Arm{}, fleet.Errorf(fleet.Unavailable, "what the config is made of changes faster than it can be made")
}

// attempts to hand over a config that is made of records which change meanwhile.
const attempts = 5

// made is a config for the machine of an arm, and what it was made from.
type made struct {
	arm    store.Arm
	stamp  store.Stamp
	config []byte      // holds secrets; shared: not to be changed
	used   atomic.Bool // it was handed over
}

// make makes the config from the records as they are now.
func (h *Handler) make(ctx context.Context, arm store.Arm) (*made, error) {
	stamp, err := h.Store.StampOf(ctx, arm) // before anything is read
	if err != nil {
		return nil, err
	}
	s, err := h.Store.Server(ctx, arm.ServerID)
	if err != nil {
		return nil, err
	}
	config, err := h.Renderer.MachineConfig(ctx, s)
	if err != nil {
		return nil, err
	}
	return &made{arm: arm, stamp: stamp, config: config.YAML}, nil
}

// handOver uses up the code and tells of it. From then on nothing may keep the config from its machine.
func (h *Handler) handOver(ctx context.Context, req request, m *made) error {
	err := h.Store.HandOver(ctx, store.HandOver{
		ArmID: m.arm.ID, ServerID: m.arm.ServerID, Stamp: m.stamp, At: h.Now(), Text: "config handed over to UUID " + req.uuid + " at " + req.source,
	})
	if err == nil {
		m.used.Store(true)
	}
	return err
}

// find looks up the window by the code, or by the UUID when a machine brings no code.
func (h *Handler) find(ctx context.Context, req request) (store.Arm, error) {
	if req.uuid == "" {
		return store.Arm{}, &refusal{http.StatusForbidden, "no UUID given"}
	}
	var arm store.Arm
	var err error
	if req.code != "" {
		arm, err = h.Store.FindArm(ctx, req.hash())
	} else {
		arm, err = h.armOf(ctx, req.uuid)
	}
	if fleet.KindOf(err) != fleet.NotFound {
		return arm, err
	}
	if open, err := h.armOf(ctx, req.uuid); err == nil { // to tell the install that waits for this machine
		return open, unknown(req)
	}
	return arm, unknown(req)
}

// armOf finds the open window of a machine that brings no code. Two machines with one UUID get nothing.
func (h *Handler) armOf(ctx context.Context, uuid string) (store.Arm, error) {
	open, err := h.Store.ActiveArms(ctx, uuid, h.Now())
	switch {
	case err != nil:
		return store.Arm{}, err
	case len(open) == 1:
		return open[0], nil
	case len(open) > 1:
		return store.Arm{}, &refusal{http.StatusForbidden, "two machines with this UUID are being installed"}
	}
	return store.Arm{}, fleet.Errorf(fleet.NotFound, "no install waits for UUID %s", uuid)
}

// unknown tells a machine that may get its config later from one that brings a wrong code.
func unknown(req request) error {
	if req.code != "" {
		return &refusal{http.StatusForbidden, "its one-time code is unknown or no longer valid"}
	}
	return &refusal{http.StatusTooEarly, "no install is waiting for this machine"}
}

func (h *Handler) check(ctx context.Context, req request, arm store.Arm) error {
	switch {
	case req.uuid != arm.UUID:
		return &refusal{http.StatusForbidden, "its UUID is " + req.uuid + ", the install's is " + arm.UUID}
	case !arm.ServedAt.IsZero():
		return &refusal{http.StatusForbidden, "the config was handed over at " + arm.ServedAt.UTC().Format(time.DateTime) + " already"}
	case h.Now().After(arm.ExpiresAt):
		return &refusal{http.StatusForbidden, "the install's window ended at " + arm.ExpiresAt.UTC().Format(time.DateTime)}
	case req.code == "" && !arm.NoCode:
		return &refusal{http.StatusForbidden, "it brings no one-time code"}
	case req.code == "":
		return h.checkSource(ctx, req, arm)
	}
	return nil
}

// checkSource is the third sign where there is no code: UUID and window are the others.
func (h *Handler) checkSource(ctx context.Context, req request, arm store.Arm) error {
	s, err := h.Store.Server(ctx, arm.ServerID)
	if err != nil {
		return err
	}
	source, err := netip.ParseAddr(req.source)
	if err != nil {
		return &refusal{http.StatusForbidden, "its address cannot be read"}
	}
	if v4, err := netip.ParseAddr(s.IPv4); err == nil && v4 == source {
		return nil
	}
	if net6, err := netip.ParsePrefix(s.IPv6Net); err == nil && net6.Contains(source) {
		return nil
	}
	return &refusal{http.StatusForbidden, "without a one-time code it must come from the server's own address, not from " + req.source}
}

func (h *Handler) refuse(ctx context.Context, w http.ResponseWriter, req request, arm store.Arm, err error) {
	no, ok := err.(*refusal)
	if !ok {
		h.Log.Error("config not made", "server", arm.ServerID, "uuid", req.uuid, "error", err)
		no = &refusal{http.StatusServiceUnavailable, "the config cannot be made: " + err.Error()}
	}
	h.Log.Warn("config refused", "server", arm.ServerID, "uuid", req.uuid, "source", req.source, "why", no.why)
	if err := h.note(ctx, req, arm, no.why); err != nil {
		h.Log.Error("refusal not recorded", "error", err)
	}
	http.Error(w, "not now", no.status)
}

// note makes the refusal an event, and tells the install that waits. A machine that asks twice a second for hours is
// one event as long as the reason stays the same; strangers, who can send what they like, are some a minute.
func (h *Handler) note(ctx context.Context, req request, arm store.Arm, why string) error {
	switch {
	case arm.ID != "":
		if err := h.Store.NoteRefusal(ctx, arm.ID, why); err != nil || arm.Refusal == why {
			return err
		}
	case req.code == "" || !h.strangers.count(h.Now()):
		return nil
	}
	return manage.Audit(ctx, h.Store, "machine", "config.refused", "server", arm.ServerID, "a request from "+req.source+" was refused: "+why)
}

// strangers counts requests with codes that nobody knows.
type strangers struct {
	mu    sync.Mutex
	since time.Time
	n     int
}

// perMinute is how many strangers become events; the log has all.
const perMinute = 10

func (s *strangers) count(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.since) >= time.Minute {
		s.since, s.n = now, 0
	}
	s.n++
	return s.n <= perMinute
}

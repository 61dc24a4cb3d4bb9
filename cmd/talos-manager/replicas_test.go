package main

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
)

const sealKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// Two replicas start at the same moment on an empty database. Servers are installed; one replica is killed while it is
// inside steps. The other goes on within 30 s, and nothing that must happen once happened twice.
func TestAReplicaFinishesWhatAKilledOneWasDoing(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1, 3)
	database := storetest.EmptyPostgres(t).Options.DatabaseURL
	front := newBalancer(t)
	a := serve(t, l, "DATABASE_URL="+database, "SEAL_KEY="+sealKey, "HOST=http://"+front.addr)
	b := serve(t, l, "DATABASE_URL="+database, "SEAL_KEY="+sealKey, "HOST=http://"+front.addr)
	a.launch()
	b.launch()
	a.answers()
	b.answers()
	front.to(a, b)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	sameKey(ctx, t, a.client, b.client)
	l.accounts(ctx, a.client)
	ops := l.install(ctx, a.client)

	w := watch(ctx, t, database)
	// Both replicas are inside steps: whichever dies, it dies in the middle of one.
	eventually(t, 40*time.Second, "both replicas are inside steps", func() bool {
		return w.finishedSteps(ctx) >= 3*len(ops) && len(w.look(ctx).holders()) == 2
	})
	a.kill()
	killed := time.Now()
	held := w.look(ctx)
	resumed := w.resumed(ctx, held, killed)
	t.Logf("killed inside %s; every step that was held went on within %.1f s", strings.Join(held.steps(), ", "), resumed.Seconds())
	if resumed > 30*time.Second {
		t.Errorf("it took %s until the other one went on", resumed)
	}
	l.finished(ctx, b.client, ops)
	l.written()
	l.etcd(ctx, b.client)
	for _, m := range l.machines {
		// Delivered, rescue, Talos. A death between an order and its record may cost one more rescue boot.
		if n := m.Boots(); n > 4 {
			t.Errorf("%s booted %d times", m.Name, n)
		}
	}
	a.start() // it comes back, and finds nothing to do
	left, err := a.client.Operations(ctx, client.OperationFilter{States: []string{"active"}})
	if err != nil || len(left.Items) > 0 {
		t.Errorf("left: %v, %v", left.Items, err)
	}
}

func TestThreeInstallsSurviveARestartOfPostgres(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1, 2)
	server := storetest.OwnServer(t)
	database := storetest.PostgresOn(t, server).Options.DatabaseURL
	p := serve(t, l, "DATABASE_URL="+database, "SEAL_KEY="+sealKey)
	p.start()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	l.accounts(ctx, p.client)
	ops := l.install(ctx, p.client)
	w := watch(ctx, t, database)
	for range 2 {
		before := w.finishedSteps(ctx)
		eventually(t, 15*time.Second, "the installs go on", func() bool { return w.finishedSteps(ctx) >= before+3 })
		if err := server.Stop(); err != nil {
			t.Fatal(err)
		}
		_, err := p.client.Operation(ctx, ops[0].ID)
		if e := new(client.Error); !errors.As(err, &e) || e.Kind != client.Unavailable || !strings.Contains(e.Message, "does not answer") || e.Hint == "" {
			t.Errorf("without its database it says: %v", err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	l.finished(ctx, p.client, ops)
	l.written()
	l.etcd(ctx, p.client)
	bootstraps, err := p.client.Operations(ctx, client.OperationFilter{Kind: "cluster.bootstrap"})
	if err != nil || len(bootstraps.Items) != 1 || bootstraps.Items[0].State != client.Succeeded {
		t.Errorf("bootstraps: %+v, %v", bootstraps.Items, err)
	}
}

// sameKey: replicas that start together agree on the one SSH key.
func sameKey(ctx context.Context, t *testing.T, a, b *client.Client) {
	t.Helper()
	first, err := a.SSHKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.SSHKey(ctx)
	if err != nil || first != second {
		t.Fatalf("two keys: %v and %v, %v", first, second, err)
	}
}

// watcher reads the journal, besides the program.
type watcher struct {
	t    *testing.T
	pool *pgxpool.Pool
}

func watch(ctx context.Context, t *testing.T, database string) *watcher {
	t.Helper()
	pool, err := pgxpool.New(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &watcher{t, pool}
}

// lease is an operation that a replica is inside of.
type lease struct {
	ID, Holder, Step string
	Revision         int64
}

type leases []lease

func (w *watcher) look(ctx context.Context) leases {
	w.t.Helper()
	rows, err := w.pool.Query(ctx, `SELECT id, holder, step, revision FROM operations WHERE holder <> '' AND lease_until > $1
		AND state NOT IN ('succeeded', 'failed', 'cancelled')`, time.Now().UnixMicro())
	if err != nil {
		w.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[lease])
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func (all leases) holders() (names []string) {
	for _, l := range all {
		if !slices.Contains(names, l.Holder) {
			names = append(names, l.Holder)
		}
	}
	return names
}

func (all leases) steps() (names []string) {
	for _, l := range all {
		names = append(names, `"`+l.Step+`"`)
	}
	return names
}

// finishedSteps counts those of all operations, -1 while the database does not answer.
func (w *watcher) finishedSteps(ctx context.Context) int {
	n := 0
	if err := w.pool.QueryRow(ctx, "SELECT count(*) FROM operation_steps WHERE state = 'succeeded'").Scan(&n); err != nil {
		return -1
	}
	return n
}

// resumed waits until each of the operations was written to after the moment of death.
func (w *watcher) resumed(ctx context.Context, all leases, since time.Time) time.Duration {
	w.t.Helper()
	for _, l := range all {
		eventually(w.t, 40*time.Second, "somebody goes on with "+l.Step, func() bool {
			var revision int64
			if err := w.pool.QueryRow(ctx, "SELECT revision FROM operations WHERE id = $1", l.ID).Scan(&revision); err != nil {
				w.t.Fatal(err)
			}
			return revision > l.Revision
		})
	}
	return time.Since(since)
}

// balancer is the address that machines know: it passes connections on to the first program that takes them.
type balancer struct {
	addr     string
	backends atomic.Pointer[[]*program]
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	b := &balancer{addr: l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go b.pass(c)
		}
	}()
	return b
}

func (b *balancer) to(all ...*program) { b.backends.Store(&all) }

func (b *balancer) pass(c net.Conn) {
	defer c.Close()
	for _, p := range *b.backends.Load() {
		back, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			continue
		}
		defer back.Close()
		go io.Copy(back, c) //nolint:errcheck
		io.Copy(c, back)    //nolint:errcheck
		return
	}
}

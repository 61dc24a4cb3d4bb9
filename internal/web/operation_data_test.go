package web_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

const diskQuestion = "Installing server web-2 on disk nvme0n1 (512 GB SAMSUNG MZVL2512) changes what this program did not write:\n" +
	"disk S64GNX0T123 is not blank, everything on it will be lost: partition 1 boot 512 MB ext4; partition 2 511 GB linux_raid_member; RAID array md1 raid1.\n" +
	"disk S64GNX0T456: RAID array md1 raid1 loses a member: it is degraded.\n" +
	"To go on, answer with S64GNX0T123 S64GNX0T456"

// operationData makes records for operations in their states, besides those of populate, and gives the addresses of the pages that show them.
func (l *lab) operationData(t testing.TB) []string {
	t.Helper()
	cluster := l.webServers(t, 7)
	begun := time.Now().Add(-9 * time.Minute)
	done := l.installAt(t, "web-0", cluster, begun, 12)
	l.installAt(t, "web-1", cluster, begun.Add(20*time.Second), 12)
	asking := l.installAt(t, "web-2", cluster, begun.Add(40*time.Second), 5)
	l.change(t, asking, workflow.Change{State: fleet.Asking, Question: ptr(diskQuestion), Release: true})
	writing := l.installAt(t, "web-3", cluster, begun.Add(60*time.Second), 7)
	l.change(t, writing, workflow.Change{
		State: fleet.Waiting, WaitingFor: ptr("the image to be written (417 of 1024 MB)"), WaitUntil: ptr(time.Now().Add(2 * time.Second)), Release: true,
		Done: ptr(int64(417e6)), Total: ptr(int64(1024e6)), Unit: ptr("bytes"), Values: waitingSince(time.Now().Add(-40 * time.Second)),
	})
	budget := l.installAt(t, "web-4", cluster, begun.Add(80*time.Second), 2)
	l.change(t, budget, workflow.Change{
		State: fleet.Waiting, WaitingFor: ptr("the rate budget to come back"), WaitUntil: ptr(time.Now().Add(40 * time.Minute)), Release: true,
		Error: ptr("the budget for resets is used up"),
	})
	stuck := l.notReadyAt(t, "web-5", cluster, begun.Add(100*time.Second))
	without := l.installAt(t, "web-6", cluster, begun.Add(120*time.Second), 12)
	l.skippedAt(t, without, "wait for Kubernetes")
	all := []string{"/operations?sort=-duration", "/operations?kind=server.install&search=web", "/operations?page=9", "/events?actor=admin", "/events?subject=operation&target=" + asking}
	for _, id := range []string{done, asking, writing, budget, stuck, without} {
		all = append(all, "/operations/"+id)
	}
	return append(all, "/operations/"+done+"?log=image&level=warn&times=elapsed&wrap=no")
}

// notReadyAt is an install that waits for its node to be Ready.
func (l *lab) notReadyAt(t testing.TB, server string, cluster fleet.Cluster, at time.Time) (id string) {
	t.Helper()
	id = l.installAt(t, server, cluster, at, 11)
	l.change(t, id, workflow.Change{
		State: fleet.Waiting, WaitingFor: ptr("node " + server + " to be Ready: it has not joined yet"), WaitUntil: ptr(time.Now().Add(2 * time.Second)), Release: true,
		Values: waitingSince(time.Now().Add(-4 * time.Minute)),
	})
	return id
}

// skippedAt has a step of an operation that is over be one that was skipped.
func (l *lab) skippedAt(t testing.TB, id, name string) {
	t.Helper()
	must(t, l.store.RequestOperation(t.Context(), id, func(op fleet.Operation) (workflow.Change, error) {
		i := slices.IndexFunc(op.Steps, func(s fleet.OperationStep) bool { return s.Name == name })
		op.Steps[i].State = fleet.Skipped
		return workflow.Change{Steps: op.Steps[i : i+1]}, nil
	}))
}

func waitingSince(at time.Time) map[string][]byte {
	return map[string][]byte{workflow.MemoValue: fmt.Appendf(nil, `{"waiting": %q}`, at.Format(time.RFC3339Nano))}
}

// webServers adds dedicated servers web-0 and so on to a cluster of their own.
func (l *lab) webServers(t testing.TB, n int) fleet.Cluster {
	t.Helper()
	account, err := l.store.CreateAccount(t.Context(), fleet.Account{Name: "web", Provider: fleet.HetznerRobot, User: robotUser, Password: robotPassword})
	must(t, err)
	cluster, err := l.store.CreateCluster(t.Context(), fleet.Cluster{Name: "web", Endpoint: "https://198.51.100.8:6443", TalosVersion: "v1.14.1", KubernetesVersion: "v1.37.0", Secrets: []byte("cluster: {}")})
	must(t, err)
	var all []fleet.Server
	for i := range n {
		all = append(all, fleet.Server{ProviderID: fmt.Sprint(9000 + i), Name: fmt.Sprintf("web-%d", i), Product: "AX41-NVMe", Location: "FSN1-DC8", Architecture: fleet.AMD64, Status: "ready", IPv4: fmt.Sprintf("198.51.100.%d", 100+i)})
	}
	l.list(t, account, all...)
	for i := range n {
		s := l.serverNamed(t, fmt.Sprintf("web-%d", i))
		must(t, l.store.SetFacts(t.Context(), s.ID, fleet.Facts{At: time.Now(), UUID: fmt.Sprintf("5c4c4544-0051-3610-8052-b4c04f4a%04d", i), Firmware: "uefi", Disks: []fleet.Disk{
			{Name: "nvme0n1", Serial: "S64GNX0T123", Model: "SAMSUNG MZVL2512", SizeBytes: 512e9, Transport: "nvme"},
			{Name: "nvme1n1", Serial: "S64GNX0T456", Model: "SAMSUNG MZVL2512", SizeBytes: 512e9, Transport: "nvme"},
		}}))
		_, err := l.store.Assign(t.Context(), s.ID, fleet.Assignment{ClusterID: cluster.ID, Role: fleet.Worker, Hostname: s.Name})
		must(t, err)
	}
	return cluster
}

// installAt writes an install as the engine would have, that was asked for at a time and has done so many steps; with all
// twelve it is over. A step takes half a minute.
func (l *lab) installAt(t testing.TB, server string, cluster fleet.Cluster, at time.Time, done int) (id string) {
	t.Helper()
	names := []string{
		"check the records", "ask for the rescue system", "boot the rescue system", "reach the rescue system", "read the facts", "choose the disk",
		"release the disk", "write the image", "boot Talos", "hand over the config", "check the node", "wait for Kubernetes",
	}
	c := workflow.Change{State: fleet.Succeeded, Release: true}
	for i, name := range names {
		step := fleet.OperationStep{Name: name, State: fleet.Pending}
		begun := at.Add(time.Duration(i) * 30 * time.Second)
		if i < done {
			step.State, step.Attempts, step.StartedAt, step.FinishedAt = fleet.Succeeded, 1, begun, begun.Add(30*time.Second)
			c.Finished = ptr(step.FinishedAt)
			c.Log = append(c.Log, fleet.LogLine{At: begun, Step: name, Level: "info", Text: "about to " + name})
		}
		if i == done {
			step.State, step.Attempts, step.StartedAt = fleet.Waiting, max(1, 6-done), begun
			c.Step, c.State, c.Finished, c.Release = ptr(name), fleet.Running, nil, true
		}
		c.Steps = append(c.Steps, step)
	}
	if done > 3 {
		c.Log = append(
			c.Log,
			fleet.LogLine{At: at.Add(65 * time.Second), Step: "boot the rescue system", Level: "info", Text: "hard reset ordered at hetzner_robot (one of the account's 50 resets an hour)"},
			fleet.LogLine{At: at.Add(100 * time.Second), Step: "reach the rescue system", Level: "warn", Text: "the rescue system did not come within 10 min of the hard reset: power cycle ordered (two of the account's 50 resets an hour)"},
			fleet.LogLine{At: at.Add(200 * time.Second), Step: "write the image", Level: "info", Text: "writing https://factory.talos.dev/image/376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba/v1.14.1/metal-amd64.raw.zst to nvme0n1 (512 GB SAMSUNG MZVL2512, serial S64GNX0T123)"},
			fleet.LogLine{At: at.Add(201 * time.Second), Step: "write the image", Level: "error", Text: "the disk is slow"},
		)
	}
	slices.SortStableFunc(c.Log, func(a, b fleet.LogLine) int { return a.At.Compare(b.At) })
	op := fleet.Operation{ID: fleet.NewID(), Kind: "server.install", ServerID: l.serverNamed(t, server).ID, ClusterID: cluster.ID, Actor: "admin", State: fleet.Pending, CreatedAt: at}
	must(t, l.store.CreateOperation(t.Context(), op, []byte("{}")))
	l.change(t, op.ID, c)
	return op.ID
}

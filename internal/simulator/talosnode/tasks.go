package talosnode

import (
	"context"
	"fmt"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
)

func startTask(id string) string { return "start" + strings.ToUpper(id[:1]) + id[1:] }

// startService starts an early service and, but for apid, waits for it: apid waits for the config.
func (n *node) startService(ctx context.Context, d definition) error {
	n.services.start(d)
	if d.id == "apid" {
		return nil
	}
	if !n.services.until(ctx, func() bool { return n.services.up(d.id) }) {
		return ctx.Err()
	}
	return nil
}

// network comes up beside the initialize sequence.
func (n *node) network() {
	n.events.publish(&machine.AddressEvent{}, "")
	if !n.sleep(n.ctx, networkTime) {
		return
	}
	n.setOnline()
	n.announceAddress()
	if n.sleep(n.ctx, stepTime) {
		n.mu.Lock()
		n.synced = true
		n.mu.Unlock()
		n.status.touch()
	}
}

func (n *node) announceAddress() {
	e := &machine.AddressEvent{Hostname: n.hostname()}
	if n.configured() {
		for _, a := range n.machine.Addresses() {
			e.Addresses = append(e.Addresses, a.String())
		}
	}
	n.events.publish(e, "")
	n.status.touch()
}

// mountEphemeral makes the partitions of a first boot.
func (n *node) mountEphemeral(ctx context.Context) error {
	if err := n.provision(); err != nil {
		return err
	}
	if err := n.lock(n.config(), ephemeral); err != nil {
		return err
	}
	if err := n.unlock(ephemeral); err != nil {
		return err
	}
	return n.pass(ctx, ephemeralTime)
}

// startAllServices ends when every service is up. An etcd that was asked to bootstrap counts as up, as in Talos.
func (n *node) startAllServices(ctx context.Context) error {
	n.env.Clusters.join(n)
	n.spawn(func() { n.kube.watch(n.ctx) })
	late := n.lateServices()
	for _, d := range late {
		n.services.start(d)
	}
	n.status.touch()
	ok := n.services.until(ctx, func() bool {
		for _, d := range late {
			if !n.services.settled(d.id) && !n.etcd.asked(d.id) {
				return false
			}
		}
		return true
	})
	if !ok {
		return ctx.Err()
	}
	return nil
}

// goingDown tells Kubernetes: Talos cordons its node in every sequence that goes down.
func (n *node) goingDown() { n.kube.goingDown() }

func (n *node) drain(ctx context.Context) error {
	if n.kube.nodeName() == "" {
		return nil
	}
	return n.pass(ctx, drainTime)
}

// stopAllPods stops the kubelet and what it runs.
func (n *node) stopAllPods(ctx context.Context) error {
	if _, ok := n.services.get("kubelet"); !ok {
		return nil
	}
	if err := n.pass(ctx, podsStopTime); err != nil {
		return err
	}
	n.services.stop(ctx, "kubelet")
	n.kube.stopPods()
	return ctx.Err()
}

// stopServices stops what uses the partition EPHEMERAL.
func (n *node) stopServices(ctx context.Context) error {
	for _, id := range []string{"kubelet", "etcd", "cri"} {
		n.services.stop(ctx, id)
	}
	n.kube.stopPods()
	return ctx.Err()
}

// stopAllServices takes the API away with everything else: streams end with EOF, then nobody listens.
func (n *node) stopAllServices(ctx context.Context) error {
	n.api.cut()
	n.services.close(ctx)
	return n.pass(ctx, stepTime)
}

// end ends the boot and does not return before it has.
func (n *node) end(o outcome) func(context.Context) error {
	return func(ctx context.Context) error {
		n.halt(o)
		<-n.ctx.Done()
		return n.ctx.Err()
	}
}

func (n *node) wipe(labels ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := n.pass(ctx, wipeTime); err != nil {
			return err
		}
		if err := n.wipePartitions(labels); err != nil {
			return err
		}
		if len(labels) == 0 || contains(labels, ephemeral) {
			n.etcd.forget()
		}
		return nil
	}
}

func (n *node) wipeUserDisks(paths []string) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, p := range paths {
			d := n.machine.Disk(strings.TrimPrefix(p, "/dev/"))
			if d == nil {
				return fmt.Errorf("reset user disk failed: device %s wasn't found", p)
			}
			d.Discard(0, d.SizeBytes)
		}
		return n.pass(ctx, wipeTime)
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

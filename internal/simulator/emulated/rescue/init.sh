#!/bin/sh
# First program of the emulated rescue system: mounts the userland as Hetzner's does, a read-only loop device from the
# network below a file system in memory, and goes there. The share of the machine that emulates stands for the NFS.
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in virtio_pci 9pnet_virtio 9p loop squashfs overlay; do
	modprobe -q $module || echo "rescue: no module $module"
done
mkdir -p /nfs /nfsroot /ramfs /new
lost() {
	echo "rescue: no root file system"
	exec sh
}
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose rescue /nfs || lost
losetup -r /dev/loop0 /nfs/root.squashfs || lost
mount -t squashfs -o ro /dev/loop0 /nfsroot || lost
mount -t tmpfs -o size=50% ramfs /ramfs || lost
mkdir -p /ramfs/root /ramfs/work
mount -t overlay -o lowerdir=/nfsroot,upperdir=/ramfs/root,workdir=/ramfs/work overlay /new || lost
mkdir -p /new/root/.oldroot/nfs
mount -o move /nfs /new/root/.oldroot/nfs
for dir in dev proc sys; do mount -o move /$dir /new/$dir; done
exec switch_root /new /sbin/init

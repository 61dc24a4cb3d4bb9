#!/bin/sh
# Brings the rescue system up: what systemd does on Hetzner's, in the time that an emulated processor has.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs /run
mount -t tmpfs -o nosuid,nodev tmpfs /tmp
chmod 1777 /tmp
mkdir -p /dev/pts /dev/shm /run/lock /run/sshd /run/lvm /run/mdadm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
ln -s /proc/self/fd /dev/fd
for number in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${number%%:*}" "/dev/${number#*:}"; done
hostname rescue

modprobe -q qemu_fw_cfg
keys=/sys/firmware/qemu_fw_cfg/by_name/opt/rescue
for kind in ed25519 ecdsa; do
	cat $keys/host_$kind/raw >/etc/ssh/ssh_host_${kind}_key
	chmod 600 /etc/ssh/ssh_host_${kind}_key
done
mkdir -p /root/.ssh
chmod 700 /root/.ssh
cat $keys/authorized_keys/raw >/root/.ssh/authorized_keys
chmod 600 /root/.ssh/authorized_keys
cp /root/.ssh/authorized_keys /root/.ssh/robot_user_keys
cat $keys/test_keys/raw >/etc/ssh/test_keys # the test looks in by itself, too

if [ -d /sys/firmware/efi ]; then
	modprobe -q efivarfs
	mount -t efivarfs -o ro efivarfs /sys/firmware/efi/efivars
fi

# The link takes seconds to come up; meanwhile, disks are found.
modprobe -q e1000e
ip link set lo up
ip link set eth0 up

# Linux ignores the identifiers of QEMU's NVMe disks, because they all used to be the same. Ours are chosen, and to be
# seen: the quirk goes with the entry of the driver's own table, and an entry added here comes before it.
echo 0 >/sys/bus/pci/drivers_autoprobe
modprobe -q nvme
echo "1b36 0010 ffffffff ffffffff 0 0 0" >/sys/bus/pci/drivers/nvme/new_id
echo 1 >/sys/bus/pci/drivers_autoprobe

# Only what has a driver to load or a disk: a terminal has neither, and there are hundreds.
modprobe -q button
/lib/systemd/systemd-udevd --daemon
match=$(printf -- '--subsystem-match=%s ' pci virtio scsi nvme nvme-subsystem block net rtc)
# shellcheck disable=SC2086 # several words
udevadm trigger --action=add $match
udevadm settle --timeout=60
udhcpc -i eth0 -q -n -t 20 -T 1 -s /usr/lib/rescue/dhcp.sh >/dev/null 2>&1 || echo "rescue: no address"
modprobe -q dm-mod
echo "rescue: up after $(cut -d' ' -f1 /proc/uptime) s" >/dev/console

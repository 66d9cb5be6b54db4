#!/bin/bash
# image.sh DIR: makes in DIR what the machine of these tests boots from: a kernel, its initrd, and Debian with systemd on a disk (3 GB, most of
# it holes). Takes a minute or two, and is done once: what changes from run to run comes on a disk of its own (boot.sh).
# Needs mmdebstrap and e2fsprogs, root or user namespaces, and a Debian mirror.
set -euo pipefail
dir=$1
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dir"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus,udev,procps,bubblewrap,socat,linux-image-cloud-amd64 \
	--customize-hook='mkdir -p "$1/payload"' \
	--customize-hook='echo "/dev/vdb /payload ext4 ro 0 0" > "$1/etc/fstab"' \
	--customize-hook="copy-in $here/hosttest.service /etc/systemd/system" \
	--customize-hook='chroot "$1" systemctl enable --quiet hosttest.service' \
	--customize-hook='chroot "$1" systemctl mask --quiet serial-getty@ttyS0.service apt-daily.timer apt-daily-upgrade.timer' \
	bookworm "$work/root.tar"
mkdir "$work/root"
# Devices are the guest's own to make; a plain user may not.
tar -C "$work/root" -xf "$work/root.tar" --exclude='./dev/*'
mv "$work"/root/boot/vmlinuz-* "$work/vmlinuz"
mv "$work"/root/boot/initrd.img-* "$work/initrd"
truncate -s 3G "$work/disk.img"
mkfs.ext4 -q -F -d "$work/root" "$work/disk.img"
mv "$work/vmlinuz" "$work/initrd" "$dir/"
mv "$work/disk.img" "$dir/" # with it the image is whole

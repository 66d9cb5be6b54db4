#!/bin/bash
# boot.sh IMAGE PAYLOAD: boots the machine that image.sh has made, with the directory PAYLOAD on its second disk, and runs PAYLOAD/hosttest in
# it. Its output is this script's, and so is its exit code. Needs qemu-system-x86_64; KVM is not needed, and not used: where this is
# run, in machines of a CI, it often is there and does not work.
set -euo pipefail
image=$1 payload=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

size=$(($(du -sm "$payload" | cut -f1) * 5 / 4 + 64))
truncate -s "${size}M" "$work/payload.img"
mkfs.ext4 -q -F -d "$payload" "$work/payload.img"
cp --sparse=always "$image/disk.img" "$work/disk.img"

# Without a network: what the tests need is on its disks.
timeout "${HOSTTEST_TIMEOUT:-900}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -machine q35 -smp 2 -m 2048 -nographic -no-reboot -nic none -monitor none -serial stdio \
	-kernel "$image/vmlinuz" -initrd "$image/initrd" \
	-append "root=/dev/vda rw console=ttyS0 quiet edd=off systemd.show_status=0 systemd.log_target=journal" \
	-drive file="$work/disk.img",format=raw,if=virtio,cache=unsafe \
	-drive file="$work/payload.img",format=raw,if=virtio,cache=unsafe \
	</dev/null | sed -u 's/\r$//' | tee "$work/console" || { echo "hosttest: the machine did not end by itself" >&2; exit 1; }

code=$(sed -n 's/.*hosttest: exit code \([0-9]*\)$/\1/p' "$work/console" | tail -n 1)
[[ -n $code ]] || { echo "hosttest: the tests did not come to an end" >&2; exit 1; }
exit "$code"

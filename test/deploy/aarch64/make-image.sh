#!/usr/bin/env bash
# make-image.sh FOLDER: an aarch64 Debian for qemu out of Debian's own packages: kernel, initrd.gz, root.img, keys. Needs root and apt; nothing is emulated here:
# apt resolves and downloads with a state of its own, dpkg-deb unpacks, no maintainer script runs.
set -euo pipefail
out=$(realpath -m "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mirror=$(grep -rhoE '^(URIs:|deb( \[[^]]*\])?) *http[^ ]*debian/? ' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | grep -oE 'http[^ ]*' | head -1 || true)
[ -n "$mirror" ] || mirror=$(grep -rhoE 'http[^ ]*/debian/?$' /etc/apt/sources.list.d 2>/dev/null | head -1 || true)
[ -n "$mirror" ] || mirror=http://deb.debian.org/debian
mkdir -p apt/{lists/partial,cache/archives/partial,etc}
: > apt/status
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm main" > apt/etc/sources.list
apt=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State=$work/apt" -o "Dir::State::status=$work/apt/status" -o "Dir::State::lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache"
  -o "Dir::Etc::sourcelist=$work/apt/etc/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null -o APT::Install-Recommends=false -o Debug::NoLocking=true -o APT::Sandbox::User=root -o Acquire::Languages=none)
apt-get "${apt[@]}" -qq update
kernel=$(apt-cache "${apt[@]}" depends linux-image-cloud-arm64 | sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -1)
apt-get "${apt[@]}" -qq -y --download-only install base-files libc6 libstdc++6 dash coreutils tar gzip grep sed findutils mawk procps util-linux openssh-server libc-bin hostname diffutils > /dev/null
apt-get "${apt[@]}" -qq download busybox-static "$kernel" > /dev/null

root=$work/root
mkdir -p "$root"/usr/{bin,sbin,lib} "$root"/{proc,sys,dev,tmp,run,root,etc/edge,var/empty,home/edge/.ssh}
for x in bin sbin lib; do ln -s "usr/$x" "$root/$x"; done
for deb in apt/cache/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale --exclude=./usr/share/info
done
dpkg-deb -x busybox-static_*.deb busybox
dpkg-deb -x "$kernel"_*.deb kernel
cp busybox/bin/busybox "$root/usr/bin/busybox"
[ -e "$root/usr/bin/sh" ] || ln -s dash "$root/usr/bin/sh"
[ -e "$root/usr/bin/awk" ] || ln -s mawk "$root/usr/bin/awk"
chmod 1777 "$root/tmp"

mkdir -p "$out"
for name in host id; do
  rm -f "$out/$name" "$out/$name.pub"
  ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$out/$name"
done
cp "$out/host" "$root/etc/edge/hostkey"
cp "$out/id.pub" "$root/home/edge/.ssh/authorized_keys"
printf 'root:x:0:0:root:/root:/bin/sh\nsshd:x:120:65534::/run/sshd:/usr/sbin/nologin\nedge:x:1900:1900::/home/edge:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n' > "$root/etc/passwd"
printf 'root:x:0:\nedge:x:1900:\nnogroup:x:65534:\n' > "$root/etc/group"
printf 'root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\nedge:*:19000:0:99999:7:::\n' > "$root/etc/shadow"
printf 'passwd: files\ngroup: files\nhosts: files dns\n' > "$root/etc/nsswitch.conf"
chown -R 1900:1900 "$root/home/edge"
chmod 700 "$root/home/edge/.ssh"
chmod 600 "$root/home/edge/.ssh/authorized_keys" "$root/etc/edge/hostkey"
cat > "$root/etc/edge/init" <<'INIT'
#!/bin/sh
B=/usr/bin/busybox
$B mount -t proc p /proc
$B mount -t sysfs s /sys
$B mount -t tmpfs t /run
$B mount -t tmpfs t /tmp
mkdir -p /dev/pts /run/sshd
$B mount -t devpts d /dev/pts
$B hostname edge-arm64
$B ip link set lo up
$B ip addr add 10.0.2.15/24 dev eth0
$B ip link set eth0 up
/usr/sbin/sshd -e -f /dev/null -o AuthorizedKeysFile=.ssh/authorized_keys -o UsePAM=no -o PasswordAuthentication=no -o HostKey=/etc/edge/hostkey -o PidFile=/run/sshd.pid -o UseDNS=no
echo "EDGE-READY $(cut -d' ' -f1 /proc/uptime)"
while :; do $B sleep 3600; done
INIT
chmod +x "$root/etc/edge/init"

mkdir -p ird/{bin,dev,proc,sys,m,n}
cp busybox/bin/busybox ird/bin/
ln -s busybox ird/bin/sh
modules=kernel/lib/modules/$(ls kernel/lib/modules)/kernel
list='drivers/virtio/virtio drivers/virtio/virtio_ring drivers/virtio/virtio_pci_modern_dev drivers/virtio/virtio_pci_legacy_dev drivers/virtio/virtio_pci net/core/failover drivers/net/net_failover drivers/net/virtio_net drivers/block/virtio_blk drivers/char/hw_random/virtio-rng'
for m in $list; do cp "$modules/$m.ko" ird/m/; done
cat > ird/init <<INITRD
#!/bin/sh
B=/bin/busybox
\$B mount -t proc p /proc
\$B mount -t devtmpfs d /dev
for m in $(for m in $list; do basename "$m"; done | tr '\n' ' '); do \$B insmod /m/\$m.ko; done
for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/vda ] && break; \$B sleep 0.2; done
\$B mount -t ext4 /dev/vda /n || exec /bin/sh
\$B umount /proc
\$B mount --move /dev /n/dev
exec \$B switch_root /n /etc/edge/init
INITRD
chmod +x ird/init
(cd ird && find . | cpio -o -H newc --quiet | gzip -1) > "$out/initrd.gz"
cp kernel/boot/vmlinuz-* "$out/kernel"
rm -f "$out/root.img"
truncate -s 900M "$out/root.img"
/sbin/mkfs.ext4 -q -d "$root" "$out/root.img"
touch "$out/complete"

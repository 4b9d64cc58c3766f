#!/bin/sh
# First process of a device made of namespaces (network, mounts, processes, host name): its root is this machine's, read-only, under a disk of its own.
# In: NAME ADDRESS STATE (folder with keys/, disk/, root/). Ends as the device's sshd.
set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$STATE/disk/up,workdir=$STATE/disk/work" "$STATE/root"
cat /proc/sys/kernel/random/uuid > "$STATE/boot"
cd "$STATE/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t sysfs -o ro sysfs sys 2>/dev/null || true
mount -t tmpfs -o size=64m tmpfs tmp
mount -t tmpfs -o size=8m tmpfs run
# Each start of the device is a boot of its own.
mount --bind "$STATE/boot" proc/sys/kernel/random/boot_id
mkdir -p run/sshd etc/edge home/edge/.ssh var/empty
hostname "$NAME"
grep -q '^edge:' etc/passwd || echo 'edge:x:1900:1900::/home/edge:/bin/sh' >> etc/passwd
grep -q '^edge:' etc/group || echo 'edge:x:1900:' >> etc/group
grep -q '^edge:' etc/shadow || echo 'edge:*:19000:0:99999:7:::' >> etc/shadow
grep -q '^sshd:' etc/passwd || echo 'sshd:x:120:65534::/run/sshd:/usr/sbin/nologin' >> etc/passwd
cp "$STATE/keys/host" etc/edge/hostkey
chmod 600 etc/edge/hostkey
cp "$STATE/keys/authorized" home/edge/.ssh/authorized_keys
chown -R 1900:1900 home/edge/.ssh
chown 1900:1900 home/edge
chmod 700 home/edge/.ssh
chmod 600 home/edge/.ssh/authorized_keys
cat > etc/edge/sshd_config <<C
Port 22
ListenAddress $ADDRESS
HostKey /etc/edge/hostkey
PidFile /run/sshd.pid
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile .ssh/authorized_keys
PrintMotd no
UseDNS no
C
exec chroot . /usr/sbin/sshd -D -e -f /etc/edge/sshd_config

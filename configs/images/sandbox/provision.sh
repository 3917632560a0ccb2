#!/bin/sh
# Makes of a base with Python what code runs on. It runs once, as root, inside: the Dockerfile runs it for Docker and Podman,
# and `agentrt image build` in the folder that bubblewrap uses, so that both have the same content.
set -eu
umask 022
site=/opt/sandbox/site

# Where the host mounts things; the root itself is read-only by then.
mkdir -p /workspace /skills /tools /wheels /run/agentrt /opt/agentrt/runner /proc /sys /dev /tmp
chmod 1777 /tmp

grep -q '^coderunner:' /etc/group || echo 'coderunner:x:10001:' >>/etc/group
grep -q '^coderunner:' /etc/passwd || echo 'coderunner:x:10001:10001::/workspace:/bin/bash' >>/etc/passwd

# Models write `python`.
python=$(command -v python3)
[ -e "${python%3}" ] || ln -s python3 "${python%3}"

# No program gives rights that its caller has not.
find / -xdev -type f -perm /6000 -exec chmod a-s {} +

# Nothing tells where packages come from, or on which machine this was built.
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/auth.conf /etc/apt/auth.conf.d /etc/apt/apt.conf.d/*proxy* \
  /var/lib/apt/lists /var/cache/apt /etc/pip.conf /root/.pip /root/.config /root/.cache \
  /etc/machine-id /etc/shadow /etc/shadow- /etc/gshadow /etc/gshadow-
# An engine may hold its own over these while it builds.
{ : >/etc/resolv.conf && echo sandbox >/etc/hostname && echo '127.0.0.1 localhost' >/etc/hosts; } 2>/dev/null || true

# The packages are found by every Python that starts here, also one that is told to ignore its environment. Matplotlib
# keeps its list of fonts outside the workspace, and draws into files.
pth=$(python3 -c 'import site; print(site.getsitepackages()[0])')
mkdir -p "$pth"
printf '%s\n' "$site" 'import os; os.environ.setdefault("MPLCONFIGDIR", "/tmp/.matplotlib")' >"$pth/sandbox.pth"
rc=$site/matplotlib/mpl-data/matplotlibrc
if [ -f "$rc" ] && ! grep -q '^backend:' "$rc"; then echo 'backend: Agg' >>"$rc"; fi

# A base without certificates takes those of the packages.
trust=$(python3 -c 'import ssl; print(ssl.get_default_verify_paths().openssl_cafile)')
if [ -f "$site/certifi/cacert.pem" ] && [ ! -e "$trust" ] && [ ! -e /etc/ssl/certs/ca-certificates.crt ]; then
  mkdir -p "${trust%/*}" /etc/ssl/certs
  ln -sf "$site/certifi/cacert.pem" "$trust"
  ln -sf "$site/certifi/cacert.pem" /etc/ssl/certs/ca-certificates.crt
fi
ldconfig 2>/dev/null || true

# What is compiled already is left as it is. Some packages hold files that are not for this Python: no reason to fail.
stdlib=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
python3 -m compileall -qq -j 0 "$stdlib" "$site" || true

#!/bin/sh
# Behind `make run`: scripts/sandbox.sh SERVER waits until the process SERVER listens; then, where neither Docker nor bubblewrap
# is there to run code in, installs bubblewrap (root on Debian), or says how. SANDBOX=none leaves the machine as it is.
set -u
server=$1
[ "${SANDBOX:-}" != none ] || exit 0
[ -z "${DOCKER_HOST:-}${AGENTRT_CONTAINERS__DOCKER_URL:-}" ] || exit 0 # an engine elsewhere; the server says how it is with it
! command -v bwrap >/dev/null || exit 0
! grep -q 'docker\.sock$' /proc/net/unix 2>/dev/null || exit 0
[ ! -S "$HOME/.docker/run/docker.sock" ] || exit 0

say() { printf 'agentrt: %s\n' "$*" >&2; }

listens() { # whether the process $1 does
  sockets=$(find "/proc/$1/fd" -lname 'socket:*' -printf '%l\n' 2>/dev/null | tr -dc '0-9\n')
  awk '$4 == "0A" { print $10 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -qxF "${sockets:-none}"
}

waited=0
until listens "$server" || [ $waited -ge 60 ]; do
  kill -0 "$server" 2>/dev/null || exit 0
  sleep 1
  waited=$((waited + 1))
done

if [ "$(id -u)" != 0 ]; then # bubblewrap could limit nothing for this user
  say "code does not run here yet: as root, install Docker and let $(id -un) use it (on Debian:  apt-get install -y docker.io && usermod -aG docker $(id -un)), then log in again"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  say "code does not run here yet: install Docker, or bubblewrap (on Debian, as root:  apt-get install -y bubblewrap)"
  exit 0
fi
say "installing bubblewrap behind the server, to run code in (SANDBOX=none leaves that out)"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
install() { nice -n 19 apt-get install -y --no-install-recommends bubblewrap >>"$log" 2>&1; }
if install || { nice -n 19 apt-get update >>"$log" 2>&1 && install; }; then
  rm -f "$log"
  say "bubblewrap is installed; the server builds the image that code runs on, and /health says how far it is"
else
  say "bubblewrap could not be installed (all of it: $log); everything but running code works"
fi

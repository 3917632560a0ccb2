#!/bin/sh
# Installs the Debian packages named as arguments where this is root on Debian; elsewhere says what is missing.
set -u
missing=
for package; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "agentrt: not installed here:$missing; tests are skipped without it (root on Debian:  make test-deps  installs it)" >&2
  exit 0
fi
echo "agentrt: installing for the tests:$missing"
# The tests start what they need themselves: no service is started here.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
log=$(mktemp)
# shellcheck disable=SC2086
if apt-get update >"$log" 2>&1 && apt-get install -y --no-install-recommends $missing >>"$log" 2>&1; then
  rm -f "$log"
else
  tail -n 5 "$log" >&2
  echo "agentrt: could not install$missing (all of it: $log); their tests are skipped" >&2
fi

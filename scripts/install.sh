#!/bin/sh
# Builds .venv from a hashed lock: scripts/install.sh run|dev
# Python is $PYTHON or the first of a few names that is new enough. uv, inside .venv, installs; pip where uv cannot.
set -u
cd "$(dirname "$0")/.." || exit 1
kind=$1
case $kind in
run) lock=requirements.lock ;;
dev) lock=requirements-dev.lock ;;
esac
log=.venv/install.log
python=.venv/bin/python
began=$(date +%s)
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf 'agentrt: %s\n' "$*"; }
die() { printf 'agentrt: %s\n' "$*" >&2; exit 1; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if new_enough "$candidate"; then command -v "$candidate" && return; fi
  done
  return 1
}

too_old() {
  found=$("${PYTHON:-python3}" --version 2>/dev/null || echo none)
  die "Python 3.11 or newer is needed, and this is $found: install one, then type  make ${GOAL:-run} PYTHON=/path/to/python3"
}

no_venv() {
  if command -v apt-get >/dev/null; then
    die "Python's venv module is missing: type  apt-get install -y python3-venv  (as root), then  make ${GOAL:-run}"
  fi
  die "$1 has no venv module: install it, or type  make ${GOAL:-run} PYTHON=/path/to/python3"
}

create_venv() {
  base=$(find_python) || too_old
  "$base" -c 'import ensurepip, venv' 2>/dev/null || no_venv "$base"
  say "building .venv with $("$base" --version)"
  "$base" -m venv --clear .venv || die "the environment could not be built: see the lines above, then type  make clean ${GOAL:-run}"
}

install() { # the arguments of "pip install"
  "$python" -m uv pip install --quiet --python "$python" "$@" >>"$log" 2>&1 ||
    "$python" -m pip install --quiet "$@" >>"$log" 2>&1
}

failed() {
  die "the packages could not be installed (all of it: $log): check the network or pip's settings, then type  make ${GOAL:-run}"
}

# An environment that was moved or copied keeps its old place in its scripts: build it again.
in_place() { [ "$(cat .venv/.home 2>/dev/null || pwd)" = "$(pwd)" ] && new_enough "$python"; }

in_place || create_venv
pwd >.venv/.home
: >"$log"
say "installing $(grep -c '^[a-z]' "$lock") pinned packages (from $lock)"
"$python" -m pip install --quiet --require-hashes -r requirements-install.lock >>"$log" 2>&1 || failed
install --require-hashes -r "$lock" || failed
install --no-deps --no-build-isolation --editable . || failed
touch ".venv/.$kind"
say "installed in $(($(date +%s) - began)) s"

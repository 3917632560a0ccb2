#!/bin/sh
# Builds dist/: wheel, sdist, and agentrt.pyz, which serves on a bare Python of this version and platform; then tries the file.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
rm -rf dist build/pyz
say() { printf 'agentrt: %s\n' "$*"; }

say 'building wheel and sdist'
$python -m uv build --quiet --no-build-isolation --python $python --out-dir dist
rm -f dist/.gitignore

say 'building agentrt.pyz'
$python -m uv pip install --quiet --python $python --target build/pyz --require-hashes -r requirements.lock
$python -m uv pip install --quiet --python $python --target build/pyz --no-deps dist/agentrt-*.whl
# its scripts point to this machine's Python, and shiv has its own way in
rm -rf build/pyz/bin
$python -m shiv.cli --site-packages build/pyz --entry-point agentrt.__main__:main --output-file dist/agentrt.pyz \
  --python '/usr/bin/env python3' --preamble scripts/pyz_preamble.py --compressed --reproducible --extend-pythonpath >/dev/null

say 'trying agentrt.pyz on a bare Python'
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
$python -m venv --without-pip "$scratch/bare"
$python examples/clients/demo.py env "SHIV_ROOT=$scratch/unpacked" "$scratch/bare/bin/python" "$PWD/dist/agentrt.pyz"
ls -l dist | awk 'NR > 1 { printf "dist/%-32s %8.1f MB\n", $9, $5 / 1e6 }'

#!/bin/sh
# Writes migrations/versions/…_MESSAGE.py: what brings the newest migration to the tables that the code declares.
set -eu
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
next=$(printf '%04d' $(($(find migrations/versions -name '[0-9]*.py' | wc -l) + 1)))
alembic() { .venv/bin/alembic -x "url=sqlite+aiosqlite:///$scratch/scratch.db" "$@"; }
alembic upgrade head
alembic revision --autogenerate --rev-id "$next" -m "$1"
sed -i "/# ### .* Alembic/d" migrations/versions/"$next"_*.py
.venv/bin/ruff format --quiet migrations

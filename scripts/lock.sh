#!/usr/bin/env bash
# Rewrites constraints.txt from a fresh environment with every extra: the newest versions that pyproject.toml allows.
# A failed install leaves the old file as it was.
set -euo pipefail
cd "$(dirname "$0")/.."

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

scripts/venv.sh "$fresh/venv"
# The one exact choice: sensor and run-launcher behaviour was measured on this Dagster, so it moves only on purpose.
"$fresh/venv/bin/python" -m pip install --quiet -e '.[dagster,http,demo,dev,docs,monitoring,bench]' dagster==1.13.27 dagster-webserver==1.13.27

{
    echo "# Every package of every extra, exactly. Written by scripts/lock.sh; the ranges stand in pyproject.toml."
    "$fresh/venv/bin/python" -m pip freeze --exclude-editable | grep -E '^[A-Za-z0-9_.-]+=='
} > "$fresh/constraints.txt"
mv "$fresh/constraints.txt" constraints.txt

#!/usr/bin/env bash
# Makes an empty virtual environment at $1 with the first Python that is new enough.
# Debian and Ubuntu ship Python without ensurepip: root gets the missing package installed, others get its name.
set -euo pipefail
target=${1:?usage: scripts/venv.sh DIRECTORY}
if [ -L "$target" ]; then # venv --clear empties what the link points to, and only then refuses
    echo "error: $target is a link to $(readlink "$target"): rebuild it there, or remove the link" >&2
    exit 1
fi

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "error: no Python 3.11 or newer found; install one, or name it: make venv PYTHON=/path/to/python3.11" >&2
    return 1
}

python=$(find_python)
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing python$version-venv (this Python has no ensurepip)" >&2
        # Under a lock, because two environments may be made at once, and apt does not wait for apt.
        DEBIAN_FRONTEND=noninteractive flock /tmp/python-venv-package.lock bash -c \
            "apt-get update -qq && apt-get install -qq -y 'python$version-venv' >/dev/null"
    elif command -v virtualenv >/dev/null; then
        exec virtualenv --quiet --python "$python" "$target"
    else
        echo "error: $python cannot make virtual environments; run: sudo apt-get install python$version-venv" >&2
        exit 1
    fi
fi
exec "$python" -m venv --clear "$target"

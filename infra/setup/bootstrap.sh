#!/usr/bin/env bash
# Makes the locked Python environment in .venv, with a uv of our own when the machine has none.
# llama-cpp-python is left out and left alone: it has to be compiled, and `python -m infra.setup` does that once per
# machine, where uv would do it again for every clone.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly PYTHONS='>=3.11,<3.14'
readonly UV_VERSION='0.13.9'
readonly CACHE="${EMBED_SEARCH_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/embed-search}"

stop() {
    echo "set-up stopped: $1" >&2
    exit 1
}

find_uv() {
    if uv --version >/dev/null 2>&1; then
        UV=uv
        return
    fi
    UV="$CACHE/uv-$UV_VERSION/bin/uv"
    if [ ! -x "$UV" ]; then
        install_uv
    fi
}

# The first that runs: pyenv leaves a python3.13 on the path that only says which version it would need.
find_python() {
    local name
    for name in python3.13 python3.12 python3.11 python3; do
        if "$name" -c '' >/dev/null 2>&1; then
            PYTHON="$name"
            return
        fi
    done
    stop 'Python is missing: install Python 3.11, 3.12 or 3.13 (Debian: apt install python3 python3-venv)'
}

install_uv() {
    local unfinished="$CACHE/uv-$UV_VERSION.unfinished"
    find_python
    echo 'installing uv ...' >&2
    mkdir -p "$CACHE"
    rm -rf "$unfinished"
    "$PYTHON" -m venv "$unfinished" >/dev/null 2>&1 \
        || stop 'the venv module of Python is missing: install it (Debian: apt install python3-venv), or install uv'
    "$unfinished/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION" \
        || stop 'uv cannot be downloaded: check the network and run it again'
    # A venv can be moved as long as only its compiled programs are used, and uv is one.
    mv -T "$unfinished" "$CACHE/uv-$UV_VERSION" 2>/dev/null || mv "$unfinished" "$CACHE/uv-$UV_VERSION"
}

find_uv
"$UV" python find --quiet --no-python-downloads "$PYTHONS" >/dev/null 2>&1 \
    || stop 'Python 3.11, 3.12 or 3.13 is missing: install one (Debian: apt install python3; macOS: brew install python@3.13)'

sync=("$UV" sync --frozen --inexact --no-python-downloads --no-install-package llama-cpp-python)
if ! "${sync[@]}" --check --quiet >/dev/null 2>&1; then
    # Compiled once and for all: where PYTHONDONTWRITEBYTECODE is set, as in many containers, each process would else
    # compile all that it imports, which takes it seconds.
    "${sync[@]}" --compile-bytecode || stop 'the Python packages cannot be installed: see above, and run it again'
    .venv/bin/python -m compileall -q api indexer infra streams
fi

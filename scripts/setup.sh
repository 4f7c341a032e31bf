#!/usr/bin/env bash
# Fill .venv from requirements.lock, every file checked against its hash; nothing to do when it is fresh.
#
#   scripts/setup.sh        make or complete .venv
#   scripts/setup.sh uv …   run the pinned uv, for the lock (make lock)
set -euo pipefail
cd "$(dirname "$0")/.."

die() { printf 'error: %s\nhint: %s\n' "$1" "$2" >&2; exit 1; }

find_python() {  # the first interpreter that is new enough
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if command -v "$name" >/dev/null &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    die "no Python 3.11 or newer on PATH" "sudo apt-get install python3 python3-venv"
}

# uv reads neither pip.conf nor PIP_*: pass on where this machine gets its packages from.
pass_on_pip_settings() {
    local python=$1 index
    index=${PIP_INDEX_URL:-$("$python" -m pip config get global.index-url 2>/dev/null || true)}
    if [ -n "$index" ] && [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then export UV_DEFAULT_INDEX=$index; fi
    if [ -d "${PIP_FIND_LINKS:-}" ] && [ -z "${UV_FIND_LINKS:-}" ]; then export UV_FIND_LINKS=$PIP_FIND_LINKS; fi
    if [ -f "${PIP_CERT:-}" ] && [ -z "${SSL_CERT_FILE:-}" ]; then export SSL_CERT_FILE=$PIP_CERT; fi
}

install_uv() {  # the pinned uv, in an environment of its own
    local python=$1 folder=.cache/uv
    UV=$folder/bin/uv
    if [ -x "$UV" ] && cmp -s scripts/uv.lock $folder/lock; then return; fi
    rm -rf $folder
    "$python" -m venv $folder >/dev/null ||
        die "$python cannot make virtual environments" "sudo apt-get install python3-venv"
    $folder/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r scripts/uv.lock
    cp scripts/uv.lock $folder/lock
}

python=$(find_python)
if [ "${1:-}" = uv ]; then
    shift
    pass_on_pip_settings "$python"
    install_uv "$python"
    exec "$UV" "$@"
fi

stamp=.venv/.msmctl-setup
wanted=$(cat requirements.lock pyproject.toml scripts/setup.sh scripts/uv.lock | sha256sum)
if [ -x .venv/bin/msmctl ] && [ "$(cat $stamp 2>/dev/null)" = "$wanted $PWD" ]; then exit 0; fi

pass_on_pip_settings "$python"
install_uv "$python"
export VIRTUAL_ENV=$PWD/.venv UV_PYTHON_DOWNLOADS=never
if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    "$UV" venv --quiet --clear --python "$python" .venv
fi
printf 'installing %s packages into .venv\n' "$(grep -c '^[a-z].*==' requirements.lock)" >&2
# Bytecode now: without it, importing torch and transformers takes twice as long in every process.
"$UV" pip sync --quiet --compile-bytecode --require-hashes requirements.lock
# Without isolation: setuptools is in the lock too, so nothing unpinned is fetched.
"$UV" pip install --quiet --no-deps --no-build-isolation --editable .
printf '%s' "$wanted $PWD" >$stamp

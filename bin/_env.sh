# Sourced by the scripts in bin/: makes the checkout's own Python environment on first use and when requirements.txt
# changes. Sets ROOT (the checkout) and PY (its Python). Packages come from wherever pip on this machine is set to look.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PY=$ROOT/.venv/bin/python

_fail() { echo "dgctl: $*" >&2; exit 1; }

_find_python() {
    local python
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
            command -v "$python"
            return
        fi
    done
    _fail "Python 3.11, 3.12, 3.13 or 3.14 is needed, and none is on PATH. Install one (Debian, Ubuntu: apt-get install python3 python3-venv)."
}

_make_environment() {
    local python
    python=$(_find_python)
    echo "dgctl: making this checkout's Python environment in .venv (once, about a minute) ..." >&2
    rm -rf "$ROOT/.venv"
    if ! "$python" -m venv "$ROOT/.venv" >/dev/null 2>&1; then
        rm -rf "$ROOT/.venv"
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            echo "dgctl: installing the system package python3-venv, which venv needs ..." >&2
            { apt-get -qq update && apt-get -qq -y install python3-venv; } >/dev/null 2>&1 ||
                _fail "could not install python3-venv. Install it by hand."
            "$python" -m venv "$ROOT/.venv"
        else
            _fail "$python cannot make a virtual environment. Install its venv module (Debian, Ubuntu: apt-get install python3-venv)."
        fi
    fi
    "$PY" -m pip install -qq --disable-pip-version-check --no-deps --require-hashes \
        --requirement "$ROOT/requirements.txt" >&2 ||
        { rm -rf "$ROOT/.venv"; _fail "could not install the Python packages of requirements.txt (see above)."; }
    sha256sum <"$ROOT/requirements.txt" >"$ROOT/.venv/requirements.sha256"
}

_environment_is_current() {
    [ -x "$PY" ] && [ "$(sha256sum <"$ROOT/requirements.txt")" = "$(cat "$ROOT/.venv/requirements.sha256" 2>/dev/null)" ]
}

if ! _environment_is_current; then
    exec 9>"$ROOT/.venv.lock"
    command -v flock >/dev/null && flock 9
    _environment_is_current || _make_environment
    exec 9>&-
fi
export PATH=$ROOT/.venv/bin:$PATH

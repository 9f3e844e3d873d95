#!/bin/sh
# Prints the first usable interpreter among the versions given, in that order ("3.11 3.12").
#
# Usable: it really starts (a pyenv shim may not) and can make a virtual environment that has pip, TLS and SQLite.
# PYTHON=/path/to/python puts an interpreter of your own in front. Exit status 1: none, with the remedy on stderr.

incomplete=""

probe() { # probe INTERPRETER VERSION: prints the real path when it is usable
    found=$("$1" -c 'import sys
print("%d.%d" % sys.version_info[:2], getattr(sys, "_base_executable", sys.executable))' 2>/dev/null) || return 1
    [ "${found%% *}" = "$2" ] || return 1
    if "$1" -c 'import ensurepip, sqlite3, ssl, venv' 2>/dev/null; then
        echo "${found#* }"
        return 0
    fi
    incomplete="${found#* }"
    return 1
}

for version in "$@"; do
    for candidate in \
        ${PYTHON:+"$PYTHON"} \
        "python$version" \
        "/usr/bin/python$version" "/usr/local/bin/python$version" "/opt/homebrew/bin/python$version" \
        "$HOME"/.pyenv/versions/"$version"*/bin/python \
        "$HOME"/.local/share/uv/python/cpython-"$version"*/bin/python \
        python3 python; do
        probe "$candidate" "$version" && exit 0
    done
done

if [ -n "$incomplete" ]; then
    echo "Python at $incomplete lacks venv, ensurepip, ssl or sqlite3." >&2
    echo "On Debian or Ubuntu: apt install python3-venv; or install a complete Python and name it: make PYTHON=/path/to/python" >&2
else
    echo "No Python found among: $*." >&2
    echo "Install one (https://www.python.org/downloads/), or name it: make PYTHON=/path/to/python" >&2
fi
exit 1

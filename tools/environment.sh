#!/bin/sh
# Makes a virtual environment: environment.sh DIRECTORY "PYTHON VERSIONS" PIP-ARGUMENT...
#
# Writes DIRECTORY/.ready last, so that an interrupted installation starts over and a finished one is never repeated.
# .ready holds what the environment was made from: a change of pyproject.toml that touches no dependency costs nothing,
# and an environment without this project in it none at all.
set -eu

directory=$1
versions=$2
shift 2

made_from="$versions $*"
case " $* " in
    *" -e "*) made_from="$made_from $(sed -n '/^\[build-system\]/,/^\[project.urls\]/p' pyproject.toml | cksum)" ;;
esac
if [ "$(cat "$directory/.ready" 2>/dev/null)" = "$made_from" ]; then
    touch "$directory/.ready"
    exit 0
fi

# shellcheck disable=SC2086  # the versions are separate words
python=$("$(dirname "$0")/find_python.sh" $versions)
echo "Preparing $directory with $("$python" -V) (once; takes a minute) ..."

rm -rf "$directory"
mkdir -p "$(dirname "$directory")"
log="$directory.log"
if ! "$python" -m venv "$directory" >"$log" 2>&1; then
    cat "$log" >&2
    echo "Could not create $directory. On Debian or Ubuntu: apt install python3-venv" >&2
    exit 1
fi
if ! "$directory/bin/python" -m pip install -qq --disable-pip-version-check "$@" >"$log" 2>&1; then
    tail -n 25 "$log" >&2
    echo "Installing into $directory failed (see above; all of it is in $log)." >&2
    echo "Is the package index reachable? Run the same command again to retry." >&2
    exit 1
fi
echo "$made_from" >"$directory/.ready"

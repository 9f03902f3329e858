#!/usr/bin/env bash
# Puts Google's API client for Python into .tools/google-client, in the versions that requirements.txt pins.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${TOLLGATE_TOOLS_DIR:-$(cd "$here/../.." && pwd)/.tools}
venv=$tools/google-client

cmp -s "$here/requirements.txt" "$venv/installed.txt" && exit
"$here/../install.sh" python3
# Debian has the module in a package of its own.
python3 -c 'import ensurepip' 2>/dev/null || "$here/../install.sh" "/usr/share/doc/python3-venv=python3-venv"
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
cp "$here/requirements.txt" "$venv/installed.txt"

#!/usr/bin/env bash
# Puts Stripe's CLI and its clients for Python and Node, and Node itself, into .tools/stripe-clients, in the versions that
# requirements.txt and package-lock.json pin.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${TOLLGATE_TOOLS_DIR:-$(cd "$here/../.." && pwd)/.tools}
venv=$tools/stripe-clients

cat "$here/requirements.txt" "$here/package-lock.json" | cmp -s - "$venv/installed.txt" && exit
"$here/../install.sh" python3
# Debian has the module in a package of its own.
python3 -c 'import ensurepip' 2>/dev/null || "$here/../install.sh" "/usr/share/doc/python3-venv=python3-venv"
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
cp "$here/package.json" "$here/package-lock.json" "$venv"
# The CLI is the package of its binary, which no script has to fetch; there is one for x86-64.
# A directory that is a link is none to npm's --prefix.
(cd -P "$venv" && PATH=$PWD/bin:$PATH npm ci --loglevel=error --ignore-scripts --no-audit --no-fund >/dev/null)
cat "$here/requirements.txt" "$here/package-lock.json" > "$venv/installed.txt"

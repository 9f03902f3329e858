#!/usr/bin/env bash
# Runs h2spec against a port that speaks HTTP/2 without TLS, and fails on every failed case that expected-failures.txt does
# not list, as well as on every listed case that passes.
#
#   run.sh HOST:PORT   against what listens there; `make h2spec` starts a gateway for it, whose calls reach an upstream:
#                      where calls are refused before their body was read, cases about that body cannot pass
#   run.sh fetch       only builds h2spec, and installs Go for that if it is missing
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
tools=${TOLLGATE_TOOLS_DIR:-$repo/.tools}
h2spec=$tools/bin/h2spec

die() { echo "h2spec: $*" >&2; exit 1; }

install_h2spec() {
    [ -x "$h2spec" ] && return
    "$here/../install.sh" go=golang-go
    mkdir -p "$tools/bin"
    (cd "$here" && go build -o "$h2spec" github.com/summerwind/h2spec/cmd/h2spec)
}

# Prints failed cases as h2spec's JUnit report names them: "section: title", sorted.
failed_cases() {
    awk '
        /<testcase / { match($0, /package="[^"]*"/); section = substr($0, RSTART + 9, RLENGTH - 10)
                       match($0, /classname="[^"]*"/); title = substr($0, RSTART + 11, RLENGTH - 12) }
        /<failure|<error/ { print section ": " title }
    ' "$1" | sed -e 's/&#39;/'"'"'/g' -e 's/&#34;/"/g' -e 's/&amp;/\&/g' | sort
}

address=${1:-}
[ -n "$address" ] || die "name HOST:PORT, or fetch"
install_h2spec
[ "$address" = fetch ] && exit
report=$(mktemp)
trap 'rm -f "$report"' EXIT
"$h2spec" --host "${address%:*}" --port "${address##*:}" --timeout 5 --junit-report "$report" || true
[ -s "$report" ] || die "h2spec wrote no report"
difference=$(diff <(sed -e '/^#/d' -e '/^$/d' "$here/expected-failures.txt" | sort) <(failed_cases "$report")) || true
if [ -n "$difference" ]; then
    die "what failed differs from expected-failures.txt (<: listed and passed, >: failed and not listed)"$'\n'"$difference"
fi
echo "h2spec: every case passes but those listed in deploy/h2spec/expected-failures.txt"

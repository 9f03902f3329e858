#!/usr/bin/env bash
# Runs h2spec against the h2c port of a gateway that it starts, and fails on every failed case that
# expected-failures.txt does not list, as well as on every listed case that passes.
#
#   run.sh [HOST:PORT]   a gateway that runs already, instead of one of its own
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
tools=${TOLLGATE_TOOLS_DIR:-$repo/.tools}
h2spec=$tools/bin/h2spec
ready_wait_s=60

die() { echo "h2spec: $*" >&2; exit 1; }

install_h2spec() {
    [ -x "$h2spec" ] && return
    if ! command -v go >/dev/null; then
        local sudo=()
        [ "$(id -u)" -eq 0 ] || sudo=(sudo)
        "${sudo[@]}" apt-get update -qq >&2
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            golang-go >/dev/null || die "install Go 1.19 or newer"
    fi
    mkdir -p "$tools/bin"
    (cd "$here" && go build -o "$h2spec" github.com/summerwind/h2spec/cmd/h2spec)
}

# Sets address to the gateway's, once it serves.
start_gateway() {
    local began=$SECONDS ready
    cargo build --quiet --manifest-path "$repo/Cargo.toml" --profile local --package tollgate
    local binary=${CARGO_TARGET_DIR:-$repo/target}/local/tollgate
    work=$(mktemp -d)
    "$binary" standalone --data-dir "$work/data" --gateway-listen 127.0.0.1:0 --management-listen 127.0.0.1:0 \
        --sync-listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 >"$work/ready" 2>"$work/log" &
    gateway=$!
    trap stop_gateway EXIT
    until ready=$(grep -m 1 '^ready ' "$work/ready"); do
        kill -0 "$gateway" 2>/dev/null || { cat "$work/log" >&2; die "the gateway ended while it started"; }
        [ $((SECONDS - began)) -lt $ready_wait_s ] || die "the gateway is not ready after $ready_wait_s s"
        sleep 0.1
    done
    address=$(sed -E 's|.*"gateway":"http://([^"]*)".*|\1|' <<<"$ready")
}

stop_gateway() {
    kill "$gateway" 2>/dev/null || true
    wait "$gateway" 2>/dev/null || true
    rm -rf "$work"
}

# Prints failed cases as h2spec's JUnit report names them: "section: title", sorted.
failed_cases() {
    awk '
        /<testcase / { match($0, /package="[^"]*"/); section = substr($0, RSTART + 9, RLENGTH - 10)
                       match($0, /classname="[^"]*"/); title = substr($0, RSTART + 11, RLENGTH - 12) }
        /<failure|<error/ { print section ": " title }
    ' "$1" | sed -e 's/&#39;/'"'"'/g' -e 's/&#34;/"/g' -e 's/&amp;/\&/g' | sort
}

install_h2spec
address=${1:-}
[ -n "$address" ] || start_gateway
report=$(mktemp)
"$h2spec" --host "${address%:*}" --port "${address##*:}" --timeout 5 --junit-report "$report" || true
[ -s "$report" ] || die "h2spec wrote no report"
difference=$(diff <(sed -e '/^#/d' -e '/^$/d' "$here/expected-failures.txt" | sort) <(failed_cases "$report")) || true
rm -f "$report"
if [ -n "$difference" ]; then
    die "what failed differs from expected-failures.txt (<: listed and passed, >: failed and not listed)"$'\n'"$difference"
fi
echo "h2spec: every case passes but those listed in deploy/h2spec/expected-failures.txt"

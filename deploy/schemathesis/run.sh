#!/usr/bin/env bash
# Runs schemathesis over the management API of a `tollgate standalone` of its own, and fails where an answer is a 5xx, is
# not as /openapi.json says, or is given without a token.
#
#   run.sh BINARY   tests that binary (MAX_EXAMPLES=40 cases an operation and phase, SEED=1, TIMEOUT_S=420, ARGS='…')
#   run.sh fetch    only installs schemathesis into .tools, and Python for that if it is missing
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
tools=${TOLLGATE_TOOLS_DIR:-$repo/.tools}
venv=$tools/schemathesis
ready_timeout_s=60

die() { echo "schemathesis: $*" >&2; exit 1; }

install_schemathesis() {
    cmp -s "$here/requirements.txt" "$venv/requirements.txt" && return
    # Debian has Python without what makes environments in a package of its own.
    python3 -c 'import ensurepip, venv' 2>/dev/null \
        || "$here/../install.sh" python3=python3 no-ensurepip=python3-venv
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    # Last, so that an installation that was cut short begins anew.
    cp "$here/requirements.txt" "$venv/requirements.txt"
}

binary=${1:-}
[ -n "$binary" ] || die "name the binary, or fetch"
install_schemathesis
[ "$binary" = fetch ] && exit

dir=$(mktemp -d)
pid=
# shellcheck disable=SC2329 # the trap calls it
clean() {
    if [ -n "$pid" ]; then
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
    rm -rf "$dir"
}
trap clean EXIT

any=127.0.0.1:0
# The loop below may look before the process has begun.
: >"$dir/stdout"
"$binary" standalone --no-demo --data-dir "$dir/data" --gateway-listen $any --management-listen $any \
    --sync-listen $any --metrics-listen $any >"$dir/stdout" 2>"$dir/stderr" &
pid=$!
until=$((SECONDS + ready_timeout_s))
while ! ready=$(grep -m1 '^ready ' "$dir/stdout"); do
    kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $until ] || { cat "$dir/stderr" >&2; die "tollgate did not get ready"; }
    sleep 0.2
done
url=$(sed 's/.*"management":"\([^"]*\)".*/\1/' <<<"$ready")
token=$(cat "$dir/data/admin-token")

checks=not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance
checks+=,response_schema_conformance,ignored_auth
# What schemathesis writes beside its output goes where everything else of this run is.
cd "$dir"
# shellcheck disable=SC2086 # ARGS are words
timeout --kill-after=10 "${TIMEOUT_S:-420}" "$venv/bin/schemathesis" run "$url/openapi.json" \
    --header "Authorization: Bearer $token" --checks "$checks" --max-examples "${MAX_EXAMPLES:-40}" --seed "${SEED:-1}" \
    --phases examples,coverage,fuzzing --workers 1 --request-timeout 30 --generation-database none \
    --warnings off --continue-on-failure ${ARGS:-} \
    || { grep -E 'ERROR|panicked' "$dir/stderr" | tail -20 >&2; die "see above; MAX_EXAMPLES and SEED repeat it"; }

#!/usr/bin/env bash
# Runs a command while a three-node Cassandra serves, and stops the cluster again, however the command ends.
#
#   with-cassandra.sh COMMAND [ARGUMENT ...]
#
# The command finds the cluster in
#   TOLLGATE_CASSANDRA         HOST:PORT,HOST:PORT,...
#   TOLLGATE_CASSANDRA_SCRIPT  absolute path of cassandra.sh, for tests that kill and restart a node
#   TOLLGATE_CASSANDRA_DIR     which cluster that script works on
# A cluster that serves already (`make cassandra`, or TOLLGATE_CASSANDRA set by the caller) is used and left running.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
tools=${TOLLGATE_TOOLS_DIR:-$repo/.tools}
export TOLLGATE_CASSANDRA_SCRIPT=$here/cassandra.sh

[ $# -gt 0 ] || { echo "usage: with-cassandra.sh COMMAND [ARGUMENT ...]" >&2; exit 2; }
[ -n "${TOLLGATE_CASSANDRA:-}" ] && exec "$@"

export TOLLGATE_CASSANDRA=127.0.0.1:9042,127.0.0.2:9042,127.0.0.3:9042
export TOLLGATE_CASSANDRA_DIR=${TOLLGATE_CASSANDRA_DIR:-$tools/cassandra}
if "$TOLLGATE_CASSANDRA_SCRIPT" status --nodes 3 >/dev/null 2>&1; then
    exec "$@"
fi

# A cluster of its own, empty at the start, so that nobody's data in .tools/cassandra is touched or matters.
export TOLLGATE_CASSANDRA_DIR=$tools/cassandra-test
stop() {
    trap '' INT TERM HUP
    "$TOLLGATE_CASSANDRA_SCRIPT" stop
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
"$TOLLGATE_CASSANDRA_SCRIPT" stop
"$TOLLGATE_CASSANDRA_SCRIPT" wipe
"$TOLLGATE_CASSANDRA_SCRIPT" start --nodes 3
"$@"

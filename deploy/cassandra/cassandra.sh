#!/usr/bin/env bash
# Runs Apache Cassandra as 1 to 3 plain JVM processes on 127.0.0.1-3, port 9042.
#
# The tests need a real cluster, also one whose nodes are killed, on a machine without a container engine.
# Every node is a process with a pid file; a node is only ever ended by its own pid. Jars and data live in the
# git-ignored .tools/ of the repository, so that a second start needs no network.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: cassandra.sh COMMAND [--nodes N] [--dir DIR]

  start          start N nodes (default: as many as DIR already holds, else 3) and wait until they serve
  stop           stop all nodes and wait until they are gone
  restart        stop, then start
  status         one line a node; exit code 0 if all of them serve
  start-node I   start node I again (1 to N)
  stop-node I    stop node I in an orderly way
  kill I         kill -9 node I
  nodetool I ... run nodetool against node I
  wipe           delete the data of a stopped cluster
  fetch          only install what is missing and fetch the jars

  --nodes N      1, 2 or 3
  --dir DIR      where the nodes keep data, logs and pid files

environment: TOLLGATE_CASSANDRA_DIR  default of --dir, itself .tools/cassandra
             TOLLGATE_TOOLS_DIR      where jars are kept, default .tools in the repository
             TOLLGATE_JAVA_HOME      a JDK 17 or 21 to use instead of the one found
EOF
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
tools=${TOLLGATE_TOOLS_DIR:-$repo/.tools}
dir=${TOLLGATE_CASSANDRA_DIR:-$tools/cassandra}
version=$(sed -n '/cassandra-all/{n;s/.*<version>\(.*\)<\/version>.*/\1/p}' "$here/pom.xml")
lib=$tools/cassandra-$version/lib
tokens=('' -9223372036854775808 -3074457345618258603 3074457345618258602)
ready_wait_s=180
stop_wait_s=60

say() { echo "cassandra: $*" >&2; }
die() { say "$*"; exit 1; }

# === What has to be installed ===

# Cassandra 5.0 is released for Java 11 and 17. It also runs on 21 where a security manager is allowed, and on none
# later, for they have no security manager at all. 11 would need other flags.
is_fit_java() {
    [ -x "$1" ] && "$1" -version 2>&1 | grep -qE 'version "(17|21)[."]'
}

find_java() {
    local candidate
    for candidate in "${TOLLGATE_JAVA_HOME:-}/bin/java" "${JAVA_HOME:-}/bin/java" \
        /usr/lib/jvm/*17*/bin/java /usr/lib/jvm/*21*/bin/java "$(command -v java || true)"; do
        if is_fit_java "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

fetch() {
    java=$(find_java) || {
        # Debian 12 has the one, Debian 13 the other.
        # The command is one that no machine has: a Java of another version does not count.
        "$here/../install.sh" fit-java=openjdk-17-jdk-headless || "$here/../install.sh" fit-java=openjdk-21-jdk-headless \
            || die "apt-get has neither openjdk-17 nor openjdk-21; name a JDK in TOLLGATE_JAVA_HOME"
        java=$(find_java) || die "no Java 17 or 21 found after installing one"
    }
    [ -e "$lib/.complete" ] && return
    "$here/../install.sh" mvn=maven
    say "fetching Cassandra $version from Maven Central (about 70 MB, once)"
    rm -rf "$lib"
    mkdir -p "$lib"
    local attempt
    for attempt in 1 2 3; do
        if mvn -B -q -f "$here/pom.xml" dependency:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$lib" >&2; then
            touch "$lib/.complete"
            return
        fi
        say "attempt $attempt to fetch the jars failed"
        sleep $((attempt * 5))
    done
    die "the jars could not be fetched"
}

# === One node ===

home() { echo "$dir/node$1"; }
address() { echo "127.0.0.$1"; }
jmx_port() { echo $((7198 + $1)); }

# Prints the pid of node $1 if it runs. A pid that now belongs to another program does not count, nor does a zombie:
# its command line is empty.
running_pid() {
    local pid
    pid=$(cat "$(home "$1")/pid" 2>/dev/null) || return 1
    tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "-Dcassandra.storagedir=$(home "$1") " || return 1
    echo "$pid"
}

accepts() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

serves() {
    running_pid "$1" >/dev/null && grep -q 'Startup complete' "$(home "$1")/log" 2>/dev/null \
        && accepts "$(address "$1")" 9042
}

require_free_ports() {
    local place
    for place in "$(address "$1") 9042" "$(address "$1") 7000" "127.0.0.1 $(jmx_port "$1")"; do
        # shellcheck disable=SC2086 # address and port are two words on purpose
        accepts $place && die "port ${place/ /:} is in use by a program that this script did not start in $dir"
    done
    return 0
}

write_config() {
    local home
    home=$(home "$1")
    mkdir -p "$home/conf/triggers"
    sed -e "s|@TOKEN@|${tokens[$1]}|" -e "s|@ADDRESS@|$(address "$1")|" -e "s|@HOME@|$home|" \
        "$here/cassandra.yaml.in" >"$home/conf/cassandra.yaml"
    cp "$here/logback.xml" "$home/conf/logback.xml"
}

# Sets module_flags to what Cassandra needs to see of the JDK's inner packages, as its own start script does.
set_module_flags() {
    local package module=java.base
    module_flags=()
    for package in java.base/jdk.internal.misc java.base/java.lang.ref \
        java.management.rmi/com.sun.jmx.remote.internal.rmi java.management/com.sun.jmx.remote.security \
        java.rmi/sun.rmi.registry java.rmi/sun.rmi.server java.sql/java.sql jdk.unsupported/sun.misc \
        jdk.compiler/com.sun.tools.javac.file jdk.attach/sun.tools.attach; do
        module_flags+=(--add-exports "$package=ALL-UNNAMED")
    done
    for package in $module/{java.lang.module,jdk.internal.loader,jdk.internal.ref,jdk.internal.reflect} \
        $module/{jdk.internal.math,jdk.internal.module,jdk.internal.util.jar,sun.nio.ch,java.io,java.nio,java.lang} \
        $module/{java.lang.reflect,java.util,java.util.concurrent,java.util.concurrent.atomic} \
        jdk.management/com.sun.management.internal jdk.compiler/com.sun.tools.javac; do
        module_flags+=(--add-opens "$package=ALL-UNNAMED")
    done
}

# Sets java_flags for node $1, with sizes that fit a small machine.
set_java_flags() {
    local home heap=384m
    home=$(home "$1")
    [ "$nodes" -eq 1 ] && heap=512m
    set_module_flags
    # superuser_setup_delay_ms is also the wait between attempts to reach the one owner of system_auth: with 0 a node
    # whose owner is down spins and writes hundreds of megabytes of log.
    java_flags=("${module_flags[@]}" "-Xms$heap" "-Xmx$heap" -XX:MaxDirectMemorySize=192m -XX:+ExitOnOutOfMemoryError
        "-javaagent:$(echo "$lib"/jamm-*.jar)" -Djdk.attach.allowAttachSelf=true -Djava.security.manager=allow
        -Dio.netty.tryReflectionSetAccessible=true -Djava.net.preferIPv4Stack=true
        "-Dcassandra.config=file://$home/conf/cassandra.yaml"
        "-Dlogback.configurationFile=$home/conf/logback.xml"
        "-Dcassandra.storagedir=$home" "-Dcassandra.logdir=$home"
        "-Dcassandra.triggers_dir=$home/conf/triggers" -Dcassandra-foreground=yes
        "-Dcassandra.jmx.local.port=$(jmx_port "$1")" -Dcassandra.available_processors=2
        -Dcassandra.libjemalloc=- -Dcassandra.ring_delay_ms=1000
        -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.superuser_setup_delay_ms=5000
        -Dcassandra.consistent.rangemovement=false)
}

start_node() {
    local home pid began=$SECONDS
    home=$(home "$1")
    if serves "$1"; then
        say "node $1 already serves on $(address "$1"):9042"
        return
    fi
    if ! running_pid "$1" >/dev/null; then
        require_free_ports "$1"
        write_config "$1"
        set_java_flags "$1"
        [ -e "$home/log" ] && mv "$home/log" "$home/log.before"
        # A session of its own: Ctrl-C at the terminal must not reach the node before the caller has finished.
        setsid "$java" "${java_flags[@]}" -cp "$home/conf:$lib/*" org.apache.cassandra.service.CassandraDaemon \
            >"$home/log" 2>&1 </dev/null 9>&- &
        echo $! >"$home/pid"
    fi
    until serves "$1"; do
        if ! pid=$(running_pid "$1") && [ $((SECONDS - began)) -gt 2 ]; then
            tail -n 20 "$home/log" >&2
            die "node $1 ended while it started; its log is $home/log"
        fi
        if [ $((SECONDS - began)) -ge $ready_wait_s ]; then
            die "node $1 (pid ${pid:-unknown}) is not ready after $ready_wait_s s; its log is $home/log"
        fi
        sleep 0.2
    done
    say "node $1 serves on $(address "$1"):9042 after $((SECONDS - began)) s (pid $(cat "$home/pid"))"
}

# Ends node $2 with signal $1 and returns when its process is gone, because its ports stay taken until then.
end_node() {
    local pid began=$SECONDS
    if ! pid=$(running_pid "$2"); then
        rm -f "$(home "$2")/pid"
        return
    fi
    kill -s "$1" "$pid" 2>/dev/null || true
    while running_pid "$2" >/dev/null; do
        if [ $((SECONDS - began)) -ge $stop_wait_s ]; then
            say "node $2 has not stopped within $stop_wait_s s and is killed"
            kill -s KILL "$pid" 2>/dev/null || true
            began=$SECONDS
        fi
        sleep 0.1
    done
    rm -f "$(home "$2")/pid"
    say "node $2 is gone (pid $pid, SIG$1)"
}

# === The cluster ===

held_nodes() { cat "$dir/nodes" 2>/dev/null; }

start() {
    local held i
    held=$(held_nodes) || held=$nodes
    [ "$held" = "$nodes" ] || die "$dir holds a cluster of $held nodes; ask for that many, or wipe it first"
    fetch
    mkdir -p "$dir"
    for ((i = 1; i <= nodes; i++)); do
        running_pid "$i" >/dev/null || require_free_ports "$i"
    done
    echo "$nodes" >"$dir/nodes"
    for ((i = 1; i <= nodes; i++)); do
        start_node "$i"
    done
}

# All nodes get the signal first: they need up to ten seconds each, and need them together.
stop() {
    local i pid
    for ((i = 1; i <= 3; i++)); do
        if pid=$(running_pid "$i"); then kill -s TERM "$pid" 2>/dev/null || true; fi
    done
    for ((i = 1; i <= 3; i++)); do
        end_node TERM "$i"
    done
    say "no node runs in $dir"
}

status() {
    local i failed=0
    for ((i = 1; i <= nodes; i++)); do
        if serves "$i"; then
            echo "node $i: serves on $(address "$i"):9042 (pid $(running_pid "$i"))"
        elif running_pid "$i" >/dev/null; then
            echo "node $i: starting or stopping (pid $(running_pid "$i"))"
            failed=1
        else
            echo "node $i: down"
            failed=1
        fi
    done
    return $failed
}

wipe() {
    local i
    for ((i = 1; i <= 3; i++)); do
        running_pid "$i" >/dev/null && die "node $i runs; stop the cluster before its data is deleted"
        rm -rf "$(home "$i")"
    done
    rm -f "$dir/nodes"
}

run_nodetool() {
    local i=$1
    shift
    set_module_flags
    exec "$java" "${module_flags[@]}" -cp "$(home "$i")/conf:$lib/*" -Dcassandra.storagedir="$(home "$i")" \
        "-Dcassandra.config=file://$(home "$i")/conf/cassandra.yaml" \
        "-Dlogback.configurationFile=$(home "$i")/conf/logback.xml" \
        org.apache.cassandra.tools.NodeTool -h 127.0.0.1 -p "$(jmx_port "$i")" "$@"
}

# === Arguments ===

command=${1:-}
[ $# -gt 0 ] && shift
nodes=''
words=()
while [ $# -gt 0 ]; do
    case $1 in
        --nodes) nodes=${2:?--nodes needs a number}; shift 2 ;;
        --dir) dir=${2:?--dir needs a directory}; shift 2 ;;
        *) words+=("$1"); shift ;;
    esac
done
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
nodes=${nodes:-$(held_nodes || echo 3)}
[[ $nodes =~ ^[123]$ ]] || die "--nodes is 1, 2 or 3, not '$nodes'"

require_node() {
    [[ ${words[0]:-} =~ ^[123]$ ]] && [ "${words[0]}" -le "$nodes" ] || die "name a node from 1 to $nodes"
}

# Two callers at once would start a node twice; whoever only looks needs no lock.
lock() {
    exec 9>"$dir/lock"
    flock -w 600 9 || die "another cassandra.sh has worked in $dir for 10 minutes"
}

case $command in
    start) lock; start ;;
    stop) lock; stop ;;
    restart) lock; stop; start ;;
    status) status ;;
    start-node) require_node; lock; fetch; start_node "${words[0]}" ;;
    stop-node) require_node; lock; end_node TERM "${words[0]}" ;;
    kill) require_node; lock; end_node KILL "${words[0]}" ;;
    nodetool) require_node; fetch; run_nodetool "${words[@]}" ;;
    wipe) lock; wipe ;;
    fetch) fetch ;;
    -h | --help | help) usage ;;
    *) usage >&2; exit 2 ;;
esac

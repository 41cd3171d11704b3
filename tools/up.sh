#!/bin/bash
# Starts musterd in development mode and this machine's own agent, enrols and approves it, and stays in the foreground.
#   tools/up.sh BUILD_DIR PORT          state in ./var; ends when either program ends; Ctrl-C stops both.
set -u
# A shell cannot trap what it inherited as ignored (a job started with & by a script, nohup), and then nothing would stop us.
if [ "${MUSTER_UP_AGAIN:-}" != "$$" ]; then
    export MUSTER_UP_AGAIN=$$
    exec env --default-signal=INT,TERM,QUIT bash "$0" "$@"
fi
unset MUSTER_UP_AGAIN
# Job control: each program in a process group of its own, so that Ctrl-C comes here only and both are stopped in order. (In one
# group the programs may be gone before bash has run its trap, and a wish to stop looks like a program that ended.)
set -m
build=$1
port=$2
state=${MUSTER_VAR:-./var}
server_pid= agent_pid=

say() { printf '%s\n' "$*"; }
die() { printf 'make up: %s\n' "$*" >&2; exit 1; }

stop() {
    trap '' INT TERM
    [ -n "$agent_pid" ] && kill -TERM "$agent_pid" 2>/dev/null
    [ -n "$agent_pid" ] && wait "$agent_pid" 2>/dev/null
    [ -n "$server_pid" ] && kill -TERM "$server_pid" 2>/dev/null
    [ -n "$server_pid" ] && wait "$server_pid" 2>/dev/null
}
on_signal() { say; say 'stopping'; stop; say 'stopped'; exit 0; }
trap on_signal INT TERM

case $port in
    '' | *[!0-9]*) die "PORT must be a number, not '$port'" ;;
esac
[ "$port" -ge 1 ] && [ "$port" -le 65533 ] || die "PORT must be 1 to 65533 (PORT+1 and PORT+2 are used too)"
mkdir -p "$state" 2>/dev/null && [ -w "$state" ] || die "the state directory $state cannot be written; remove it or set MUSTER_VAR to another"

muster=$build/muster
export MUSTER_SERVER="unix:$state/server/musterd.sock"
unset MUSTER_TOKEN

if "$muster" status >/dev/null 2>&1; then
    die "a musterd already runs on $state; stop it first, or set MUSTER_VAR to another directory (and PORT to another port)"
fi

"$build/musterd" --dev --state-dir "$state/server" --listen "127.0.0.1:$port" &
server_pid=$!
# The server removes a stale socket and makes its own when it is ready to answer.
until "$muster" status >/dev/null 2>&1; do
    kill -0 "$server_pid" 2>/dev/null || { wait "$server_pid"; die "musterd did not start; the sentence above says why"; }
    sleep 0.1
done

agent=("$build/muster-agent" --state-dir "$state/agent" --server "127.0.0.1:$port")
if [ ! -s "$state/agent/cert.pem" ]; then
    token=$("$muster" token create --uses 1 --ttl 10m --auto-approve --json | sed -n 's/.*"token" *: *"\([^"]*\)".*/\1/p')
    [ -n "$token" ] || { stop; die "no install token could be made"; }
    MUSTER_TOKEN=$token "${agent[@]}" &
else
    "${agent[@]}" &
fi
agent_pid=$!
until "$muster" hosts --status ready 2>/dev/null | grep -q ready || "$muster" hosts --status busy 2>/dev/null | grep -q busy; do
    kill -0 "$agent_pid" 2>/dev/null || { wait "$agent_pid"; agent_pid=; stop; die "muster-agent ended; the sentence above says why"; }
    kill -0 "$server_pid" 2>/dev/null || { wait "$server_pid"; server_pid=; stop; die "musterd ended; the sentence above says why"; }
    sleep 0.1
done

host=$("$muster" hosts --json | sed -n 's/.*"name" *: *"\([^"]*\)".*/\1/p' | head -1)
say
say "Muster is up: http://127.0.0.1:$((port + 2))   (Ctrl-C stops it; state in $state)"
say "Try, in another terminal:"
say "  $muster --server $MUSTER_SERVER hosts"
say "  $muster --server $MUSTER_SERVER run $host -- uname -a"
say "  curl -s http://127.0.0.1:$((port + 2))/api/v1/agents"
say
wait -n "$server_pid" "$agent_pid"
say 'one of the two programs ended; stopping the other' >&2
stop
exit 1

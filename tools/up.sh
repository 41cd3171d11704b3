#!/bin/bash
# Starts musterd in development mode and this machine's own agent, enrols and approves it, and stays in the foreground.
#   tools/up.sh BUILD_DIR PORT          state in ./var; ends when either program ends; Ctrl-C stops both.
set -u
# A shell cannot trap what it inherited as ignored (a job started with & by a script, nohup), and then nothing would stop us.
if [ "${MUSTER_UP_AGAIN:-}" != "$$" ]; then
    export MUSTER_UP_AGAIN=$$
    exec env --default-signal=INT,TERM,QUIT,HUP bash "$0" "$@"
fi
unset MUSTER_UP_AGAIN
build=$1
port=${2:-}
state=${MUSTER_VAR:-./var}
server_pid= agent_pid= token_id=

say() { printf '%s\n' "$*"; }
die() { printf 'make up: %s\n' "$*" >&2; exit 1; }

# A token that was not needed (the server may know the key already) would let in whoever came by it.
drop_token() {
    [ -n "$token_id" ] && cli token list --json 2>/dev/null | grep -q "\"id\":$token_id,\"uses\":1,\"used\":0," &&
        cli token revoke "$token_id" >/dev/null 2>&1
    token_id=
}
stop() {
    trap '' INT TERM HUP
    [ -n "$agent_pid" ] && kill -TERM "$agent_pid" 2>/dev/null
    [ -n "$agent_pid" ] && wait "$agent_pid" 2>/dev/null
    drop_token
    [ -n "$server_pid" ] && kill -TERM "$server_pid" 2>/dev/null
    [ -n "$server_pid" ] && wait "$server_pid" 2>/dev/null
}
# Whoever read our words may be gone (a pipe, a terminal): both are stopped all the same.
on_signal() { trap '' PIPE; say; say 'stopping'; stop; say 'stopped'; exit 0; } 2>/dev/null
trap on_signal INT TERM HUP
# Starts a program in a process group of its own, so that Ctrl-C comes here only and both are stopped in order. (In one group the programs
# may be gone before bash has run its trap, and a wish to stop looks like a program that ended.) Not so the commands that are waited for:
# with a group of its own such a one would take the terminal, and Ctrl-C with it.
start() { set -m; "$@" & set +m; }

case $port in
    '' | *[!0-9]*) die "PORT must be a number, not '$port'" ;;
esac
# Without zeros in front: bash's arithmetic takes those for octal. And what is too long for it is too big in any case.
while [ "${port#0}" != "$port" ]; do port=${port#0}; done
case $port in
    '' | ??????*) port=0 ;;
esac
[ "$port" -ge 1 ] && [ "$port" -le 65533 ] || die "PORT must be 1 to 65533 (PORT+1 and PORT+2 are used too), not ${2:-}"
mkdir -p "$state" 2>/dev/null && [ -w "$state" ] || die "the state directory $state cannot be written; remove it or set MUSTER_VAR to another"

muster=$build/muster
export MUSTER_SERVER="unix:$state/server/musterd.sock"
# What is set for another server does not belong here: neither in the environment nor in the command line's configuration file.
unset MUSTER_TOKEN MUSTER_TOKEN_FILE MUSTER_CONTEXT MUSTER_PIN MUSTER_CA
# MUSTER_CONFIG names musterd's file, and the command line's too: musterd is given it if it is its own.
if [ -n "${MUSTER_CONFIG:-}" ] && { [ ! -e "$MUSTER_CONFIG" ] || grep -qE '^(current|contexts):' "$MUSTER_CONFIG"; }; then
    say "make up: MUSTER_CONFIG ($MUSTER_CONFIG) is not a file of musterd: musterd starts without"
    unset MUSTER_CONFIG
fi
cli() { env -u MUSTER_CONFIG XDG_CONFIG_HOME=/nonexistent "$muster" "$@"; } # a relative path would count as none

if cli status >/dev/null 2>&1; then
    die "a musterd already runs on $state; stop it first, or set MUSTER_VAR to another directory (and PORT to another port)"
fi

start "$build/musterd" --dev --state-dir "$state/server" --listen "127.0.0.1:$port"
server_pid=$!
# The server removes a stale socket and makes its own when it is ready to answer.
SECONDS=0
until said=$(cli status 2>&1 >/dev/null); do
    rc=$? # 6: not reachable (yet); whatever else it is, waiting does not mend it
    kill -0 "$server_pid" 2>/dev/null || { wait "$server_pid"; die "musterd did not start; the sentence above says why"; }
    [ "$rc" -eq 6 ] || { stop; die "musterd cannot be asked: $said"; }
    [ "$SECONDS" -lt 60 ] || { stop; die "musterd did not answer within a minute: $said"; }
    sleep 0.1
done

# This machine's row, by the id its agent was given: others may be in the same fleet.
host_id() { "$build/muster-agent" --state-dir "$state/agent" status 2>/dev/null | sed -n 's/^enrolled  *yes, host \([0-9a-f-]*\).*/\1/p'; }
agent=("$build/muster-agent" --state-dir "$state/agent" --server "127.0.0.1:$port")
if [ -z "$(host_id)" ]; then # never enrolled, or with a certificate that cannot be read: its key asks anew
    made=$(cli token create --uses 1 --ttl 10m --auto-approve --json)
    token=$(printf '%s' "$made" | sed -n 's/.*"token" *: *"\([^"]*\)".*/\1/p')
    token_id=$(printf '%s' "$made" | sed -n 's/.*"id" *: *\([0-9]*\).*/\1/p')
    [ -n "$token" ] || { stop; die "no install token could be made"; }
    MUSTER_TOKEN=$token start "${agent[@]}"
else
    start "${agent[@]}"
fi
agent_pid=$!
is_up() {
    id=$(host_id)
    [ -n "$id" ] && cli host "$id" --json 2>/dev/null | grep -q '"status" *: *"\(ready\|busy\)"'
}
SECONDS=0
until is_up; do
    kill -0 "$agent_pid" 2>/dev/null || { wait "$agent_pid"; agent_pid=; stop; die "muster-agent ended; the sentence above says why"; }
    kill -0 "$server_pid" 2>/dev/null || { wait "$server_pid"; server_pid=; stop; die "musterd ended; the sentence above says why"; }
    [ "$SECONDS" -lt 60 ] || { stop; die "this machine's agent was not let in within a minute; its newest warning above says why (an agent of another server: remove $state/agent)"; }
    sleep 0.1
done

drop_token
host=$(cli host "$id" --json | sed -n 's/^{"id":"[^"]*","instance_id":"[^"]*","name":"\([^"]*\)".*/\1/p')
host=${host:-$id}
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

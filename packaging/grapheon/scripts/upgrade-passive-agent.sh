#!/bin/sh
# Installs this release over an older one; goes back to that one when the new program does not start.
#   upgrade-passive-agent.sh [prefix] [state dir] [env file] [systemd dir]
# SYSTEMCTL_BIN: another systemctl. KEEP_RELEASES: so many stay (3).
set -eu
prefix=${1:-/opt/grapheon}
systemctl=${SYSTEMCTL_BIN:-systemctl}
keep=${KEEP_RELEASES:-3}
here=$(cd "$(dirname "$0")" && pwd)
agent=$prefix/agent

previous=none
[ -L "$agent/current" ] && previous=$(basename "$(readlink "$agent/current")")
"$here/install-passive-agent.sh" "$@" >/dev/null
current=$(basename "$(readlink "$agent/current")")
if ! "$agent/current/grapheon-agent" --version >/dev/null; then
    echo "upgrade: $current does not start" >&2
    if [ "$previous" != none ] && [ "$previous" != "$current" ]; then
        "$here/rollback-passive-agent.sh" "$previous" "$prefix" >&2
    fi
    exit 1
fi
echo "previous version: $previous"
echo "current version:  $current"
if command -v "$systemctl" >/dev/null 2>&1; then
    "$systemctl" try-restart grapheon-agent.timer
fi
# Oldest first; the current and the one before always stay.
for old in $(ls -1tr "$agent/releases" | head -n "-$keep"); do
    if [ "$old" != "$current" ] && [ "$old" != "$previous" ]; then
        rm -rf "${agent:?}/releases/$old"
    fi
done

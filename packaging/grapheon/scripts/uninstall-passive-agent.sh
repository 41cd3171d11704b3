#!/bin/sh
# Removes units, programs and settings; the state (identity and key) only with --purge-state.
#   uninstall-passive-agent.sh [--purge-state] [prefix] [state dir] [env file] [systemd dir]
set -eu
purge=no
if [ "${1:-}" = --purge-state ]; then
    purge=yes
    shift
fi
prefix=${1:-/opt/grapheon}
state=${2:-/var/lib/grapheon-agent}
env=${3:-/etc/grapheon-agent.env}
systemd=${4:-/etc/systemd/system}
systemctl=${SYSTEMCTL_BIN:-systemctl}

if command -v "$systemctl" >/dev/null 2>&1; then
    "$systemctl" disable --now grapheon-agent.timer grapheon-agent.service || echo "uninstall: the units were not enabled" >&2
fi
rm -f "$systemd/grapheon-agent.service" "$systemd/grapheon-agent.timer" "$env"
rm -rf "${prefix:?}/agent"
rmdir "$prefix" 2>/dev/null || :
if [ "$purge" = yes ]; then
    rm -rf "${state:?}"
else
    echo "kept: $state"
fi
if command -v "$systemctl" >/dev/null 2>&1; then
    "$systemctl" daemon-reload
fi

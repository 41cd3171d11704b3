#!/bin/sh
# Points `current` at a release that is still installed, and puts its units back.
#   rollback-passive-agent.sh <version> [prefix] [systemd dir]
set -eu
version=${1:?usage: rollback-passive-agent.sh VERSION [prefix] [systemd dir]}
prefix=${2:-/opt/grapheon}
systemd=${3:-/etc/systemd/system}
systemctl=${SYSTEMCTL_BIN:-systemctl}
agent=$prefix/agent

if [ ! -x "$agent/releases/$version/grapheon-agent" ]; then
    echo "rollback: $version is not installed; there are: $(ls "$agent/releases" 2>/dev/null | tr '\n' ' ')" >&2
    exit 1
fi
ln -sfn "releases/$version" "$agent/.current.new"
mv -Tf "$agent/.current.new" "$agent/current"
for unit in "$agent/releases/$version/units"/*; do
    [ -f "$unit" ] || continue # installed before units were kept
    install -m 0644 "$unit" "$systemd/.$(basename "$unit").new"
    mv -f "$systemd/.$(basename "$unit").new" "$systemd/$(basename "$unit")"
done
if command -v "$systemctl" >/dev/null 2>&1; then
    "$systemctl" daemon-reload
fi
echo "current version: $version"

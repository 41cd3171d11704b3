#!/bin/sh
# Points `current` at a release that is still installed, and puts its units back.
#   rollback-passive-agent.sh <version> [prefix] [systemd dir]
set -eu
version=${1:?usage: rollback-passive-agent.sh VERSION [prefix] [systemd dir]}
prefix=${2:-/opt/grapheon}
systemd=${3:-/etc/systemd/system}
systemctl=${SYSTEMCTL_BIN:-systemctl}
agent=$prefix/agent
code=0

if [ ! -x "$agent/releases/$version/grapheon-agent" ]; then
    echo "rollback: $version is not installed; there are: $(ls "$agent/releases" 2>/dev/null | tr '\n' ' ')" >&2
    exit 1
fi
ln -sfn "releases/$version" "$agent/.current.new"
mv -Tf "$agent/.current.new" "$agent/current"
for unit in "$agent/releases/$version/units"/*; do
    [ -f "$unit" ] || continue # installed before units were kept
    new=$systemd/.$(basename "$unit").new
    if ! install -m 0644 "$unit" "$new" || ! mv -f "$new" "$systemd/$(basename "$unit")"; then
        echo "rollback: $systemd/$(basename "$unit") could not be put back" >&2
        code=1
    fi
done
if command -v "$systemctl" >/dev/null 2>&1 && ! "$systemctl" daemon-reload; then
    echo "rollback: $systemctl daemon-reload failed: the units in place may not be the ones it goes by" >&2
    code=1
fi
echo "current version: $version"
exit $code

#!/bin/sh
# Installs this release over an older one; goes back to that one when the new program does not start or no longer takes the settings.
#   upgrade-passive-agent.sh [prefix] [state dir] [env file] [systemd dir]
# SYSTEMCTL_BIN: another systemctl. KEEP_RELEASES: so many stay (3). MANIFEST: the release that this manifest is of, once it is checked
# (verify-release.sh), instead of the one this script lies in. RELEASE_KEY: who must have signed it.
set -eu
prefix=${1:-/opt/grapheon}
env=${3:-/etc/grapheon-agent.env}
systemd=${4:-/etc/systemd/system}
systemctl=${SYSTEMCTL_BIN:-systemctl}
keep=${KEEP_RELEASES:-3}
here=$(cd "$(dirname "$0")" && pwd)
agent=$prefix/agent

if [ -n "${MANIFEST:-}" ]; then
    [ -d "$prefix" ] || install -d -m 0755 "$prefix" # one that is there keeps its mode
    tmp=$(mktemp -d "$prefix/.unpacked.XXXXXX")
    trap 'rm -rf "$tmp"' EXIT
    root=$("$here/verify-release.sh" "$MANIFEST" "$tmp")
    MANIFEST='' "$root/scripts/upgrade-passive-agent.sh" "$@"
    exit
fi
if [ ! -f "$here/../agent/VERSION" ]; then
    echo "upgrade: which release? MANIFEST=FILE, its tarball beside it" >&2
    exit 1
fi
starts() {
    "$1" --version >/dev/null
}
takes_settings() {
    "$1" --config "$env" --check-config >/dev/null 2>&1
}
# Before anything is touched: the same version again would overwrite the release to go back to.
if ! starts "$here/../agent/grapheon-agent"; then
    echo "upgrade: the program of this release does not start here: nothing was changed" >&2
    exit 1
fi
previous=none
took=no
if [ -L "$agent/current" ]; then
    previous=$(basename "$(readlink "$agent/current")")
    ! takes_settings "$agent/current/grapheon-agent" || took=yes
fi
if [ "$took" = yes ] && ! takes_settings "$here/../agent/grapheon-agent"; then
    echo "upgrade: this release does not take the settings in $env, $previous does: nothing was changed" >&2
    exit 1
fi
installed=yes
"$here/install-passive-agent.sh" "$@" >/dev/null || installed=no
current=$(basename "$(readlink "$agent/current" || echo none)")
if [ "$installed" = no ]; then
    echo "upgrade: the release could not be installed" >&2
    if [ "$previous" != none ] && [ "$previous" != "$current" ]; then
        "$here/rollback-passive-agent.sh" "$previous" "$prefix" "$systemd" >&2
    fi
    exit 1
fi
if ! starts "$agent/current/grapheon-agent" || { [ "$took" = yes ] && ! takes_settings "$agent/current/grapheon-agent"; }; then
    echo "upgrade: $current does not work where it was installed" >&2
    if [ "$previous" != none ] && [ "$previous" != "$current" ]; then
        "$here/rollback-passive-agent.sh" "$previous" "$prefix" "$systemd" >&2
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

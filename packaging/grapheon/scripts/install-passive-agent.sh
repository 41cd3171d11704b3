#!/bin/sh
# Installs this release beside older ones and points `current` at it. Enables nothing.
#   install-passive-agent.sh [prefix] [state dir] [env file] [systemd dir]
# SYSTEMCTL_BIN: another systemctl. MANIFEST: install the release that this manifest is of, once it is checked (verify-release.sh),
# instead of the one this script lies in. RELEASE_KEY: who must have signed it.
set -eu
prefix=${1:-/opt/grapheon}
state=${2:-/var/lib/grapheon-agent}
env=${3:-/etc/grapheon-agent.env}
systemd=${4:-/etc/systemd/system}
systemctl=${SYSTEMCTL_BIN:-systemctl}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)

# folder MODE DIR...: makes what is missing. A folder that is there keeps mode and owner: the settings may lie in /root.
folder() {
    mode=$1
    shift
    for dir; do
        [ -d "$dir" ] || install -d -m "$mode" "$dir"
    done
}
if [ -n "${MANIFEST:-}" ]; then
    folder 0755 "$prefix"
    tmp=$(mktemp -d "$prefix/.unpacked.XXXXXX")
    trap 'rm -rf "$tmp"' EXIT
    root=$("$here/verify-release.sh" "$MANIFEST" "$tmp")
    MANIFEST='' "$root/scripts/install-passive-agent.sh" "$@" # a release knows best what belongs where
    exit
fi
if [ ! -f "$root/agent/VERSION" ]; then
    echo "install: which release? MANIFEST=FILE, its tarball beside it" >&2
    exit 1
fi
version=$(tr -d ' \n' <"$root/agent/VERSION")
release=$prefix/agent/releases/$version

case $version in '' | */* | .*) echo "install: agent/VERSION is not a version" >&2; exit 1 ;; esac
folder 0755 "$prefix" "$prefix/agent" "$prefix/agent/releases" "$release" "$release/scripts" "$release/units" "$(dirname "$env")" "$systemd"
folder 0700 "$state"
case $(stat -c %A "$state") in
    *------) ;;
    *) echo "install: others may look into $state, where the agent keeps its key: chmod 0700 $state" >&2 ;;
esac
# A running program keeps its file: replaced by rename, never written into.
install -m 0755 "$root/agent/grapheon-agent" "$release/.grapheon-agent.new"
mv -f "$release/.grapheon-agent.new" "$release/grapheon-agent"
install -m 0644 "$root/agent/VERSION" "$release/VERSION"
# What goes back to this release, or on from it, later.
for script in "$root"/scripts/*; do
    case $script in *.sh) mode=0755 ;; *) mode=0644 ;; esac
    install -m $mode "$script" "$release/scripts/.new"
    mv -f "$release/scripts/.new" "$release/scripts/$(basename "$script")"
done
ln -sfn "releases/$version" "$prefix/agent/.current.new"
mv -Tf "$prefix/agent/.current.new" "$prefix/agent/current"
# systemd makes a state directory that is gone, but only below /var/lib.
case $state in
    /var/lib/?*) keep="s|@STATE_NAME@|${state#/var/lib/}|" ;;
    *) keep='/^StateDirectory/d' ;;
esac
for unit in grapheon-agent.service grapheon-agent.timer; do
    sed -e "$keep" -e "s|@BIN@|$prefix/agent/current|g" -e "s|@STATE@|$state|g" -e "s|@ENV@|$env|g" "$root/deploy/$unit" >"$release/units/$unit"
    install -m 0644 "$release/units/$unit" "$systemd/.$unit.new"
    mv -f "$systemd/.$unit.new" "$systemd/$unit"
done
if [ ! -e "$env" ]; then
    (umask 077; sed "s|^GRAPHEON_AGENT_STATE_DIR=.*|GRAPHEON_AGENT_STATE_DIR=$state|" "$root/deploy/grapheon-agent.env.example" >"$env")
fi
if command -v "$systemctl" >/dev/null 2>&1; then
    "$systemctl" daemon-reload
else
    echo "install: no $systemctl here: units are in place, but nobody was told" >&2
fi
cat <<EOF
grapheon-agent $version is in $release
Next:
  1. put server and enrollment key into $env
  2. $prefix/agent/current/grapheon-agent --config $env --check-config
  3. $prefix/agent/current/grapheon-agent --config $env --register-only
  4. $systemctl enable --now grapheon-agent.timer
EOF

#!/bin/sh
# The release tarball of grapheon-agent, the same bytes for the same program.
#   build-release.sh [version] [output file]
# BUILD: the build folder. AGENT: another program than muster-agent-static in it. SIGN_KEY: an Ed25519 key in PEM that signs it; the
# scripts then carry its public half and take no release that another has signed. SOURCE_DATE_EPOCH: time of all files.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
agent=${AGENT:-${BUILD:-$top/build}/muster-agent-static}
version=${1:-$("$agent" grapheon --version | cut -d' ' -f2)}
name=grapheon-agent-v$version
out=${2:-$PWD/$name.tar.gz}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
root=$tmp/$name

install -d -m 0755 "$root/agent" "$root/deploy" "$root/docs" "$root/scripts"
install -m 0755 "$agent" "$root/agent/grapheon-agent"
strip "$root/agent/grapheon-agent" 2>/dev/null || :
echo "$version" >"$root/agent/VERSION"
install -m 0644 "$top/packaging/grapheon/README.md" "$top/CHANGELOG.md" "$root/agent/"
install -m 0644 "$top/packaging/grapheon/agent_quickstart.md" "$root/docs/"
install -m 0644 "$top"/packaging/grapheon/grapheon-agent.service "$top"/packaging/grapheon/grapheon-agent.timer \
    "$top"/packaging/grapheon/grapheon-agent.env.example "$root/deploy/"
install -m 0755 "$top"/packaging/grapheon/scripts/*.sh "$root/scripts/"
chmod 0644 "$root/agent/VERSION"
if [ -n "${SIGN_KEY:-}" ]; then
    openssl pkey -in "$SIGN_KEY" -pubout -out "$root/scripts/release-key.pem"
    chmod 0644 "$root/scripts/release-key.pem"
fi
tar -C "$tmp" --sort=name --mtime="@${SOURCE_DATE_EPOCH:-0}" --owner=0 --group=0 --numeric-owner -cf "$tmp/a.tar" "$name"
gzip -9n <"$tmp/a.tar" >"$out"
(cd "$(dirname "$out")" && sha256sum "$(basename "$out")" >"$(basename "$out").sha256")
if [ -n "${SIGN_KEY:-}" ]; then
    # check: openssl pkeyutl -verify -pubin -inkey PUBLIC.pem -rawin -in FILE -sigfile FILE.sig
    openssl pkeyutl -sign -inkey "$SIGN_KEY" -rawin -in "$out" -out "$out.sig"
fi
echo "$out"

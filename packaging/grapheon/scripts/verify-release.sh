#!/bin/sh
# Checks a release by its manifest, unpacks it and prints where. Needs no network; nothing of the release runs before it was checked.
#   verify-release.sh MANIFEST FOLDER
# FOLDER: nobody else writes there. RELEASE_KEY: public key of the release's maker (PEM); else release-key.pem beside this script, else
# the one built into the program beside it. With none of them an unsigned manifest will do: then hashes guard against accidents only.
set -eu
manifest=${1:?usage: verify-release.sh MANIFEST FOLDER}
into=${2:?usage: verify-release.sh MANIFEST FOLDER}
here=$(cd "$(dirname "$0")" && pwd)

fail() {
    echo "verify: $*" >&2
    exit 1
}
program=$here/../agent/grapheon-agent # as unpacked
[ -x "$program" ] || program=$here/../grapheon-agent # as installed
[ -x "$program" ] || fail "there is no grapheon-agent beside $here to check with"
key=${RELEASE_KEY:-}
if [ -z "$key" ] && [ -f "$here/release-key.pem" ]; then
    key=$here/release-key.pem
fi

# Copies: what is checked is what is unpacked.
cp "$manifest" "$into/release.manifest"
if [ -f "$manifest.sig" ]; then
    cp "$manifest.sig" "$into/release.manifest.sig"
fi
bundle=$(sed -n 's/^[0-9a-f]\{64\}  [0-9]*  \([A-Za-z0-9][A-Za-z0-9._+~-]*\.tar\.gz\)$/\1/p' "$into/release.manifest" | head -n 1)
[ -n "$bundle" ] || fail "$manifest names no tarball"
cp "$(dirname "$manifest")/$bundle" "$into/$bundle"
set -- --manifest "$into/release.manifest"
if [ -n "$key" ]; then
    set -- "$@" --key "$key"
elif [ ! -f "$into/release.manifest.sig" ]; then
    set -- "$@" --hashes-only # refused when the program has a key
fi
"$program" verify "$@" "$into/$bundle" >&2 || fail "$manifest: this release is not installed (RELEASE_KEY=FILE: the maker's public key)"
install -d -m 0755 "$into/unpacked"
tar -C "$into/unpacked" --no-same-owner -xzf "$into/$bundle"
for root in "$into"/unpacked/*/; do
    [ -f "$root/agent/VERSION" ] || fail "$bundle is no release"
done
echo "${root%/}"

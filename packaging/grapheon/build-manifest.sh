#!/bin/sh
# The manifest of a release: SHA-256, size and name of each file, as `grapheon-agent verify` reads it. All files are in one folder, and
# so is what it writes: grapheon-agent-vVERSION.manifest, and with SIGN_KEY its signature beside it as .sig.
#   build-manifest.sh VERSION FILE...
# SIGN_KEY: an Ed25519 key in PEM.
set -eu
version=${1:?usage: build-manifest.sh VERSION FILE...}
shift
cd "$(dirname "${1:?usage: build-manifest.sh VERSION FILE...}")"
out=grapheon-agent-v$version.manifest
{
    printf 'grapheon-agent release manifest 1\nversion %s\n' "$version"
    for f in "$@"; do
        f=$(basename "$f")
        [ -f "$f" ] || { echo "build-manifest: there is no $PWD/$f" >&2; rm -f "$out~"; exit 1; }
        printf '%s  %s  %s\n' "$(sha256sum <"$f" | cut -d' ' -f1)" "$(stat -c %s "$f")" "$f"
    done
} >"$out~"
rm -f "$out.sig"
mv "$out~" "$out"
if [ -n "${SIGN_KEY:-}" ]; then
    openssl pkeyutl -sign -inkey "$SIGN_KEY" -rawin -in "$out" -out "$out.sig"
fi
echo "$PWD/$out"

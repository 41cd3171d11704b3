#!/bin/sh
# A whole release: tarball, Debian package, RPM (where rpmbuild is), and the manifest over them, which it checks with the program it ships.
#   release.sh [version] [folder]
# The program is the static one, which runs on every Linux of its architecture; it is linked here. A build folder of its own:
#   meson setup build-release && BUILD=build-release packaging/grapheon/release.sh
# BUILD: the build folder. AGENT: ship this program instead. SIGN_KEY: an Ed25519 key in PEM. SOURCE_DATE_EPOCH: time of all files.
# A program made with -Drelease_key=BASE64 carries the public key: openssl pkey -in KEY.pem -pubout | sed -n 2p
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=${BUILD:-$(cd "$here/../.." && pwd)/build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
if [ -z "${AGENT:-}" ]; then
    if [ ! -f "$build/build.ninja" ]; then
        echo "release: $build is no build folder: meson setup $build" >&2
        exit 1
    fi
    ninja -C "$build" muster-agent-static >&2
fi
agent=${AGENT:-$build/muster-agent-static}
case $agent in /*) ;; *) agent=$PWD/$agent ;; esac
said=$("$agent" grapheon --version | cut -d' ' -f2)
version=${1:-$said}
dir=${2:-$PWD}
if [ "$version" != "$said" ]; then
    echo "release: the program calls itself $said: that is what servers compare with a policy's target_version" >&2
fi
case ${SIGN_KEY:-} in /* | "") ;; *) SIGN_KEY=$PWD/$SIGN_KEY ;; esac
mkdir -p "$dir"
cd "$dir"
export AGENT="$agent"
tarball=$("$here/build-release.sh" "$version")
deb=$("$here/build-deb.sh" "$version")
set -- "$tarball" "$deb"
if command -v rpmbuild >/dev/null 2>&1; then
    rpm=$("$here/build-rpm.sh" "$version")
    set -- "$@" "$rpm"
else
    echo "release: no rpmbuild here (Debian: rpm): this release has no RPM" >&2
fi
manifest=$("$here/build-manifest.sh" "$version" "$@")
if [ -n "${SIGN_KEY:-}" ]; then
    tmp=$(mktemp)
    trap 'rm -f "$tmp"' EXIT
    openssl pkey -in "$SIGN_KEY" -pubout -out "$tmp"
    "$agent" grapheon verify --key "$tmp" "$manifest" >&2
    # what is built in, if anything, is that key
    "$agent" grapheon verify --exit-codes fine "$manifest" >/dev/null 2>&1 || [ $? = 78 ] || {
        echo "release: the program carries the public key of another one than SIGN_KEY" >&2
        exit 1
    }
fi
printf '%s\n' "$@" "$manifest"

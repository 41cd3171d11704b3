#!/bin/sh
# The Debian package of grapheon-agent, the same bytes for the same program. Installing it enables nothing.
#   build-deb.sh [version] [output file]
# BUILD: the build folder. AGENT: another program than muster-agent-static in it. SOURCE_DATE_EPOCH: time of all files.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
agent=${AGENT:-${BUILD:-$top/build}/muster-agent-static}
here=$top/packaging/grapheon
version=${1:-$("$agent" grapheon --version | cut -d' ' -f2)}
arch=$(dpkg --print-architecture)
# a tilde sorts before what follows: a release candidate before its release
deb_version=$(printf %s "$version" | tr - '~')
out=${2:-$PWD/grapheon-agent_${deb_version}_$arch.deb}
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-0}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
root=$tmp/root

AGENT=$agent "$here/package-root.sh" "$root" lib/systemd/system
install -d -m 0755 "$root/DEBIAN"
echo /etc/grapheon-agent.env >"$root/DEBIAN/conffiles"

mkdir "$tmp/debian"
printf 'Source: grapheon-agent\n\nPackage: grapheon-agent\nArchitecture: any\n' >"$tmp/debian/control"
# none for the static program: dpkg-shlibdeps says nothing of it
depends=$(cd "$tmp" && dpkg-shlibdeps -O "$root/usr/bin/grapheon-agent" 2>/dev/null | sed -n 's/^shlibs:Depends=\(.\)/Depends: \1/p')
cat >"$root/DEBIAN/control" <<END
Package: grapheon-agent
Version: $deb_version
Architecture: $arch
Maintainer: Muster <muster@localhost>
${depends:+$depends
}Recommends: ca-certificates
Section: net
Priority: optional
Description: one-shot collector for a Graphēon server
 Reports addresses, neighbours, connections and routes of this host, started
 by a timer. Stands in for the Python agent, with its settings and state.
END
# DPKG_ROOT: dpkg --root with --force-script-chrootless.
cat >"$root/DEBIAN/postinst" <<'END'
#!/bin/sh
set -e
if [ "$1" = configure ]; then
    [ -d "${DPKG_ROOT:-}/var/lib/grapheon-agent" ] || install -d -m 0700 "${DPKG_ROOT:-}/var/lib/grapheon-agent"
    if [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
        systemctl daemon-reload || :
    fi
fi
END
cat >"$root/DEBIAN/prerm" <<'END'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
    systemctl disable --now grapheon-agent.timer || :
fi
END
cat >"$root/DEBIAN/postrm" <<'END'
#!/bin/sh
set -e
if [ "$1" = purge ]; then
    rm -rf "${DPKG_ROOT:-}/var/lib/grapheon-agent"
fi
if [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi
END
chmod 0755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm" "$root/DEBIAN/postrm"
chmod 0644 "$root/DEBIAN/control" "$root/DEBIAN/conffiles"
find "$root" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zgzip --build "$root" "$out" >/dev/null
echo "$out"

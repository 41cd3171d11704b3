#!/bin/sh
# The Debian package of grapheon-agent, the same bytes for the same program. Installing it enables nothing.
#   build-deb.sh [version] [output file]
# BUILD: the build folder. SOURCE_DATE_EPOCH: time of all files.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-$top/build}
here=$top/packaging/grapheon
version=${1:-$("$build/muster-agent" grapheon --version | cut -d' ' -f2)}
arch=$(dpkg --print-architecture)
out=${2:-$PWD/grapheon-agent_${version}_$arch.deb}
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-0}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
root=$tmp/root

for d in usr/bin usr/share/doc/grapheon-agent usr/share/man/man8 lib/systemd/system etc DEBIAN; do
    install -d -m 0755 "$root/$d"
done
chmod 0755 "$root"
install -m 0755 "$build/muster-agent" "$root/usr/bin/grapheon-agent"
strip "$root/usr/bin/grapheon-agent" 2>/dev/null || :
sed "s|@BIN@|/usr/bin|; s|@STATE_NAME@|grapheon-agent|; s|@STATE@|/var/lib/grapheon-agent|; s|@ENV@|/etc/grapheon-agent.env|" \
    "$here/grapheon-agent.service" >"$root/lib/systemd/system/grapheon-agent.service"
chmod 0644 "$root/lib/systemd/system/grapheon-agent.service"
install -m 0644 "$here/grapheon-agent.timer" "$root/lib/systemd/system/"
install -m 0600 "$here/grapheon-agent.env.example" "$root/etc/grapheon-agent.env"
install -m 0644 "$top/LICENSE" "$root/usr/share/doc/grapheon-agent/copyright"
gzip -9nc "$top/docs/man/grapheon-agent.8" >"$root/usr/share/man/man8/grapheon-agent.8.gz"
chmod 0644 "$root/usr/share/man/man8/grapheon-agent.8.gz"
echo /etc/grapheon-agent.env >"$root/DEBIAN/conffiles"

mkdir "$tmp/debian"
printf 'Source: grapheon-agent\n\nPackage: grapheon-agent\nArchitecture: any\n' >"$tmp/debian/control"
depends=$(cd "$tmp" && dpkg-shlibdeps -O "$root/usr/bin/grapheon-agent" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
cat >"$root/DEBIAN/control" <<END
Package: grapheon-agent
Version: $version
Architecture: $arch
Maintainer: Muster <muster@localhost>
Depends: $depends
Recommends: ca-certificates
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
    install -d -m 0700 "${DPKG_ROOT:-}/var/lib/grapheon-agent"
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

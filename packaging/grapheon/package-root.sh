#!/bin/sh
# What the Debian package and the RPM hold, laid out below a folder: one list for both.
#   package-root.sh FOLDER UNIT_DIR
# BUILD: the build folder. AGENT: another program than muster-agent-static in it. SOURCE_DATE_EPOCH: time of all files.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
agent=${AGENT:-${BUILD:-$top/build}/muster-agent-static}
here=$top/packaging/grapheon
root=${1:?usage: package-root.sh FOLDER UNIT_DIR}
units=$root/${2:?usage: package-root.sh FOLDER UNIT_DIR}

for d in usr/bin usr/share/doc/grapheon-agent usr/share/man/man8 etc; do
    install -d -m 0755 "$root/$d"
done
install -d -m 0755 "$units"
chmod 0755 "$root"
install -m 0755 "$agent" "$root/usr/bin/grapheon-agent"
strip "$root/usr/bin/grapheon-agent" 2>/dev/null || :
sed "s|@BIN@|/usr/bin|; s|@STATE_NAME@|grapheon-agent|; s|@STATE@|/var/lib/grapheon-agent|; s|@ENV@|/etc/grapheon-agent.env|" \
    "$here/grapheon-agent.service" >"$units/grapheon-agent.service"
chmod 0644 "$units/grapheon-agent.service"
install -m 0644 "$here/grapheon-agent.timer" "$units/"
install -m 0600 "$here/grapheon-agent.env.example" "$root/etc/grapheon-agent.env"
install -m 0644 "$top/LICENSE" "$root/usr/share/doc/grapheon-agent/copyright"
gzip -9nc "$top/docs/man/grapheon-agent.8" >"$root/usr/share/man/man8/grapheon-agent.8.gz"
chmod 0644 "$root/usr/share/man/man8/grapheon-agent.8.gz"
find "$root" -exec touch -hd "@${SOURCE_DATE_EPOCH:-0}" {} +

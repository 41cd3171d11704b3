#!/bin/sh
# The RPM of grapheon-agent, the same bytes for the same program and the same files as the Debian package. Installing it enables nothing.
#   build-rpm.sh [version] [output file]
# BUILD: the build folder. AGENT: another program than muster-agent-static in it. SOURCE_DATE_EPOCH: time of all files.
# Needs rpmbuild (Debian's package rpm).
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
agent=${AGENT:-${BUILD:-$top/build}/muster-agent-static}
here=$top/packaging/grapheon
version=${1:-$("$agent" grapheon --version | cut -d' ' -f2)}
# an RPM's version has no dash; a tilde sorts before what follows, as of a release candidate
rpm_version=$(printf %s "$version" | tr - '~')
arch=$(uname -m)
out=${2:-$PWD/grapheon-agent-$rpm_version-1.$arch.rpm}
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-0}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
root=$tmp/files

AGENT=$agent "$here/package-root.sh" "$root" usr/lib/systemd/system
cat >"$tmp/grapheon-agent.spec" <<END
%global debug_package %{nil}
%global __os_install_post %{nil}
%global _build_id_links none
%global _binary_payload w9.gzdio
%global _buildhost localhost
%global source_date_epoch_from_changelog 0
%global use_source_date_epoch_as_buildtime 1
%global clamp_mtime_to_source_date_epoch 1
Name: grapheon-agent
Version: $rpm_version
Release: 1
Summary: One-shot collector for a Graphēon server
License: Apache-2.0
Group: System Environment/Daemons
Recommends: ca-certificates

%description
Reports addresses, neighbours, connections and routes of this host, started
by a timer. Stands in for the Python agent, with its settings and state.

%install
cp -a $root/. %{buildroot}/

%files
%attr(0755, root, root) /usr/bin/grapheon-agent
%attr(0644, root, root) /usr/lib/systemd/system/grapheon-agent.service
%attr(0644, root, root) /usr/lib/systemd/system/grapheon-agent.timer
%config(noreplace) %attr(0600, root, root) /etc/grapheon-agent.env
%attr(0644, root, root) %doc /usr/share/doc/grapheon-agent/copyright
%attr(0644, root, root) %doc /usr/share/man/man8/grapheon-agent.8.gz

%post
[ -d /var/lib/grapheon-agent ] || install -d -m 0700 /var/lib/grapheon-agent
[ ! -d /run/systemd/system ] || systemctl daemon-reload || :

%preun
# 0: the last one goes; 1: another version takes its place
if [ "\$1" = 0 ] && [ -d /run/systemd/system ]; then
    systemctl disable --now grapheon-agent.timer || :
fi

%postun
[ ! -d /run/systemd/system ] || systemctl daemon-reload || :
END
rpmbuild --quiet -bb --define "_topdir $tmp/rpm" --define "_tmppath $tmp" --define "_rpmfilename out.rpm" \
    --define "_rpmdir $tmp" --buildroot "$tmp/buildroot" "$tmp/grapheon-agent.spec" >"$tmp/log" 2>&1 || { cat "$tmp/log" >&2; exit 1; }
mv "$tmp/out.rpm" "$out"
echo "$out"

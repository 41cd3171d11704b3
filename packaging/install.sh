#!/bin/sh
# make install: programs, units, settings where there are none, examples, manual pages. DESTDIR and PREFIX as usual; nothing is started or
# enabled. Into the running system it also makes the server's user, and systemd reads the units anew.
set -eu
umask 022 # and folders by mkdir: install -d would change the mode of those that are there
PREFIX=${PREFIX%/}
bin=$DESTDIR$PREFIX/bin
man=$DESTDIR$PREFIX/share/man
unit=$DESTDIR$PREFIX/lib/systemd/system
examples=$DESTDIR$PREFIX/share/doc/muster/examples
mkdir -p "$bin" "$man/man1" "$man/man8" "$unit" "$examples" "$DESTDIR$PREFIX/lib/sysusers.d"

# systemd looks into these two; of any other prefix it has to be told.
case $PREFIX in
    /usr | /usr/local) is_system=1 ;;
    *) is_system=0 ;;
esac
missing=

# settings MODE FILE TARGET: the file as an example; and where the units of a prefix of the system's look, unless something is there:
# settings in use are the operator's, and stay.
settings() {
    install -m "$1" "packaging/$2" "$examples/"
    if [ "$is_system" = 0 ]; then
        [ -e "$DESTDIR$3" ] || missing="$missing
  install -D -m $1 $PREFIX/share/doc/muster/examples/${2##*/} $3"
    else
        mkdir -p "$(dirname "$DESTDIR$3")"
        [ -e "$DESTDIR$3" ] || [ -L "$DESTDIR$3" ] || install -m "$1" "packaging/$2" "$DESTDIR$3"
    fi
}

for p in musterd muster-agent muster-hold muster fleetsim; do
    install -m 0755 "$BUILD/$p" "$bin/$p"
done
for s in 1 8; do
    for m in docs/man/*.$s; do
        [ -e "$m" ] && install -m 0644 "$m" "$man/man$s/"
    done
done
for u in musterd muster-agent; do
    sed "s|@PREFIX@|$PREFIX|g" "packaging/systemd/$u.service" >"$unit/$u.service"
    chmod 0644 "$unit/$u.service"
done
install -m 0644 packaging/sysusers/muster.conf "$DESTDIR$PREFIX/lib/sysusers.d/muster.conf"
settings 0644 musterd.yaml /etc/muster/musterd.yaml
settings 0644 agent.yaml /etc/muster/agent.yaml
install -m 0644 README.md LICENSE CHANGELOG.md "$DESTDIR$PREFIX/share/doc/muster/"
for sh in bash zsh fish; do
    case $sh in
        bash) d=$DESTDIR$PREFIX/share/bash-completion/completions f=muster ;;
        zsh) d=$DESTDIR$PREFIX/share/zsh/site-functions f=_muster ;;
        fish) d=$DESTDIR$PREFIX/share/fish/vendor_completions.d f=muster.fish ;;
    esac
    mkdir -p "$d"
    "$BUILD/muster" completion $sh >"$d/$f"
done
sed "s|@PREFIX@|$PREFIX|g" packaging/sigma/sigma-agent.service >"$unit/sigma-agent.service"
chmod 0644 "$unit/sigma-agent.service"
settings 0600 sigma/sigma-agent.env /etc/muster/sigma-agent.env # a key goes in
install -m 0755 packaging/prometheus/sigma-file-sd "$bin/sigma-file-sd"
mkdir -p "$examples/sigma"
install -m 0644 packaging/sigma/Containerfile packaging/sigma/compose.yaml packaging/sigma/daemonset.yaml \
    "$examples/sigma/"
sed "s|@BIN@|$PREFIX/bin|; s|@STATE_NAME@|grapheon-agent|; s|@STATE@|/var/lib/grapheon-agent|; s|@ENV@|/etc/grapheon-agent.env|" \
    packaging/grapheon/grapheon-agent.service >"$unit/grapheon-agent.service"
chmod 0644 "$unit/grapheon-agent.service"
install -m 0644 packaging/grapheon/grapheon-agent.timer "$unit/"
settings 0600 grapheon/grapheon-agent.env.example /etc/muster/grapheon-agent.env.example
mkdir -p "$DESTDIR$PREFIX/lib/systemd/user"
sed "s|@PREFIX@|$PREFIX|g" packaging/argus/argus-agent@.service >"$unit/argus-agent@.service"
sed "s|@PREFIX@|$PREFIX|g" packaging/argus/argus-agent.service >"$DESTDIR$PREFIX/lib/systemd/user/argus-agent.service"
chmod 0644 "$unit/argus-agent@.service" "$DESTDIR$PREFIX/lib/systemd/user/argus-agent.service"
settings 0600 argus/argus-agent.env /etc/argus-agent/env
settings 0644 argus/policy.example /etc/argus-agent/policy.example
mkdir -p "$DESTDIR$PREFIX/share/muster/grafana"
install -m 0644 packaging/grafana/* "$DESTDIR$PREFIX/share/muster/grafana/"
# The agent in foreign accents goes by the foreign names too.
for n in sigma-agent grapheon-agent argus-agent argus-report; do
    ln -sfn muster-agent "$bin/$n"
done
if [ -z "$DESTDIR" ] && [ "$(id -u)" = 0 ]; then
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers "$PREFIX/lib/sysusers.d/muster.conf"
    else
        echo 'install: musterd.service runs as the user muster: make it (see sysusers.d/muster.conf)' >&2
    fi
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
fi
if [ "$is_system" = 0 ]; then
    cat <<END
install: systemd does not look into $PREFIX. For a service of it (musterd, or muster-agent, ...):
  systemd-sysusers $PREFIX/lib/sysusers.d/muster.conf
  systemctl link $PREFIX/lib/systemd/system/musterd.service
END
    [ -z "$missing" ] || printf 'and what the units read is not there yet; from the examples, as far as needed:%s\n' "$missing"
fi

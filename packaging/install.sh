#!/bin/sh
# make install: programs, units, examples, manual pages. DESTDIR and PREFIX as usual; nothing is started or enabled.
set -eu
bin=$DESTDIR$PREFIX/bin
man=$DESTDIR$PREFIX/share/man
unit=$DESTDIR$PREFIX/lib/systemd/system
etc=$DESTDIR/etc/muster
[ "$PREFIX" = /usr ] || etc=$DESTDIR$PREFIX/share/doc/muster/examples
install -d "$bin" "$man/man1" "$man/man8" "$unit" "$etc" "$DESTDIR$PREFIX/lib/sysusers.d" "$DESTDIR$PREFIX/share/doc/muster"
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
install -m 0644 packaging/musterd.yaml packaging/agent.yaml "$etc/"
install -m 0644 README.md LICENSE CHANGELOG.md "$DESTDIR$PREFIX/share/doc/muster/"
for sh in bash zsh fish; do
    case $sh in
        bash) d=$DESTDIR$PREFIX/share/bash-completion/completions f=muster ;;
        zsh) d=$DESTDIR$PREFIX/share/zsh/site-functions f=_muster ;;
        fish) d=$DESTDIR$PREFIX/share/fish/vendor_completions.d f=muster.fish ;;
    esac
    install -d "$d"
    "$BUILD/muster" completion $sh >"$d/$f"
done
sed "s|@PREFIX@|$PREFIX|g" packaging/sigma/sigma-agent.service >"$unit/sigma-agent.service"
chmod 0644 "$unit/sigma-agent.service"
install -m 0600 packaging/sigma/sigma-agent.env "$etc/" # a key goes in
install -m 0755 packaging/prometheus/sigma-file-sd "$bin/sigma-file-sd"
install -d "$DESTDIR$PREFIX/share/doc/muster/examples/sigma"
install -m 0644 packaging/sigma/Containerfile packaging/sigma/compose.yaml packaging/sigma/daemonset.yaml \
    "$DESTDIR$PREFIX/share/doc/muster/examples/sigma/"
sed "s|@BIN@|$PREFIX/bin|; s|@STATE_NAME@|grapheon-agent|; s|@STATE@|/var/lib/grapheon-agent|; s|@ENV@|/etc/grapheon-agent.env|" \
    packaging/grapheon/grapheon-agent.service >"$unit/grapheon-agent.service"
chmod 0644 "$unit/grapheon-agent.service"
install -m 0644 packaging/grapheon/grapheon-agent.timer "$unit/"
install -m 0600 packaging/grapheon/grapheon-agent.env.example "$etc/"
install -d "$DESTDIR$PREFIX/lib/systemd/user"
sed "s|@PREFIX@|$PREFIX|g" packaging/argus/argus-agent@.service >"$unit/argus-agent@.service"
sed "s|@PREFIX@|$PREFIX|g" packaging/argus/argus-agent.service >"$DESTDIR$PREFIX/lib/systemd/user/argus-agent.service"
chmod 0644 "$unit/argus-agent@.service" "$DESTDIR$PREFIX/lib/systemd/user/argus-agent.service"
# Where its units look; with another PREFIX an example to put there. The settings in use are the operator's: they stay.
if [ "$PREFIX" = /usr ]; then
    install -d "$DESTDIR/etc/argus-agent"
    [ -e "$DESTDIR/etc/argus-agent/env" ] || install -m 0600 packaging/argus/argus-agent.env "$DESTDIR/etc/argus-agent/env"
    install -m 0644 packaging/argus/policy.example "$DESTDIR/etc/argus-agent/policy.example"
else
    install -m 0600 packaging/argus/argus-agent.env "$etc/"
    install -m 0644 packaging/argus/policy.example "$etc/argus-policy.example"
fi
install -d "$DESTDIR$PREFIX/share/muster/grafana"
install -m 0644 packaging/grafana/* "$DESTDIR$PREFIX/share/muster/grafana/"
# The agent in foreign accents goes by the foreign names too.
for n in sigma-agent grapheon-agent argus-agent argus-report; do
    ln -sfn muster-agent "$bin/$n"
done

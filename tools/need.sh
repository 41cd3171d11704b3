#!/bin/sh
# Installs the Debian packages named in the given lists that are missing. As root or through sudo; otherwise prints the exact line
# to type and exits 1. Quiet when nothing is missing. A name with a question mark behind it is wished for: tried as root, and done
# without when it cannot be had.
set -u
wanted=$(cat "$@" | sed 's/#.*//' | tr -s ' \n' '\n' | sed '/^$/d')
command -v dpkg-query >/dev/null 2>&1 || { echo "muster: this is not a Debian system: install by hand:" $wanted >&2; exit 1; }
missing=
wished=
for p in $wanted; do
    dpkg-query -W -f '${db:Status-Status}\n' "${p%\?}" 2>/dev/null | grep -qx installed && continue
    case $p in
    *\?) wished="$wished ${p%\?}" ;;
    *) missing="$missing $p" ;;
    esac
done
if [ -n "$wished" ] && [ "$(id -u)" = 0 ]; then
    echo "muster: installing$wished, if it can be had" >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $wished >/dev/null 2>&1 </dev/null || :
fi
[ -z "$missing" ] && exit 0
line="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
    run=
elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    run=sudo
else
    echo "muster: packages are missing; as root, type:" >&2
    echo "  $line" >&2
    exit 1
fi
echo "muster: installing$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! $run $line >"$log" 2>&1 </dev/null; then
    # An old package list is the usual reason: read it anew and try once more.
    $run apt-get update >>"$log" 2>&1 </dev/null
    if ! $run $line >"$log" 2>&1 </dev/null; then
        tail -3 "$log" >&2
        echo "muster: a package cannot be had; see above, then try: $line" >&2
        exit 1
    fi
fi

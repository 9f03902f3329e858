#!/usr/bin/env bash
# Installs Debian's packages for commands that are missing.
#
#   install.sh WHAT[=PACKAGE] ...   WHAT is a command, whose name the package has where none is given, or a file's path
set -euo pipefail

die() { echo "install: $*" >&2; exit 1; }

packages=()
for word in "$@"; do
    [ -e "${word%%=*}" ] || command -v "${word%%=*}" >/dev/null || packages+=("${word##*=}")
done
[ ${#packages[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || die "${packages[*]} missing, and there is no apt-get to install it with"
sudo=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "install first, as root: apt-get install ${packages[*]}"
    sudo=(sudo)
fi
echo "install: ${packages[*]}" >&2
"${sudo[@]}" apt-get update -qq >&2
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null \
    || die "apt-get could not install ${packages[*]}"

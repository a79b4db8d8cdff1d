#!/bin/sh
# Gets the programs of a Postgres server, 14 or later, where this machine has none: for the private server of
# `make run` and for the tests. The program itself never installs anything.
#
# By the distribution's package where this user may install one (apt as root or with sudo that asks for no password;
# Homebrew), else from the Maven repository that POSTGRES_BINARIES names, into the cache. Nothing is started: the package comes without the cluster
# that it usually makes.
set -eu

have() { command -v "$1" >/dev/null 2>&1; }

cache=/var/cache
if [ "$(id -u)" != 0 ]; then
  case $(uname) in Darwin) cache=$HOME/Library/Caches ;; *) cache=${XDG_CACHE_HOME:-$HOME/.cache} ;; esac
fi
case $(uname -m) in x86_64) arch=amd64 ;; aarch64 | arm64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
target=$cache/dcm-receiver/postgres-17-$arch

# The same places as internal/privatepg looks in.
found() {
  for dir in $(printf %s "$PATH" | tr : ' ') "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
    /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin /home/linuxbrew/.linuxbrew/opt/postgresql*/bin \
    /Applications/Postgres.app/Contents/Versions/*/bin "$target/bin"; do
    if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then
      major=$("$dir/postgres" --version 2>/dev/null | sed 's/[^0-9]*\([0-9]*\).*/\1/')
      [ "${major:-0}" -lt 14 ] || return 0
    fi
  done
  return 1
}
found && exit 0

# The file in createcluster.d keeps the package from making and starting a cluster, and goes again: it must not decide
# for a package that somebody installs later. Fresh machines have no package lists.
apt='
export DEBIAN_FRONTEND=noninteractive
off=/etc/postgresql-common/createcluster.d/dcm-receiver.conf
trap "rm -f $off" EXIT
mkdir -p "${off%/*}" && echo "create_main_cluster = false" >"$off" || exit
get() { apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=120 postgresql >/dev/null; }
get || { apt-get update -qq && get; }
'
if have apt-get && [ "$(id -u)" = 0 ]; then
  echo "no Postgres server on this machine: apt-get install postgresql" >&2
  sh -c "$apt" || true
elif have apt-get && have sudo && sudo -n true 2>/dev/null; then
  echo "no Postgres server on this machine: sudo apt-get install postgresql" >&2
  sudo -n sh -c "$apt" || true
elif have brew; then
  echo "no Postgres server on this machine: brew install postgresql@17" >&2
  brew install --quiet postgresql@17 || true
fi
found && exit 0

# Where no package can be installed: binaries of io.zonky.test.postgres, a zip with a
# tar.xz in it, from the Maven repository that POSTGRES_BINARIES names.
if [ -n "${POSTGRES_BINARIES:-}" ]; then
  case $(uname) in Darwin) system=darwin ;; *) system=linux ;; esac
  [ "$arch" = arm64 ] && zonky=arm64v8 || zonky=$arch
  name=embedded-postgres-binaries-$system-$zonky
  version=17.5.0
  url=$POSTGRES_BINARIES/io/zonky/test/postgres/$name/$version/$name-$version.jar
  echo "no Postgres server on this machine: downloading Postgres 17 to $target" >&2
  new=$target.new
  rm -rf "$new"
  mkdir -p "$new"
  trap 'rm -rf "$new"' EXIT
  if curl -fsSL -o "$new/jar" "$url" && unzip -q -o "$new/jar" '*.txz' -d "$new" && tar xJf "$new"/*.txz -C "$new"; then
    rm -rf "$new/jar" "$new"/*.txz "$target"
    mv "$new" "$target"
  fi
fi
found && exit 0
echo "could not get a Postgres server: install Postgres 14 or later (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql@17), set DATABASE_URL, or name a Maven repository that has io.zonky.test.postgres in POSTGRES_BINARIES" >&2
exit 1

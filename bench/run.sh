#!/usr/bin/env bash
# Builds Chorus and the measuring tools, and compares straight-to-mock, nginx, a bare forwarder and
# Chorus in one run. Everything listens on loopback, on free ports, and has ended when this has.
#
#   bench/run.sh                      five rounds of everything, about nine minutes
#   bench/run.sh --quick              three short rounds, about two minutes
#   bench/run.sh --only s1,s3         of start, connections, s1, s2, s3, s4, s5
#   bench/run.sh --rounds 9 --json results.json
#   bench/run.sh --quick --check bench/baseline.json   fails on a ratio twice as bad
#
# CHORUS_BINARY measures that binary rather than a fresh release build. README.md beside this tells
# how to read what is printed.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)

if ! command -v nginx >/dev/null && [ ! -x /usr/sbin/nginx ]; then
  sudo=''
  [ "$(id -u)" -eq 0 ] || sudo=sudo
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends nginx-light >&2
fi

target=${CARGO_TARGET_DIR:-$root/target}
# One after the other: together they would share features, and Chorus would be another program.
if [ -z "${CHORUS_BINARY:-}" ]; then
  cargo build --manifest-path "$root/Cargo.toml" --release --locked --quiet -p chorus
fi
cargo build --manifest-path "$root/Cargo.toml" --release --locked --quiet -p chorus-bench

# A thousand streams are two thousand sockets in a proxy.
ulimit -n 16384 2>/dev/null || ulimit -n "$(ulimit -Hn)"

exec "$target/release/chorus-bench" run \
  --chorus "${CHORUS_BINARY:-$target/release/chorus}" "$@"

#!/usr/bin/env bash
# Tries the TLS of `chorus serve` with openssl's client: what must be spoken is, what is old or weak is
# refused, a renewed certificate is shown, and one of a client is asked for where it has to be.
#
#   cargo build && scripts/test_tls.sh
#
# CHORUS_BIN  the binary   default: the newest of release and debug below CARGO_TARGET_DIR or target
# Needs bash and openssl. Prints one line per check; exits 1 when one fails.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
binary=${CHORUS_BIN:-}
if [ -z "$binary" ]; then
  for candidate in "$target/release/chorus" "$target/debug/chorus"; do
    if [ -x "$candidate" ] && { [ -z "$binary" ] || [ "$candidate" -nt "$binary" ]; }; then
      binary=$candidate
    fi
  done
fi
if [ -z "$binary" ]; then
  echo "no chorus below $target; run: cargo build"
  exit 1
fi

folder=$(mktemp -d)
server=''
tidy() {
  if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
    kill "$server"
    wait "$server" || true
  fi
  rm -rf "$folder"
}
trap tidy EXIT
checked=0 failed=0

# key_and_cert NAME SUBJECT OPTIONS...
key_and_cert() {
  local name=$1 subject=$2
  shift 2
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
    -keyout "$folder/new.pem" -out "$folder/new-cert.pem" -subj "/CN=$subject" "$@" 2>"$folder/openssl"
  chmod 600 "$folder/new.pem"
  mv "$folder/new.pem" "$folder/$name-key.pem"
  mv "$folder/new-cert.pem" "$folder/$name.pem"
}

# signed NAME: by the authority.
signed() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$folder/$1-key.pem" \
    -out "$folder/request" -subj "/CN=$1" 2>"$folder/openssl"
  echo 'basicConstraints = CA:FALSE' >"$folder/extensions"
  openssl x509 -req -in "$folder/request" -CA "$folder/authority.pem" -CAkey "$folder/authority-key.pem" \
    -set_serial 1 -days 30 -extfile "$folder/extensions" -out "$folder/$1.pem" 2>"$folder/openssl"
}

# check WHAT COMMAND...: one line; what openssl said too when it fails.
check() {
  local what=$1
  shift
  checked=$((checked + 1))
  if "$@"; then
    echo "ok    $what"
  else
    failed=$((failed + 1))
    echo "FAIL  $what"
    sed 's/^/      /' "$folder/said"
  fi
}

# hand OPTIONS...: a handshake; leaves $folder/said.
hand() {
  # Security level 0 lets openssl offer what is weak.
  timeout 20 openssl s_client -connect "127.0.0.1:$port" -servername localhost "$@" \
    </dev/null >"$folder/said" 2>&1
}
spoken() { hand "$@" && grep -qE 'Cipher is (TLS_|ECDHE-)' "$folder/said"; }
refused() { ! spoken "$@"; }
agreed() { # PROTOCOL OPTIONS...
  local wanted=$1
  shift
  spoken "$@" && grep -q "ALPN protocol: $wanted" "$folder/said"
}
answered() { # OPTIONS...
  printf 'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' |
    timeout 20 openssl s_client -quiet -connect "127.0.0.1:$port" -servername localhost "$@" \
      >"$folder/said" 2>&1 || true
  grep -q '"status":"ok"' "$folder/said"
}
unanswered() { ! answered "$@"; }

# start MORE-KEYS: serves, and leaves $port and $server.
start() {
  cat >"$folder/config.toml" <<CONFIG
[server.tls]
cert = "server.pem"
key = "server-key.pem"
$1
[[model]]
name = "m"
api_base = "http://127.0.0.1:9/v1"
[workflow-integration]
json = '{"workers": ["m"], "selector": "m"}'
CONFIG
  "$binary" serve --config "$folder/config.toml" --port 0 --log-format json 2>"$folder/log" &
  server=$!
  port=''
  for _ in $(seq 100); do
    port=$(grep -o 'https://127.0.0.1:[0-9]*' "$folder/log" | head -n 1 | grep -o '[0-9]*$' || true)
    [ -z "$port" ] || return 0
    kill -0 "$server" || break
    sleep 0.1
  done
  cat "$folder/log"
  exit 1
}
stop() {
  kill "$server"
  wait "$server" || true
  server=''
}

key_and_cert server localhost
start ''
check 'TLS 1.3 is spoken' spoken -tls1_3
check 'TLS 1.2 is spoken' spoken -tls1_2
check 'a request is answered' answered
check 'HTTP/2 is agreed on' agreed h2 -alpn h2,http/1.1
check 'HTTP/1.1 is, where the client has no other' agreed http/1.1 -alpn http/1.1
for old in -tls1 -tls1_1; do
  check "${old#-} is refused" refused "$old" -cipher 'ALL:@SECLEVEL=0'
done
for weak in NULL aNULL RC4 3DES CBC kRSA SHA1 DHE-RSA-AES128-GCM-SHA256; do
  check "$weak is refused" refused -tls1_2 -cipher "$weak:@SECLEVEL=0"
done

before=$(openssl x509 -in "$folder/server.pem" -noout -fingerprint)
key_and_cert server localhost
shown=$before
for _ in $(seq 100); do
  hand || true
  shown=$(openssl x509 -in "$folder/said" -noout -fingerprint 2>/dev/null || true)
  [ "$shown" = "$before" ] || break
  sleep 0.1
done
check 'a renewed certificate is shown' [ "$shown" = "$(openssl x509 -in "$folder/server.pem" -noout -fingerprint)" ]
stop

key_and_cert authority authority
signed ann
start 'client_ca = "authority.pem"'
check 'nobody comes in without a certificate' unanswered
check 'nor with one of somebody else' unanswered -cert "$folder/server.pem" -key "$folder/server-key.pem"
check 'one with the right one does' answered -cert "$folder/ann.pem" -key "$folder/ann-key.pem"
stop

echo "$((checked - failed)) of $checked checks passed"
[ "$failed" -eq 0 ]
